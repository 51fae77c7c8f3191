"""The whole configuration as typed models; every key has a safe default.

The keys are the public surface: people script against them, so they are added to and never renamed.
"""

from __future__ import annotations

import socket
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from filterproxy.config.addresses import Address, NameServer, Networks, SocketAddress
from filterproxy.core.action import Action
from filterproxy.core.values import Seconds, Size


class Model(BaseModel):
    """Base: an unknown key is an error, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NextHop(Model):
    """Where an SMTP listener relays to, with its time-outs (RFC 5321 section 4.5.3.2 gives the ideas)."""

    address: Address
    connect_timeout: Seconds = Field(10.0, gt=0)
    command_timeout: Seconds = Field(30.0, gt=0)
    data_timeout: Seconds = Field(60.0, gt=0, description="From the final dot to the next hop's reply.")
    pool_size: int = Field(0, ge=0, description="Idle connections kept a worker; 0 opens one a session.")


def _next_hop(value: Any) -> Any:
    return {"address": value} if isinstance(value, str | SocketAddress) else value


class SmtpLimits(Model):
    """Limits and deadlines of an SMTP listener; each protects memory, descriptors or time."""

    message_size: Size = Field(50_000_000, ge=1, description="Larger messages get 552.")
    recipients: int = Field(1000, ge=1)
    line_length: int = Field(65_536, ge=1000, description="Octets of one body line, without its line end.")
    command_length: int = Field(2048, ge=512)
    connections: int = Field(500, ge=1, description="Open sessions a worker; more get 421.")
    errors: int = Field(20, ge=1, description="Protocol errors in a session before 421.")
    command_timeout: Seconds = Field(300.0, gt=0)
    data_timeout: Seconds = Field(300.0, gt=0)


class SmtpListener(Model):
    """An SMTP proxy: before-queue (a reject is given in session) or after-queue (a content filter)."""

    type: Literal["smtp"]
    address: Address
    mode: Literal["before_queue", "after_queue"] = "before_queue"
    next_hop: Annotated[NextHop, BeforeValidator(_next_hop)] = Field(
        default_factory=lambda: NextHop(address=SocketAddress("127.0.0.1", 10026))
    )
    on_reject: Literal["add header", "discard"] = Field(
        "add header", description="after_queue: what a reject or soft reject becomes; a bounce never."
    )
    quarantine_fallback: Literal["add header", "soft reject", "reject", "discard"] = "add header"
    bare_newlines: Literal["reject", "normalize"] | None = Field(
        None, description="Default: reject, and normalize in after_queue mode."
    )
    nul: Literal["pass", "reject"] = "pass"
    headers: Literal["spamassassin", "rspamd"] = "spamassassin"
    limits: SmtpLimits = SmtpLimits()


class MilterLimits(Model):
    """Limits of a milter listener."""

    message_size: Size = Field(200_000_000, ge=1, description="Larger messages get a temporary failure.")
    frame_size: Size = Field(1_049_600, ge=65_537, description="One event; above the MTA's longest header field.")
    connections: int = Field(500, ge=1, description="Open connections a worker; more are closed at once.")
    idle_timeout: Seconds = Field(7200.0, gt=0, description="The MTA may hold a connection this long between events.")


class MilterListener(Model):
    """A milter for Postfix or sendmail."""

    type: Literal["milter"]
    address: Address
    headers: Literal["spamassassin", "rspamd"] = "spamassassin"
    progress_interval: Seconds = Field(
        20.0, gt=0, description="How often the MTA is told that a scan still runs, below its content time-out (300s)."
    )
    limits: MilterLimits = MilterLimits()


class HttpListener(Model):
    """Health and metrics over HTTP."""

    type: Literal["http"]
    address: Address


Listener = Annotated[SmtpListener | MilterListener | HttpListener, Field(discriminator="type")]


class Dns(Model):
    """Which servers to ask; without `nameservers` those of /etc/resolv.conf."""

    nameservers: tuple[NameServer, ...] = ()
    timeout: Seconds = Field(2.0, gt=0, description="For one question, retries included.")
    cache_entries: int = Field(20_000, ge=0)
    max_ttl: Seconds = Field(3600.0, ge=1, description="Longest time an answer is kept.")
    max_negative_ttl: Seconds = Field(300.0, ge=1, description="Longest time 'does not exist' is kept.")


class Log(Model):
    """Where the log goes: stderr, syslog or a file."""

    to: str = "stderr"


def _actions(value: dict[str, float]) -> dict[Action, float]:
    thresholds = {Action.parse(word): score for word, score in value.items()}
    if Action.NO_ACTION in thresholds:
        raise ValueError("'no action' has no threshold: it is what is left below the others")
    return thresholds


def _forced(value: dict[str, str]) -> dict[str, Action]:
    return {name: Action.parse(word) for name, word in value.items()}


Thresholds = Annotated[dict[str, float], AfterValidator(_actions)]
ForcedActions = Annotated[dict[str, str], AfterValidator(_forced)]


DEFAULT_CHECKS = ("spf", "dkim", "dmarc", "arc", "iprev", "helo", "bayes", "rules", "gtube")


class Settings(Model):
    """The configuration file."""

    include: tuple[str, ...] = ()
    hostname: str = Field(default_factory=socket.getfqdn)
    listeners: tuple[Listener, ...] = ()
    trusted_networks: Networks = Field(default=("127.0.0.0/8", "::1"), validate_default=True)
    local_networks: Networks = Field(default=(), validate_default=True)
    local_domains: frozenset[str] = frozenset()
    relay_domains: frozenset[str] = frozenset()
    mode: Literal["enforce", "observe"] = "enforce"
    workers: int = Field(0, ge=0, le=256, description="0 is one a core.")
    deadline: Seconds = Field(20.0, gt=0, description="For a whole message, below the MTA's own time-out.")
    step_limit: Seconds = Field(
        2.0,
        ge=0,
        description="Longest time a check may hold a worker's event loop before it is stopped; 0 is no limit.",
    )
    drain_timeout: Seconds = Field(30.0, ge=0, description="How long sessions may finish after SIGTERM.")
    failure_policy: Literal["tempfail", "accept"] = "tempfail"
    max_scan_size: Size = Field(10_000_000, ge=1024)
    dns: Dns = Dns()
    store: str = "sqlite:///var/lib/filterproxy/state.db"
    history_retention: Seconds = Field(30 * 86400.0, ge=0)
    log: Log = Log()
    actions: Thresholds = Field(default={"add_header": 6.0, "reject": 15.0}, validate_default=True)
    subject: str = "***SPAM*** %s"
    scores: dict[str, float] = {}
    force_actions: ForcedActions = Field(default={}, validate_default=True)
    # Without this key the default set runs; a `checks` key replaces the whole set (installed is not enabled).
    checks: dict[str, dict[str, Any] | None] = Field(
        default_factory=lambda: {name: {} for name in DEFAULT_CHECKS},
        description="The enabled checks with their settings; exactly these run.",
    )
