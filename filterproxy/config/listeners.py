"""The listeners of the configuration, one model for each type, with their limits."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from filterproxy.config.actions import ForcedActions, Thresholds
from filterproxy.config.addresses import Address, SocketAddress
from filterproxy.config.base import Model
from filterproxy.config.next_hop import NextHop, NextHopValue
from filterproxy.core.values import Seconds, Size

SymbolNames = Literal["rspamd", "spamassassin"] | None
COMPAT: Any = Field(
    None,
    description="Clients and header fields see symbols under rspamd's or SpamAssassin's names where they have one"
    " (symbol-names.md); default: our names.",
)


class SmtpLimits(Model):
    """Limits and deadlines of an SMTP listener; each protects memory, descriptors or time."""

    message_size: Size = Field(50_000_000, ge=1, description="Larger messages get 552.")
    memory_size: Size = Field(1_000_000, ge=0, description="Larger messages are kept in a file while they pass.")
    recipients: int = Field(1000, ge=1, description="Recipients of a message; more get 452.")
    hops: int = Field(
        50, ge=1, description="Received fields of a message; one with more runs in a circle and gets 554."
    )
    line_length: int = Field(65_536, ge=1000, description="Octets of one body line, without its line end.")
    command_length: int = Field(2048, ge=512, description="Octets of one command line.")
    connections: int = Field(500, ge=1, description="Open sessions a worker; more get 421.")
    client_connections: int = Field(50, ge=1, description="The same, of one network outside trusted_networks.")
    client_ipv4_prefix: int = Field(32, ge=8, le=32, description="Which IPv4 addresses are one network there.")
    client_ipv6_prefix: int = Field(64, ge=16, le=128, description="Which IPv6 addresses are one network there.")
    errors: int = Field(20, ge=1, description="Protocol errors in a session before 421.")
    command_timeout: Seconds = Field(300.0, gt=0, description="How long a client may take for one command.")
    data_timeout: Seconds = Field(300.0, gt=0, description="How long a client may take for 64 KiB of a message.")
    data_rate: Size = Field(
        250, ge=0, description="Octets of a message a client must send a second, after data_timeout; 0 is no limit."
    )
    session_timeout: Seconds = Field(
        7200.0, gt=0, description="A session may take this long; then its next command gets 421."
    )
    auth_failures: int = Field(3, ge=1, description="Failed AUTH commands in a session before 421.")
    auth_delay: Seconds = Field(2.0, ge=0, description="How long the answer to a failed AUTH waits.")


class ServerTls(Model):
    """TLS of a listener. A reload (SIGHUP) reads the files again."""

    cert: str = Field(min_length=1, description="PEM file: our certificate and those between it and the root.")
    key: str | None = Field(None, min_length=1, description="PEM file of the key; default: in the file of `cert`.")
    mode: Literal["starttls", "implicit"] = Field(
        "starttls", description="`starttls` offers TLS after EHLO; `implicit` begins with it (port 465)."
    )
    required: bool = Field(False, description="Take no mail before STARTTLS.")
    minimum: Literal["TLSv1.2", "TLSv1.3"] = Field("TLSv1.2", description="The oldest version that is accepted.")
    handshake_timeout: Seconds = Field(30.0, gt=0, description="How long the TLS handshake may take.")


class ServerAuth(Model):
    """AUTH of a listener; offered inside TLS only."""

    source: Literal["next_hop", "file"] = Field(
        description="`next_hop` passes the dialogue on; `file` checks passwords here."
    )
    file: str | None = Field(None, min_length=1, description="`source: file`: lines `user:argon2-hash`.")
    required: bool = Field(False, description="Take no mail from clients that have not authenticated (submission).")

    @model_validator(mode="after")
    def _has_its_file(self) -> Self:
        if self.source == "file" and self.file is None:
            raise ValueError("source: file needs `file`, the password file")
        if self.source == "next_hop" and self.file is not None:
            raise ValueError("`file` is for source: file")
        return self


class SmtpService(Model):
    """What SMTP and LMTP listeners have in common."""

    type: Literal["smtp", "lmtp"]
    address: Address = Field(description='Where to listen: `host:port`, `"[::1]:port"` or `unix:/path`.')
    mode: Literal["before_queue", "after_queue", "front"] = Field(
        "before_queue",
        description="`before_queue` rejects in session; `after_queue` is a content filter; `front` faces the world.",
    )
    next_hop: NextHopValue = Field(
        default_factory=lambda: NextHop(address=SocketAddress("127.0.0.1", 10026)),
        description="Where to relay to: an address, a map, or a list of several.",
    )
    on_reject: Literal["add header", "discard"] = Field(
        "add header", description="after_queue: what a reject or soft reject becomes; a bounce never."
    )
    quarantine_fallback: Literal["add header", "soft reject", "reject", "discard"] = Field(
        "add header", description="What `quarantine` becomes here, where nothing can be held."
    )
    bare_newlines: Literal["reject", "normalize"] | None = Field(
        None, description="Default: reject, and normalize in after_queue mode."
    )
    nul: Literal["pass", "reject"] = Field("pass", description="What to do with messages that contain NUL octets.")
    tls: ServerTls | None = Field(None, description="Certificate and key; without it no TLS is offered.")
    auth: ServerAuth | None = Field(None, description="Who checks passwords; without it no AUTH is offered.")
    proxy_protocol: bool = Field(
        False, description="Connections from trusted_networks begin with a PROXY header (HAProxy, v1 or v2)."
    )
    spool_dir: str | None = Field(
        None, min_length=1, description="Folder for messages above limits.memory_size; default: the system's for such."
    )
    headers: Literal["spamassassin", "rspamd"] = Field("spamassassin", description="Which header fields are added.")
    compat: SymbolNames = COMPAT
    limits: SmtpLimits = Field(SmtpLimits(), description="Limits of this listener.")

    @model_validator(mode="after")
    def _auth_has_tls(self) -> Self:
        if self.auth is not None and self.tls is None:
            raise ValueError("auth needs tls: passwords are never taken in plain text")
        if self.auth is not None and self.mode == "after_queue":
            raise ValueError("auth is not for after_queue: a content filter's client is the mail server itself")
        if self.type == "lmtp" and self.mode == "front":
            raise ValueError("mode: front is for smtp: LMTP is not spoken with strangers")
        return self


class SmtpListener(SmtpService):
    """An SMTP proxy: before the queue (a reject is given in session), behind it (a content filter), or in front."""

    type: Literal["smtp"] = Field(description="An SMTP proxy.")


class LmtpListener(SmtpService):
    """An LMTP proxy: like `smtp`, with a reply for each recipient (RFC 2033); for local clients."""

    type: Literal["lmtp"] = Field(description="An LMTP proxy.")


def _parse_spared_address(value: Any) -> Any:
    if isinstance(value, str) and value.count("@") and value != "@":
        return value.lower()
    raise ValueError("an address is `user@domain`, `user@` or `@domain`")


SparedAddress = Annotated[str, BeforeValidator(_parse_spared_address), WithJsonSchema({"type": "string"})]


class MilterLimits(Model):
    """Limits of a milter listener."""

    message_size: Size = Field(200_000_000, ge=1, description="Larger messages get a temporary failure.")
    frame_size: Size = Field(1_049_600, ge=65_537, description="One event; above the MTA's longest header field.")
    connections: int = Field(500, ge=1, description="Open connections a worker; more are closed at once.")
    idle_timeout: Seconds = Field(7200.0, gt=0, description="The MTA may hold a connection this long between events.")


class MilterListener(Model):
    """A milter for Postfix or sendmail."""

    type: Literal["milter"] = Field(description="A milter.")
    address: Address = Field(description="Where to listen; a unix socket is faster than TCP.")
    headers: Literal["spamassassin", "rspamd"] = Field("spamassassin", description="Which header fields are added.")
    compat: SymbolNames = COMPAT
    never_reject: frozenset[SparedAddress] = Field(
        frozenset(),
        description="Recipients (`user@domain`, `user@`, `@domain`) whose mail is marked, never refused or discarded;"
        " a message that is refused reaches them alone, all others are removed from it.",
    )
    progress_interval: Seconds = Field(
        20.0, gt=0, description="How often the MTA is told that a scan still runs, below its content time-out (300s)."
    )
    limits: MilterLimits = Field(MilterLimits(), description="Limits of this listener.")


class PolicyLimits(Model):
    """Limits of a policy listener."""

    line_length: int = Field(8192, ge=512, description="Octets of one attribute; a longer one ends the connection.")
    attributes: int = Field(100, ge=30, description="Attributes of one request; more end the connection.")
    connections: int = Field(500, ge=1, description="Open connections a worker; more are closed at once.")
    request_timeout: Seconds = Field(30.0, gt=0, description="How long a request may take to come in whole.")
    idle_timeout: Seconds = Field(3600.0, gt=0, description="How long Postfix may hold a connection between requests.")


class PolicyListener(Model):
    """Postfix's policy service (`check_policy_service`): an answer for each recipient, before the message."""

    type: Literal["policy"] = Field(description="A policy service for Postfix.")
    address: Address = Field(description="Where to listen; a unix socket is faster than TCP.")
    actions: Thresholds | None = Field(
        None,
        description="Thresholds here instead of the general `actions`; only the sum of what is known at RCPT counts.",
    )
    force_actions: ForcedActions = Field({}, description="Actions that a symbol forces here, beside the general ones.")
    never_reject: frozenset[SparedAddress] = Field(
        frozenset(), description="Recipients (`user@domain`, `user@`, `@domain`) whose mail is never refused here."
    )
    on_allow: Literal["dunno", "permit_auth_destination", "ok"] = Field(
        "dunno",
        description="The answer when a symbol forces `no action` (an allow list): `dunno` leaves it to Postfix's"
        " further restrictions, the others skip them; `ok` does for every destination, so only behind"
        " `reject_unauth_destination`.",
    )
    prepend: Literal["none", "received_spf"] = Field(
        "none", description="`received_spf` adds that header field (RFC 7208) once a message, when SPF was checked."
    )
    limits: PolicyLimits = Field(PolicyLimits(), description="Limits of this listener.")


class SpamdLimits(Model):
    """Limits of a spamd listener."""

    message_size: Size = Field(50_000_000, ge=1, description="Larger messages are refused, before and after zlib.")
    connections: int = Field(200, ge=1, description="Open connections a worker; more are refused.")
    request_timeout: Seconds = Field(300.0, gt=0, description="How long a client may take to send its request.")


class SpamdListener(Model):
    """SpamAssassin's spamd protocol, for spamc, spamass-milter, Exim, Haraka and others; keep it on loopback."""

    type: Literal["spamd"] = Field(description="spamd's protocol.")
    address: Address = Field(description="Where to listen; spamc asks port 783 unless told otherwise.")
    allow_tell: bool = Field(False, description="Clients may teach the classifier (TELL, spamc -L).")
    headers: Literal["spamassassin", "rspamd"] = Field("spamassassin", description="Which header fields are added.")
    compat: SymbolNames = COMPAT
    limits: SpamdLimits = Field(SpamdLimits(), description="Limits of this listener.")


def _argon2_hash(value: str) -> str:
    # As text of our own: the value is a secret, and pydantic's messages would show it.
    if not _ARGON2.fullmatch(value):
        raise ValueError("is no argon2 hash; `doveadm pw -s ARGON2ID` or `argon2 SALT -id -e` makes one")
    return value.partition("}")[2] or value


_ARGON2 = re.compile(
    r"(\{ARGON2(ID|I)?\})?\$argon2(id|i|d)\$v=19\$m=\d{1,7},t=\d{1,3},p=\d{1,3}\$[A-Za-z0-9+/]{11,128}\$[A-Za-z0-9+/]{16,128}"
)
Argon2Hash = Annotated[str, AfterValidator(_argon2_hash)]


class HttpLimits(Model):
    """Limits of an HTTP listener."""

    message_size: Size = Field(50_000_000, ge=1, description="Larger messages get 413, before and after zstd.")
    connections: int = Field(100, ge=1, description="Open connections a worker; more get 503.")
    request_timeout: Seconds = Field(300.0, gt=0, description="How long a client may take to send its request.")
    password_failures: int = Field(10, ge=1, description="Wrong passwords of one client before it gets 429.")
    password_failure_window: Seconds = Field(60.0, gt=0, description="In what time they count, and how long 429 lasts.")


def _sha256(value: str) -> str:
    # As text of our own, as above.
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("is no SHA-256 in hexadecimal; `filterproxy token` makes a token and its hash")
    return value


class ApiToken(Model):
    """A token of the JSON API; only its hash is kept. `filterproxy token` makes one."""

    name: str = Field(min_length=1, max_length=64, description="Whose it is; for people alone.")
    sha256: Annotated[str, AfterValidator(_sha256)] = Field(description="The token's SHA-256 in hexadecimal.")
    scopes: frozenset[Literal["scan", "read", "write"]] = Field(
        min_length=1,
        description="`scan`: scan messages; `read`: history, symbols, rules, models; `write`: learn, choose a model.",
    )


class ApiSettings(Model):
    """The JSON API under /api/v1."""

    tokens: tuple[ApiToken, ...] = Field((), description="Who may ask, besides clients in trusted_networks.")
    trusted: bool = Field(True, description="Clients in trusted_networks and on a unix socket need no token.")
    requests: int = Field(32, ge=1, description="Messages that a worker scans or learns at once; more get 503.")


class HttpListener(Model):
    """rspamd's HTTP protocol, for rspamc, Exim, Haraka, OpenSMTPD and others; health and metrics."""

    type: Literal["http"] = Field(description="rspamd's protocol, health and metrics.")
    address: Address = Field(description="Where to listen; keep it on loopback. rspamd's ports are 11333 and 11334.")
    password: Argon2Hash | None = Field(
        None, description="Argon2 hash of the password for scans and statistics from outside trusted_networks."
    )
    enable_password: Argon2Hash | None = Field(
        None, description="Argon2 hash of the password that also allows to learn and to reset statistics."
    )
    api: ApiSettings = Field(ApiSettings(), description="Who may use the JSON API, see api.md.")
    headers: Literal["spamassassin", "rspamd"] = Field("rspamd", description="Which header fields clients are to add.")
    compat: SymbolNames = COMPAT
    limits: HttpLimits = Field(HttpLimits(), description="Limits of this listener.")


Listener = Annotated[
    SmtpListener | LmtpListener | MilterListener | PolicyListener | SpamdListener | HttpListener,
    Field(discriminator="type"),
]
