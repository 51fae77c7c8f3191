"""What became of a signature, and the exception by which verification ends early.

The one rule: temperror says that another try may end otherwise, permerror that it will not, fail that the message or
the signature was changed.
"""

from __future__ import annotations

from dataclasses import dataclass


class SignatureProblem(Exception):
    """A signature cannot pass: the result word and the reason."""

    def __init__(self, word: str, reason: str) -> None:
        super().__init__(reason)
        self.word, self.reason = word, reason


def permerror(reason: str) -> SignatureProblem:
    """Return the problem of a signature or key that no retry will mend."""
    return SignatureProblem("permerror", reason)


@dataclass(frozen=True, slots=True)
class SignatureResult:
    """One signature's result; texts are as the signature says them (untrusted), empty when it does not.

    `result` is a word of RFC 8601 section 2.7.1, `domain` its d=, `identity` its i=, `signature_start` the first eight
    characters of b=.
    """

    result: str
    reason: str = ""
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    signature_start: str = ""
