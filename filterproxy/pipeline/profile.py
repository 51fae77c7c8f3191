"""Profiles: mail from outside, of authenticated users, and from local_networks is judged and marked by its own rules.

The rule: which checks run for whom is each check's own setting; a profile says what becomes of their results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from filterproxy.core.authentication import MethodResult
from filterproxy.core.transaction import Transaction
from filterproxy.pipeline.policy import ScoringPolicy

Marks = Literal["always", "spam", "never"]


@dataclass(frozen=True, slots=True)
class Profile:
    """How mail of one origin is judged and marked.

    `marks` tells when verdict fields are added: always, for spam, or never. `authentication_results` adds that field,
    with `auth=pass` for an authenticated user, whom `names_user` names in it (`smtp.auth`, RFC 8601 section 2.7.4).
    """

    policy: ScoringPolicy
    marks: Marks = "always"
    authentication_results: bool = True
    names_user: bool = False

    def results(self, transaction: Transaction, found: tuple[MethodResult, ...]) -> tuple[MethodResult, ...]:
        """Return what Authentication-Results says of the message."""
        if not transaction.user:
            return found
        named = (("smtp.auth", transaction.user),) if self.names_user else ()
        return (MethodResult("auth", "pass", named), *found)


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profile of each origin."""

    outside: Profile
    authenticated: Profile
    local: Profile

    @classmethod
    def standard(cls, policy: ScoringPolicy) -> Self:
        """Return the default profiles with one policy: our own mail carries a verdict only when it is spam."""
        return cls(
            outside=Profile(policy),
            authenticated=Profile(policy, marks="spam"),
            local=Profile(policy, marks="spam", authentication_results=False),
        )

    def of(self, transaction: Transaction) -> Profile:
        """Return the profile that applies."""
        return self.choose(user=transaction.user, local=transaction.local)

    def choose(self, *, user: str, local: bool) -> Profile:
        """Return the profile for mail of that user (or of none): one who authenticated is one wherever they are."""
        if user:
            return self.authenticated
        return self.local if local else self.outside
