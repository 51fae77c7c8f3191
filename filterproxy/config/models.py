"""The whole configuration as typed models; every key has a safe default.

The keys are the public surface: people script against them, so they are added to and never renamed.
"""

from __future__ import annotations

import re
import socket
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, FiniteFloat

from filterproxy.config.actions import ForcedActions, Thresholds
from filterproxy.config.addresses import NameServer, Networks
from filterproxy.config.base import Model
from filterproxy.config.listeners import Listener
from filterproxy.config.next_hop import Provider
from filterproxy.core.values import Seconds, Size


class Dns(Model):
    """Which servers to ask; without `nameservers` those of /etc/resolv.conf, also after a change of it."""

    nameservers: tuple[NameServer, ...] = Field((), description="A resolver of your own answers best, on loopback.")
    timeout: Seconds = Field(2.0, gt=0, description="For one question, retries included.")
    cache_entries: int = Field(20_000, ge=0, description="Answers kept in memory by each worker.")
    cache_size: Size = Field(32_000_000, ge=0, description="Memory for these answers, about, in each worker.")
    max_ttl: Seconds = Field(3600.0, ge=1, description="Longest time an answer is kept.")
    max_negative_ttl: Seconds = Field(300.0, ge=1, description="Longest time 'does not exist' is kept.")
    randomize_case: bool = Field(
        False, description="Ask in a random case of letters, which makes forged answers harder; for servers elsewhere."
    )


class Log(Model):
    """Where the log goes: stderr, syslog or a file."""

    to: str = Field("stderr", min_length=1, description="`stderr`, `syslog` (facility mail) or a file.")


class Profile(Model):
    """What becomes of mail of our own; which checks run for it is each check's `authenticated` and `local`."""

    actions: Thresholds | None = Field(None, description="Thresholds instead of the general `actions`.")
    scores: dict[str, FiniteFloat] = Field({}, description="Scores by symbol, laid over the general `scores`.")
    headers: Literal["always", "spam", "never"] = Field("spam", description="When verdict fields are added.")
    authentication_results: bool = Field(True, description="Add Authentication-Results.")


class AuthenticatedProfile(Profile):
    """Mail of users who authenticated to us or to the MTA."""

    smtp_auth: bool = Field(False, description="Authentication-Results names the user, besides `auth=pass`.")


class LocalProfile(Profile):
    """Mail from local_networks without authentication."""

    authentication_results: bool = Field(False, description="Add Authentication-Results.")


class ProfileSettings(Model):
    """The profiles of our own mail."""

    authenticated: AuthenticatedProfile = Field(AuthenticatedProfile(), description="Mail of authenticated users.")
    local: LocalProfile = Field(LocalProfile(), description="Mail from local_networks.")


_LABELS = re.compile(r"[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*", re.IGNORECASE)


def _selector(value: str) -> str:
    if not _LABELS.fullmatch(value):
        raise ValueError("must be a name of letters, digits, hyphens and dots, such as arc2026")
    return value.lower()


def _domain(value: str) -> str:
    if not _LABELS.fullmatch(value) or "." not in value:
        raise ValueError("must be a domain name such as example.org (xn--… when it is international)")
    return value.lower()


class ArcSealing(Model):
    """Mail from outside that is passed on carries an ARC set of ours (RFC 8617); needs the check `arc`."""

    domain: Annotated[str, AfterValidator(_domain)] = Field(description="Our domain; its DNS holds the key.")
    selector: Annotated[str, AfterValidator(_selector)] = Field(
        description="The key is at `SELECTOR._domainkey.DOMAIN`."
    )
    key_file: str = Field(min_length=1, description="PEM file of the private RSA key (2048 bits).")


DEFAULT_CHECKS: tuple[str, ...] = (
    *("spf", "dkim", "dmarc", "arc", "iprev", "helo", "own_domain"),
    *("bayes", "rules", "gtube"),
)


def _default_checks() -> dict[str, dict[str, Any] | None]:
    return {name: {} for name in DEFAULT_CHECKS}


class Settings(Model):
    """The configuration file."""

    include: tuple[str, ...] = Field(
        (), description="Files laid under this one, in order; names or patterns relative to this file."
    )
    hostname: str = Field(
        default_factory=socket.getfqdn,
        min_length=1,
        description="Our HELO name and authserv-id; the default is the machine's name.",
    )
    listeners: tuple[Listener, ...] = Field((), description="Where mail comes in; `run` needs at least one.")
    providers: dict[str, Provider] = Field(
        {}, description="Mail providers of your own for `next_hop: {provider: …}`, by name, beside the built-in ones."
    )
    trusted_networks: Networks = Field(
        default=("127.0.0.0/8", "::1"),
        validate_default=True,
        description="Clients that may say who the real client is (XFORWARD, XCLIENT, PROXY).",
    )
    local_networks: Networks = Field(default=(), validate_default=True, description="Our own clients.")
    local_domains: frozenset[str] = Field(frozenset(), description="Our own domains.")
    relay_domains: frozenset[str] = Field(frozenset(), description="Domains that we accept mail for and pass on.")
    mode: Literal["enforce", "observe"] = Field(
        "enforce", description="`observe` scans, logs and marks, and never rejects."
    )
    user: str = Field("", description="Started as root: become this user once the ports are bound.")
    group: str = Field("", description="Started as root: the group of `user`; its own unless given.")
    workers: int = Field(0, ge=0, le=256, description="0 is one a core.")
    deadline: Seconds = Field(20.0, gt=0, description="For a whole message, below the MTA's own time-out.")
    step_limit: Seconds = Field(
        2.0,
        ge=0,
        description="Longest time a check may hold a worker's event loop before it is stopped; 0 is no limit.",
    )
    watch_interval: Seconds = Field(
        0.25, ge=0, description="How often rules files are looked at for changes, which reload; 0: only SIGHUP does."
    )
    drain_timeout: Seconds = Field(30.0, ge=0, description="How long sessions may finish after SIGTERM.")
    failure_policy: Literal["tempfail", "accept"] = Field(
        "tempfail", description="What mail gets when the filter itself cannot decide."
    )
    max_scan_size: Size = Field(10_000_000, ge=1024, description="Larger mail is scanned in its first part.")
    dns: Dns = Field(Dns(), description="How DNS is asked.")
    store: str = Field(
        "sqlite:///var/lib/filterproxy/state.db",
        description="The database of history and state; learned state lies beside it.",
    )
    history_retention: Seconds = Field(30 * 86400.0, ge=0, description="How long history is kept; 0 keeps none.")
    log: Log = Field(Log(), description="Where the log goes.")
    actions: Thresholds = Field(
        default={"add_header": 6.0, "reject": 15.0},
        validate_default=True,
        description="The score at which each action begins.",
    )
    subject: str = Field("***SPAM*** %s", description="The new subject for `rewrite subject`; %s is the old one.")
    scores: dict[str, FiniteFloat] = Field({}, description="Scores by symbol, instead of the symbols' own.")
    force_actions: ForcedActions = Field(
        default={}, validate_default=True, description="Actions that a symbol forces, whatever the score."
    )
    profiles: ProfileSettings = Field(
        ProfileSettings(), description="How mail of authenticated users and from local_networks is treated."
    )
    arc_sealing: ArcSealing | None = Field(None, description="Seal what is passed on; without it nothing is sealed.")
    # Without this key the default set runs; a `checks` key replaces the whole set (installed is not enabled).
    checks: dict[str, dict[str, Any] | None] = Field(
        default_factory=_default_checks,
        description="The enabled checks with their settings; exactly these run.",
    )
