"""Every error filterproxy raises on purpose.

The rule: what the outside may read (`public`) and what the operator needs (`reason`) are separate fields.
A failure of our own is temporary (4xx) by construction; only a next hop's or a policy's own words are 5xx.
"""

from __future__ import annotations

from collections.abc import Sequence


class FilterproxyError(Exception):
    """Base of all errors of this package; `reason` is for the operator and never sent to a client."""

    public = "Temporary failure, please try again later"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ConfigError(FilterproxyError):
    """A configuration, rules or model file is wrong: says where, what, and what would be right."""

    def __init__(
        self, reason: str, *, file: str = "", line: int = 0, column: int = 0, key: str = "", hint: str = ""
    ) -> None:
        super().__init__(reason)
        self.file, self.line, self.column, self.key, self.hint = file, line, column, key, hint

    def __str__(self) -> str:
        """Return `FILE:LINE:COLUMN: KEY: what is wrong (what would be right)`."""
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        hint = f" ({self.hint})" if self.hint else ""
        return ": ".join(part for part in (where, self.key, self.reason) if part) + hint


class ConfigErrors(ConfigError):
    """Everything that is wrong with a file and those it includes, found in one go; `errors` is never empty."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(
            first.reason, file=first.file, line=first.line, column=first.column, key=first.key, hint=first.hint
        )
        self.errors: tuple[ConfigError, ...] = tuple(errors)

    def __str__(self) -> str:
        """Return one line for each error."""
        return "\n".join(str(error) for error in self.errors)


class CheckError(FilterproxyError):
    """A check could not answer (its source is down, its data is unusable): a failure, not evidence."""


class NextHopError(FilterproxyError):
    """The next hop could not be reached, broke the dialogue or timed out before it answered.

    `stage` is where: connect, tls, ehlo, auth, mail, rcpt, data, reply or rset. `permanent` tells the operator that
    trying again will not help (a wrong password, a foreign certificate); the client's mail waits all the same.
    """

    def __init__(self, reason: str, *, stage: str = "connect", permanent: bool = False) -> None:
        super().__init__(reason)
        self.stage = stage
        self.permanent = permanent


class RemoteProtocolError(FilterproxyError):
    """The peer broke the protocol; answered in the protocol."""


class LocalProtocolError(FilterproxyError):
    """We were about to break the protocol: a bug of ours."""
