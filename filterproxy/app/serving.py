"""Which listener class serves which configuration: the one table of it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from filterproxy.config import listeners
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.http import HttpListener
from filterproxy.listeners.milter import MilterListener
from filterproxy.listeners.policy import PolicyListener
from filterproxy.listeners.smtp import SmtpListener
from filterproxy.listeners.spamd import SpamdListener
from filterproxy.pipeline import Pipeline


class Listener(Protocol):
    """What a worker knows of a listener."""

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on sockets that listen already."""

    async def prepare(self, config: Any, context: ListenerContext) -> Callable[[], None]:
        """Build what new settings of the same address need; raise ConfigError.

        Returns what puts them to use for new sessions, or reads certificates and the like again when nothing has
        changed; that raises ConfigError and keeps those in use when they are unusable.
        """

    async def drain(self, timeout: float) -> None:
        """Accept no more and finish what is open, at most that many seconds."""


def make_listener(
    config: listeners.Listener,
    pipelines: Callable[[], Pipeline],
    context: ListenerContext,
    serving: Callable[[], bool],
) -> Listener:
    """Return the listener of a configuration; `serving` turns false when the worker drains."""
    if isinstance(config, listeners.SmtpService):
        return SmtpListener(config, pipelines, context)
    if isinstance(config, listeners.MilterListener):
        return MilterListener(config, pipelines, context)
    if isinstance(config, listeners.PolicyListener):
        return PolicyListener(config, pipelines, context)
    if isinstance(config, listeners.SpamdListener):
        return SpamdListener(config, pipelines, context)
    return HttpListener(config, pipelines, context, serving)
