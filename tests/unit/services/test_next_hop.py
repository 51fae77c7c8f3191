"""The connection to the next hop: early replies, time-outs, the pool."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path

import pytest

from filterproxy.config.addresses import SocketAddress
from filterproxy.config.endpoints import builtin_providers, endpoint
from filterproxy.config.next_hop import NextHop as NextHopConfig
from filterproxy.core.errors import NextHopError
from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.commands import Path as MailPath
from filterproxy.services.alarm import Alarm
from filterproxy.services.next_hop import NextHop, NextHopConnection
from tests.dialogs.smtp_peers import Sink, sink
from tests.smtp_provider import PASSWORD, USER, Authority, Provider, provider

A = MailPath("a@example.org", b"a@example.org")


def next_hop(hop: Sink, **settings: object) -> NextHop:
    config = NextHopConfig.model_validate({"address": f"127.0.0.1:{hop.port}", "pool_size": 0, **settings})
    return NextHop(config, lambda: "mx.example.org")


class Transport(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: object) -> None:
        self.written += bytes(data)  # type: ignore[call-overload]

    def close(self) -> None:
        self.closed = True

    abort = close


def connection(**settings: object) -> tuple[NextHopConnection, Transport]:
    config = NextHopConfig.model_validate({"address": "127.0.0.1:1", **settings})
    made, transport = NextHopConnection(endpoint(config, builtin_providers(), Path())), Transport()
    made.connection_made(transport)
    return made, transport


async def test_a_greeting_that_is_here_before_its_connection_is_returned() -> None:
    made, transport = connection()
    made.data_received(b"220 hop\r\n")
    greeting = asyncio.create_task(made.hello("mx"))
    await asyncio.sleep(0)
    assert transport.written == b"EHLO mx\r\n"
    made.data_received(b"250 hop\r\n")
    await greeting
    assert made.ready


async def test_a_reply_that_came_before_the_end_still_counts() -> None:
    made, _ = connection()
    made.data_received(b"554 go away\r\n")
    made.connection_lost(None)
    with pytest.raises(NextHopError, match="refuses us: 554 go away"):
        await made.hello("mx")


async def test_half_a_reply_is_none() -> None:
    made, transport = connection(command_timeout="50ms")
    made.data_received(b"220-hop\r\n220 ")
    with pytest.raises(NextHopError, match="no reply within") as error:
        await made.hello("mx")
    assert error.value.stage == "connect"
    assert transport.closed
    assert not made.alive


async def test_a_whole_transaction() -> None:
    async with sink() as hop:
        service = next_hop(hop)
        made = await service.connect()
        assert (await made.mail(A)).positive
        assert (await made.rcpt(A)).positive
        assert (await made.data()).code == 354
        assert await made.send([b".dot\r\n"]) is None
        assert await made.sent() == Reply(250, ("2.0.0 queued",))
        service.release(made)
        async with asyncio.timeout(5):
            await hop.quiet.wait()
        assert hop.accepted[0].raw == b"..dot"
        assert hop.commands[-1] == b"QUIT"


async def test_quit_waits_for_nobody() -> None:
    async with sink() as hop:
        hop.answers["QUIT"] = asyncio.Event().wait
        service = next_hop(hop, quit_timeout="50ms")
        made = await service.connect()
        service.release(made)
        async with asyncio.timeout(5):
            while made.alive:
                await asyncio.sleep(0)


async def test_a_unix_socket(tmp_path: Path) -> None:
    hop = Sink()
    server = await asyncio.start_unix_server(hop.serve, tmp_path / "hop")
    service = NextHop(NextHopConfig(address=SocketAddress(path=str(tmp_path / "hop"))), lambda: "mx")
    made = await service.connect()
    assert (await made.mail(A)).positive
    made.abort()
    server.close()
    await hop.quiet.wait()


async def test_connect_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
    service = NextHop(
        NextHopConfig.model_validate({"address": "192.0.2.1:25", "connect_timeout": "50ms"}), lambda: "mx"
    )
    with pytest.raises(NextHopError, match="no connection in time"):
        await service.connect()


class TestPool:
    async def complete(self, made: NextHopConnection) -> None:
        for step in (made.mail(A), made.rcpt(A), made.data()):
            await step
        await made.send([b"x\r\n"])
        await made.sent()

    async def test_a_clean_connection_is_used_again(self) -> None:
        async with sink() as hop:
            service = next_hop(hop, pool_size=1)
            first = await service.connect()
            await self.complete(first)
            service.release(first)
            assert await service.connect() is first
            service.release(first)
            service.release(await service.open())
            service.close()
            async with asyncio.timeout(5):
                await hop.quiet.wait()
            assert hop.connections == 2
            assert [command for command in hop.commands if command == b"QUIT"] == [b"QUIT"] * 2

    async def test_one_with_a_refusal_is_not(self) -> None:
        async with sink(answers={"MAIL": b"550 no"}) as hop:
            service = next_hop(hop, pool_size=1)
            made = await service.connect()
            await made.mail(A)
            assert made.ready
            service.release(made)
            assert await service.connect() is not made

    async def test_one_that_was_closed_meanwhile_is_not(self) -> None:
        async with sink() as hop:
            service = next_hop(hop, pool_size=1)
            made = await service.connect()
            service.release(made)
            hop.writers[0].write(b"421 4.4.2 idle\r\n")
            async with asyncio.timeout(5):
                while made.ready:
                    await asyncio.sleep(0)
            assert await service.connect() is not made

    async def test_an_old_one_is_not(self) -> None:
        async with sink() as hop:
            service = next_hop(hop, pool_size=1, max_age=0)
            made = await service.connect()
            service.release(made)
            assert await service.connect() is not made

    async def test_an_idle_one_is_not_kept_for_long(self) -> None:
        async with sink() as hop:
            service = next_hop(hop, pool_size=1, idle_timeout="50ms")
            service.release(await service.connect())
            async with asyncio.timeout(5):
                await hop.quiet.wait()
            assert hop.commands[-1] == b"QUIT"


class TestAlarm:
    async def test_it_rings_at_the_latest_deadline(self) -> None:
        rung = asyncio.Event()
        alarm, loop = Alarm(rung.set), asyncio.get_running_loop()
        began = loop.time()
        alarm.set(10.0)
        alarm.set(0.01)
        alarm.set(0.05)
        await asyncio.wait_for(rung.wait(), 5)
        assert loop.time() - began >= 0.045

    async def test_it_does_not_ring_when_cleared(self) -> None:
        rung, after = [], asyncio.Event()
        alarm = Alarm(lambda: rung.append(1))
        alarm.set(0.01)
        alarm.clear()
        asyncio.get_running_loop().call_later(0.05, after.set)
        await after.wait()
        assert not rung
        alarm.set(0.01)
        alarm.close()
        assert alarm._handle is None


class TestForOneClient:
    """What speaks for one client serves no other one."""

    async def test_xclient_starts_over(self) -> None:
        async with provider(mechanisms="", keywords=("XCLIENT NAME ADDR LOGIN",)) as server:
            server.replies["XCLIENT"] = b"220 hello again"
            made = await plain(server).connect()
            assert await made.xclient({"ADDR": "2001:db8::1", "NAME": "", "LOGIN": "a b", "PORT": "25"}) is None
            assert server.commands == [
                "EHLO mx.example.org",
                "XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 LOGIN=a+20b",
                "EHLO mx.example.org",
            ]
            assert made.ready
            assert not made.reusable

    async def test_xclient_is_refused_or_not_offered(self) -> None:
        async with provider(mechanisms="", keywords=("XCLIENT ADDR",)) as server:
            server.replies["XCLIENT"] = b"550 5.7.0 not from you"
            made = await plain(server).connect()
            assert await made.xclient({"ADDR": "192.0.2.1"}) == Reply(550, ("5.7.0 not from you",))
            assert await made.xclient({"NAME": "x"}) is None
            assert not made.reusable

    async def test_the_clients_own_auth(self) -> None:
        async with provider() as server:
            made = await plain(server).open(authenticate=False)
            assert made.extensions.auth == {"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"}
            assert (await made.auth(b"LOGIN")).code == 334
            assert (await made.auth_response(b64encode(USER.encode()))).code == 334
            assert (await made.auth_response(b64encode(b"wrong"))).code == 535
            assert not made.authenticated
            assert (await made.auth(b"PLAIN " + b64encode(f"\0{USER}\0{PASSWORD}".encode()))).code == 235
            assert made.authenticated
            assert made.ready
            assert not made.reusable
            assert (await made.mail(A)).positive
            made.abort()

    async def test_own_credentials_are_shared(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        (tmp_path / "secret").write_text(PASSWORD)
        (tmp_path / "secret").chmod(0o600)
        async with provider(context=authority.context()) as server:
            settings = {"address": f"localhost:{server.port}", "ca_file": authority.file, "username": USER}
            config = NextHopConfig.model_validate({**settings, "password_file": str(tmp_path / "secret")})
            service = NextHop(config, lambda: "mx")
            made = await service.connect()
            service.release(made)
            assert await service.connect() is made
            assert (await service.open(authenticate=False)).authenticated is False
            service.close()
            made.abort()


def plain(server: Provider) -> NextHop:
    return NextHop(NextHopConfig.model_validate({"address": f"127.0.0.1:{server.port}"}), lambda: "mx.example.org")
