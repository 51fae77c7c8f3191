"""What all sessions of one SMTP listener share; the rule: nothing in here belongs to one message."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from filterproxy.config.models import SmtpListener as SmtpConfig
from filterproxy.core.action import Action
from filterproxy.listeners.context import ListenerContext
from filterproxy.pipeline import Delivery, Pipeline
from filterproxy.services.next_hop import NextHop

if TYPE_CHECKING:
    from filterproxy.listeners.smtp_session import SmtpSession


class SmtpShared:
    """Configuration, next hop and the open sessions of a listener."""

    def __init__(self, config: SmtpConfig, pipelines: Callable[[], Pipeline], context: ListenerContext) -> None:
        self.config = config
        self.pipelines = pipelines
        self.context = context
        self.next_hop = NextHop(config.next_hop, lambda: context.site.hostname)
        self.after_queue = config.mode == "after_queue"
        self.delivery = Delivery(
            listener="smtp",
            in_session=not self.after_queue,
            on_reject=Action.parse(config.on_reject),
            quarantine_fallback=Action.parse(config.quarantine_fallback),
            header_profile=config.headers,
        )
        self.normalize_newlines = (
            config.bare_newlines or ("normalize" if self.after_queue else "reject")
        ) == "normalize"
        self.draining = False
        self.idle = asyncio.Event()
        self.idle.set()
        self.sessions: set[SmtpSession] = set()
        self._clients: Counter[str] = Counter()

    def admit(self, session: SmtpSession, client: str, *, trusted: bool) -> bool:
        """Count a session in when the limits allow it; tell whether they do."""
        limits = self.config.limits
        if len(self.sessions) >= limits.connections:
            return False
        if not trusted and self._clients[client] >= limits.client_connections:
            return False
        self.sessions.add(session)
        self._clients[client] += 1
        self.idle.clear()
        return True

    def dismiss(self, session: SmtpSession, client: str) -> None:
        """Count a session out that was counted in."""
        self.sessions.discard(session)
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
        if not self.sessions:
            self.idle.set()
