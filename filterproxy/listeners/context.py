"""What every listener gets from the composition root; the rule: a listener takes nothing from anywhere else."""

from __future__ import annotations

from dataclasses import dataclass, field

from filterproxy.config.endpoints import Providers, builtin_providers
from filterproxy.core.ports import Clock, Models, Resolver, Site
from filterproxy.observability.maillog import MailLog
from filterproxy.observability.metrics import Metrics
from filterproxy.services.store.history import HistoryReader


@dataclass(slots=True)
class ListenerContext:
    """The site's facts, the log, the metrics and the clock, shared by all listeners of a worker.

    A reload replaces `site`, `resolver` and `models`: take them anew for each session.
    """

    site: Site
    log: MailLog
    metrics: Metrics
    clock: Clock
    providers: Providers = field(default_factory=builtin_providers)
    resolver: Resolver | None = None
    history: HistoryReader | None = None
    models: Models | None = None
