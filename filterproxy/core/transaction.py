"""A transaction: one MAIL…DATA and everything that checks may read about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from filterproxy.core.authentication import MethodResult
from filterproxy.core.envelope import Envelope
from filterproxy.core.outcome import CheckOutcome
from filterproxy.core.session import Client, Session, Tls
from filterproxy.message import Message


@dataclass(slots=True)
class Transaction:
    """One message on its way. Listeners fill it, checks read it, only the runner writes `outcomes`.

    `client` and `helo` may differ from the session's: XFORWARD tells the real client of this transaction alone.
    `message` is None before the MESSAGE stage.
    """

    session: Session
    client: Client
    helo: str
    envelope: Envelope = field(default_factory=Envelope)
    queue_id: str = ""
    message: Message | None = None
    outcomes: dict[str, CheckOutcome] = field(default_factory=dict)

    @classmethod
    def begin(cls, session: Session) -> Transaction:
        """Return a transaction of the session's own client."""
        return cls(session=session, client=session.client, helo=session.helo)

    @property
    def tls(self) -> Tls | None:
        """Return the client's TLS, None in plain text."""
        return self.session.tls

    @property
    def user(self) -> str:
        """Return the authenticated user, empty when there is none."""
        return self.session.user

    @property
    def local(self) -> bool:
        """Tell whether the client is one of our own (local_networks)."""
        return self.session.local

    def methods(self, method: str | None = None) -> Iterator[MethodResult]:
        """Yield the RFC 8601 results reported so far, of one method or of all."""
        for outcome in self.outcomes.values():
            for result in outcome.results:
                if result.method and method in (None, result.method.method):
                    yield result.method

    def require_message(self) -> Message:
        """Return the message; raise RuntimeError when a check of an earlier stage asks for it."""
        if self.message is None:
            raise RuntimeError("no message yet: declare stage = Stage.MESSAGE")
        return self.message
