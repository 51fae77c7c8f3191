"""The policy listener over a real socket: answers by verdict, limits, time-outs, reload and drain."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from typing import Any

import pytest

from filterproxy.config.addresses import SocketAddress
from filterproxy.config.listeners import PolicyListener as PolicyConfig
from filterproxy.core.action import Action
from filterproxy.core.authentication import MethodResult
from filterproxy.core.check import Check, CheckConfig, Stage
from filterproxy.core.composite import Composite, Has, Not
from filterproxy.core.errors import CheckError
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.policy import PolicyListener
from filterproxy.observability.maillog import open_maillog
from filterproxy.observability.metrics import Metrics
from filterproxy.pipeline import Pipeline, PipelineOptions, Profiles, Recorder, ScoringPolicy, build
from filterproxy.services.store.history import HistoryRow
from filterproxy.testing import FakeClock, make_site
from filterproxy.testing.context import FakeScanPool, make_context

THRESHOLDS = {Action.ADD_HEADER: 6.0, Action.SOFT_REJECT: 10.0, Action.REJECT: 15.0}


class Early(Check[CheckConfig]):
    """Scores a transaction by its HELO, before the message."""

    name = "early"
    symbols = (Symbol("EARLY", 1.0, "It says so itself"), Symbol("ALLOWED", 0.0, "A friend"))
    stage = Stage.HELO

    def __init__(self, config: Any, context: Any) -> None:
        super().__init__(config, context)
        self.seen: list[Transaction] = []
        self.wait = asyncio.Event()
        self.entered = asyncio.Event()

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        self.seen.append(transaction)
        word, _, number = transaction.helo.partition(" ")
        if word == "wait":
            self.entered.set()
            await self.wait.wait()
        if word == "fail":
            raise CheckError("no answer")
        if word == "allowed":
            return [SymbolResult("ALLOWED")]
        method = MethodResult("spf", "pass", (("smtp.mailfrom", transaction.envelope.mail_from or ""),))
        return [SymbolResult("EARLY", float(number or 0), method=method)]


class Late(Check[CheckConfig]):
    """Needs the message, but knows recipients before it."""

    name = "late"
    symbols = (Symbol("LATE", 100.0, "Whatever it is"), Symbol("KNOWN_RCPT", 20.0, "A trap"))

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        return [SymbolResult("LATE")]

    async def inspect_envelope(self, transaction: Transaction) -> Sequence[SymbolResult]:
        return [SymbolResult("KNOWN_RCPT")] if "trap" in transaction.envelope.rcpt_to[0] else []

    def composites(self) -> Sequence[Composite]:
        return [
            Composite("WITHOUT_LATE", 50.0, "Not known before the message", Not(Has("LATE"))),
            Composite("EARLY_TOO", 3.0, "Known before the message", Has("EARLY")),
        ]


class History:
    def __init__(self) -> None:
        self.rows: list[HistoryRow] = []

    def record(self, row: HistoryRow) -> None:
        self.rows.append(row)


def settings(**config: Any) -> PolicyConfig:
    return PolicyConfig(type="policy", address=SocketAddress("127.0.0.1", 1), **config)


class Server:
    """A running listener."""

    def __init__(self, *, options: dict[str, Any] | None = None, on_failure: str = "ignore", **config: Any) -> None:
        self.history, self.metrics, clock = History(), Metrics(), FakeClock()
        log = open_maillog(os.devnull)
        self.context = ListenerContext(
            make_site(local_networks=(ip_network("192.0.2.128/25"),)), log, self.metrics, clock
        )
        checks = build(
            {"early": Early, "late": Late},
            {name: CheckConfig() for name in ("early", "late")},
            lambda _: make_context(),
        )
        self.early: Any = next(check for check in checks.checks if check.name == "early")
        policy = ScoringPolicy(
            THRESHOLDS,
            checks.symbols,
            composites=checks.composites,
            forced_actions={"ALLOWED": Action.NO_ACTION},
            soft_reject_on_failure=frozenset({"early"} if on_failure == "soft reject" else ()),
        )
        self.pipeline = Pipeline(
            checks,
            policy,
            PipelineOptions("mx.example.org", **(options or {})),
            clock=clock,
            scan_pool=FakeScanPool(),
            recorder=Recorder(log, self.metrics, self.history, clock),
            profiles=Profiles.standard(policy),
        )
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address = self.socket.getsockname()
        self.listener = PolicyListener(settings(**config), lambda: self.pipeline, self.context)

    async def ask(self, **attributes: str) -> str:
        client = await Client.open(self)
        try:
            return await client.ask(**attributes)
        finally:
            client.writer.close()


class Client:
    """One connection of Postfix."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, server: Server) -> Client:
        return cls(*await asyncio.open_connection(*server.address))

    def send(self, **attributes: str) -> None:
        told = {
            "request": "smtpd_access_policy",
            "protocol_state": "RCPT",
            "client_address": "192.0.2.1",
            "client_name": "unknown",
            "helo_name": "score 0",
            "sender": "a@example.org",
            "recipient": "b@example.net",
            **attributes,
        }
        self.writer.write("".join(f"{name}={value}\n" for name, value in told.items()).encode() + b"\n")

    async def read(self) -> str:
        async with asyncio.timeout(60):
            line = await self.reader.readline()
            assert not line or await self.reader.readline() == b"\n"
        return line.decode().removeprefix("action=").rstrip("\n")

    async def ask(self, **attributes: str) -> str:
        self.send(**attributes)
        return await self.read()


@asynccontextmanager
async def running(**config: Any) -> AsyncIterator[Server]:
    server = Server(**config)
    await server.listener.start([server.socket])
    yield server
    await server.listener.drain(1)


@pytest.mark.parametrize(
    ("helo", "action"),
    [
        ("score 0", "DUNNO"),
        ("score 6", "DUNNO"),  # a message would be marked
        ("score 7", "DEFER_IF_PERMIT 4.7.1 Try again later"),  # with the composite's 3
        ("score 12", "REJECT 5.7.1 Spam message rejected"),
        ("allowed", "DUNNO"),
    ],
)
async def test_the_answer_follows_the_score_of_what_is_known(helo: str, action: str) -> None:
    async with running() as server:
        assert (await server.ask(helo_name=helo)).startswith(action)
        (transaction,) = server.early.seen
    assert (transaction.client.address, transaction.client.name) == ("192.0.2.1", "")
    assert (transaction.envelope.mail_from, transaction.envelope.rcpt_to) == ("a@example.org", ("b@example.net",))


async def test_all_that_postfix_tells() -> None:
    told = {
        "client_address": "::ffff:192.0.2.200",
        "client_name": "mail.example.org",
        "client_port": "4711",
        "sender": "",
        "sasl_username": "joe",
        "queue_id": "4X",
        "encryption_protocol": "TLSv1.3",
        "encryption_cipher": "AES",
    }
    async with running() as server:
        await server.ask(**told)
        await server.ask(client_address="unknown", client_port="x")
        seen, odd = server.early.seen
    assert (seen.client.address, seen.client.name, seen.client.port) == ("192.0.2.200", "mail.example.org", 4711)
    assert (seen.envelope.mail_from, seen.user, seen.queue_id, seen.local) == ("", "joe", "4X", True)
    assert seen.tls is not None and (seen.tls.version, seen.tls.cipher) == ("TLSv1.3", "AES")
    assert (odd.client.address, odd.client.port) == ("", None)


async def test_a_check_of_the_message_may_know_the_envelope() -> None:
    async with running() as server:
        assert (await server.ask(recipient="trap@example.net")).startswith("REJECT")
        assert await server.ask(recipient="b@example.net") == "DUNNO"
        assert [(row.action, row.listener, row.rcpt_to) for row in server.history.rows] == [
            ("reject", "policy", ("trap@example.net",))
        ]


async def test_the_listeners_own_thresholds_and_forced_actions() -> None:
    async with running(actions={"reject": 4}, force_actions={"ALLOWED": "reject"}) as server:
        assert (await server.ask(helo_name="score 1")).startswith("REJECT 5.7.1 Spam")
        assert await server.ask(helo_name="score 0.5") == "DUNNO"
        assert (await server.ask(helo_name="allowed")).startswith("REJECT 5.7.1 Message rejected: A friend")


@pytest.mark.parametrize("word", ["quarantine", "discard"])
async def test_nothing_is_lost_for_other_recipients(word: str) -> None:
    async with running(force_actions={"EARLY": word}) as server:
        answer = await server.ask()
    assert answer.startswith("HOLD filterproxy: forced by EARLY" if word == "quarantine" else "REJECT 5.7.1")


@pytest.mark.parametrize(
    ("on_allow", "answer"),
    [("dunno", "DUNNO"), ("ok", "OK"), ("permit_auth_destination", "permit_auth_destination")],
)
async def test_who_is_allowed_skips_restrictions_only_when_that_is_said(on_allow: str, answer: str) -> None:
    async with running(on_allow=on_allow) as server:
        assert await server.ask(helo_name="allowed") == answer
        assert await server.ask(helo_name="score 0") == "DUNNO"


async def test_spared_recipients_and_observe_mode() -> None:
    async with running(never_reject=["postmaster@"]) as server:
        assert await server.ask(helo_name="score 99", recipient="Postmaster@example.net") == "DUNNO"
        assert (await server.ask(helo_name="score 99", recipient="b@example.net")).startswith("REJECT")
    async with running(options={"mode": "observe"}) as server:
        assert await server.ask(helo_name="score 99") == "DUNNO"


async def test_a_check_that_fails() -> None:
    async with running() as server:
        assert await server.ask(helo_name="fail") == "DUNNO"
    async with running(on_failure="soft reject") as server:
        assert (await server.ask(helo_name="fail")).startswith("DEFER_IF_PERMIT 4.3.0 Temporary failure")


@pytest.mark.parametrize(("policy", "answer"), [("tempfail", "DEFER_IF_PERMIT 4.3.0 Temporary"), ("accept", "DUNNO")])
async def test_our_own_failure(policy: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr("filterproxy.pipeline.pipeline.decide", broken)
    async with running(options={"failure_policy": policy}) as server:
        assert (await server.ask()).startswith(answer)


async def test_other_stages_are_left_to_postfix() -> None:
    async with running() as server:
        for state in ("CONNECT", "HELO", "MAIL", "DATA", "END-OF-MESSAGE"):
            assert await server.ask(protocol_state=state, helo_name="score 99") == "DUNNO"
        assert server.early.seen == []


async def test_received_spf_once_a_message() -> None:
    async with running(prepend="received_spf") as server:
        client = await Client.open(server)
        first = await client.ask(instance="1.1", sender='"a b)\\"@example.org')
        assert first == (
            'PREPEND Received-SPF: pass (domain of "a b??"@example.org, client 192.0.2.1) client-ip=192.0.2.1; '
            'envelope-from="\\"a b)\\\\\\"@example.org"; helo="score 0"; receiver=mx.example.org; identity=mailfrom;'
        )
        assert await client.ask(instance="1.1", recipient="c@example.net") == "DUNNO"
        assert (await client.ask(instance="1.2")).startswith("PREPEND")
        assert await client.ask(instance="1.3", helo_name="allowed") == "DUNNO"  # SPF was not checked
        assert (await client.ask(instance="1.4", helo_name="score 99")).startswith("REJECT")
        client.writer.close()


async def test_many_requests_at_once_are_answered_in_order() -> None:
    async with running() as server:
        client = await Client.open(server)
        for number in range(20):
            client.send(helo_name=f"score {99 * (number % 2)}")
        answers = [await client.read() for _ in range(20)]
        client.writer.close()
    assert [answer.split()[0] for answer in answers] == ["DUNNO", "REJECT"] * 10


@pytest.mark.parametrize(
    "octets", [b"EHLO x\r\n", b"\n\n", b"request=x\n\n", b"a=" + b"x" * 9000, bytes(range(256)) * 40]
)
async def test_nonsense_ends_the_connection_without_an_answer(octets: bytes) -> None:
    async with running() as server:
        client = await Client.open(server)
        client.writer.write(octets)
        with suppress(ConnectionError):  # closed before all of it was read
            assert await asyncio.wait_for(client.reader.read(), 60) == b""
        client.writer.close()
        assert await server.ask() == "DUNNO"
        assert b'filterproxy_protocol_errors_total{listener="policy"} 1' in server.metrics.render()


async def test_connections_are_limited() -> None:
    async with running(limits={"connections": 1}) as server:
        first = await Client.open(server)
        assert await first.ask() == "DUNNO"
        second = await Client.open(server)
        assert await asyncio.wait_for(second.reader.read(), 60) == b""
        second.writer.close()
        first.writer.close()


@pytest.mark.parametrize("octets", [b"", b"request=smtpd_access_policy\n"])
async def test_slow_and_idle_connections_are_closed(octets: bytes) -> None:
    async with running(limits={"idle_timeout": 0.05, "request_timeout": 0.05}) as server:
        client = await Client.open(server)
        client.writer.write(octets)
        assert await asyncio.wait_for(client.reader.read(), 60) == b""
        client.writer.close()


async def test_a_reload_changes_the_next_answer_on_the_same_connection() -> None:
    async with running() as server:
        client = await Client.open(server)
        assert await client.ask(helo_name="allowed") == "DUNNO"
        (await server.listener.prepare(settings(on_allow="ok"), server.context))()
        assert await client.ask(helo_name="allowed") == "OK"
        client.writer.close()


async def test_a_drain_closes_what_is_idle_and_lets_answers_be_given() -> None:
    server = Server()
    await server.listener.start([server.socket])
    idle, busy = await Client.open(server), await Client.open(server)
    assert await idle.ask() == "DUNNO"
    busy.send(helo_name="wait 99")
    await asyncio.wait_for(server.early.entered.wait(), 60)
    draining = asyncio.create_task(server.listener.drain(60))
    assert await asyncio.wait_for(idle.reader.read(), 60) == b""
    server.early.wait.set()
    assert (await busy.read()).startswith("REJECT")
    assert await asyncio.wait_for(busy.reader.read(), 60) == b""
    await asyncio.wait_for(draining, 60)
    for client in (idle, busy):
        client.writer.close()
