"""Where mail is relayed to, as it is written in the configuration; `config.endpoints` makes sense of it.

The rule: a secret is never a value here, only the file it is in or the command that prints it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from filterproxy.config.addresses import Address, SocketAddress
from filterproxy.config.base import Model
from filterproxy.core.values import Seconds

TlsPolicy = Literal["none", "may", "encrypt", "verify"]


class ProviderServer(Model):
    """One server of a provider."""

    host: str = Field(min_length=1, description="Its name, which its certificate must have.")
    port: int = Field(ge=1, le=65535, description="Its port.")
    tls: Literal["implicit", "starttls"] = Field(description="TLS from the first octet, or by STARTTLS.")


class Provider(Model):
    """A mail provider's published settings; the user name is a whole address, TLS and AUTH are required."""

    about: str = Field("", description="For people.")
    servers: tuple[ProviderServer, ...] = Field(
        description="The first is the default; `port` and `host` of a next hop choose another."
    )


class Hop(Model):
    """One server to relay to."""

    name: str = Field("", description="For the log and `test-delivery --next-hop`; else provider or address.")
    address: Address | None = Field(
        None,
        description='`host:port`, `"[::1]:port"`, `unix:/path`; `smtps://…` is TLS from the start, `lmtp://…` LMTP.',
    )
    provider: str = Field("", description="Instead of an address: a preset (see smarthosts.md) or one of `providers`.")
    host: str = Field("", description="With provider: another server name.")
    port: int | None = Field(None, ge=1, le=65535, description="With provider: another of its ports.")
    weight: int = Field(1, ge=1, le=1000, description="Share of the sessions, among several hops.")
    backup: bool = Field(False, description="Used only when no other hop can be reached.")
    tls: TlsPolicy | None = Field(
        None,
        description="`none`, `may` (if offered), `encrypt` (always), `verify` (always, with a good certificate). "
        "Default: `verify` with credentials, smtps:// or a provider; `none` on loopback and unix sockets; else `may`.",
    )
    tls_minimum: Literal["1.2", "1.3"] = Field("1.2", description="Oldest TLS version that will do.")
    server_name: str = Field("", description="The name the certificate must have; default: the host.")
    ca_file: str = Field("", description="Trusted certificate authorities (PEM); default: the system's.")
    username: str = Field("", description="For AUTH; TLS is required with it, except on loopback and unix sockets.")
    password_file: str = Field(
        "", description="Holds the password in its first line; only its owner and group may read."
    )
    token_file: str = Field("", description="Holds an OAuth 2 access token that somebody else keeps fresh.")
    token_command: str | tuple[str, ...] = Field(
        "", description="Prints an OAuth 2 access token: a line, or JSON with access_token and expires_in. No shell."
    )
    token_lifetime: Seconds = Field(
        3000.0, gt=0, description="How long a token is used that does not say when it expires."
    )
    token_timeout: Seconds = Field(30.0, gt=0, description="For the token command.")
    mechanism: Literal["plain", "login", "xoauth2", "oauthbearer"] | None = Field(
        None, description="Only this AUTH mechanism; default: the best that is offered and fits the secret."
    )
    connect_timeout: Seconds = Field(10.0, gt=0, description="Until the connection stands.")
    tls_timeout: Seconds = Field(10.0, gt=0, description="For the TLS handshake.")
    command_timeout: Seconds = Field(30.0, gt=0, description="For the reply to one command, the greeting included.")
    data_timeout: Seconds = Field(60.0, gt=0, description="From the final dot to the next hop's reply.")
    quit_timeout: Seconds = Field(5.0, gt=0, description="For the reply to QUIT, which nobody waits for.")
    pool_size: int = Field(4, ge=0, description="Idle connections kept a worker, for seconds; 0 opens one a session.")
    idle_timeout: Seconds = Field(5.0, gt=0, description="How long an idle connection is kept.")
    max_age: Seconds = Field(300.0, ge=0, description="A connection older than that is not kept.")


def _as_map(value: Any) -> Any:
    return {"address": value} if isinstance(value, str | SocketAddress) else value


class HopItem(Hop):
    """One of several servers: keys that are not written are those of the map around the list."""

    sparse: ClassVar[bool] = True


class HopGroup(Hop):
    """One server, or several that do the same."""

    hops: tuple[Annotated[HopItem, BeforeValidator(_as_map)], ...] = Field(
        (),
        description="Instead of an address: several servers, addresses or maps with the keys of `next_hop`. "
        "What one does not say is taken from the map around the list.",
    )
    retry_after: Seconds = Field(
        30.0, ge=0, description="How long a hop that could not be reached is tried last, when there are others."
    )


def _as_group(value: Any) -> Any:
    return {"hops": value} if isinstance(value, list) else _as_map(value)


class NextHop(HopGroup):
    """Where a listener relays to, with time-outs (RFC 5321 section 4.5.3.2 gives the ideas)."""

    routes: dict[str, Annotated[HopGroup, BeforeValidator(_as_group)]] = Field(
        {},
        description="Next hops by recipient domain (`example.org`, `.example.org` for those below it); they inherit "
        "nothing. Mail for all others goes where `next_hop` says.",
    )


NextHopValue = Annotated[NextHop, BeforeValidator(_as_group)]
