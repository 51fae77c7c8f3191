"""rspamd's HTTP protocol over a real socket: scans, learning, statistics, and who may ask for them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
import zstandard
from argon2 import PasswordHasher

from filterproxy.config.addresses import SocketAddress
from filterproxy.config.listeners import HttpListener as HttpConfig
from filterproxy.core.action import Action
from filterproxy.core.check import Check, CheckConfig, Evidence, LearningCheck, Stage
from filterproxy.core.errors import FilterproxyError
from filterproxy.core.scan_result import Autolearn, ScanResult
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.http import HttpListener
from filterproxy.observability.maillog import open_maillog
from filterproxy.observability.metrics import Metrics
from filterproxy.pipeline import Pipeline, PipelineOptions, Recorder, ScoringPolicy, build
from filterproxy.services.store.history import HistoryRow
from filterproxy.testing import FakeClock, make_site
from filterproxy.testing.context import FakeScanPool, make_context

HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
READ, WRITE = HASHER.hash("read"), HASHER.hash("write")
MAIL = b"Subject: hi\r\nX-Spam: Yes\r\nMessage-ID: <1@example.org>\r\n\r\nhello http://a.example/x\r\n"
THRESHOLDS = {Action.ADD_HEADER: 6.0, Action.REWRITE_SUBJECT: 8.0, Action.REJECT: 15.0}


class Judge(LearningCheck[CheckConfig]):
    """Scores a message by its second word, and learns; remembers transactions."""

    name = "judge"
    symbols = (Symbol("SPAMMY", 1.0, "It says so itself", "words"),)
    seen: list[Transaction]
    taught: dict[bytes, str]

    def __init__(self, config: Any, context: Any) -> None:
        super().__init__(config, context)
        self.seen, self.taught = [], {}

    @property
    def learned(self) -> tuple[int, int]:
        labels = list(self.taught.values())
        return labels.count("spam"), labels.count("ham")

    async def teach(self, raw: bytes, label: str) -> bool:
        if b"full" in raw:
            raise FilterproxyError("the disk is full")
        changed = self.taught.get(raw) != label
        self.taught[raw] = label
        return changed

    def choose_class(self, transaction: Transaction, result: ScanResult, evidence: Sequence[Evidence]) -> Autolearn:
        return Autolearn.NO

    def learn_later(self, transaction: Transaction, chosen: Autolearn) -> None:
        raise AssertionError("nothing was chosen")

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        self.seen.append(transaction)
        text = transaction.require_message().text
        if "broken" in text:
            raise KeyError("a bug")
        score = text.split()[1] if text.startswith("score ") else "0"
        return [SymbolResult("SPAMMY", float(score), ("as it says",))] if float(score) else []


class Deaf(Check[CheckConfig]):
    """Neither fires nor learns."""

    name = "deaf"
    stage = Stage.MESSAGE

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        return []


class History:
    def __init__(self) -> None:
        self.rows: list[HistoryRow] = []

    def record(self, row: HistoryRow) -> None:
        self.rows.append(row)

    async def history(self, *, limit: int = 100) -> list[HistoryRow]:
        return self.rows[::-1][:limit]

    async def history_page(
        self, *, limit: int, before: int | None = None, row_id: int | None = None, **filters: Any
    ) -> list[tuple[int, HistoryRow]]:
        self.filters = filters
        rows = [(number, row) for number, row in enumerate(self.rows, 1) if before is None or number < before]
        return [item for item in rows[::-1] if row_id in (None, item[0])][:limit]


def settings(**config: Any) -> HttpConfig:
    return HttpConfig(type="http", address=SocketAddress("127.0.0.1", 1), **config)


class Server:
    """A running listener; the client is trusted unless `trusted` says otherwise."""

    def __init__(self, *, trusted: bool = True, check: type[Check[Any]] = Judge, **config: Any) -> None:
        networks = (ip_network("127.0.0.0/8"),) if trusted else ()
        self.clock, self.history, self.metrics = FakeClock(), History(), Metrics()
        log = open_maillog(os.devnull)
        site = make_site(trusted_networks=networks, local_networks=(ip_network("192.0.2.128/25"),))
        context = ListenerContext(site, log, self.metrics, self.clock, history=self.history)
        checks = build({check.name: check}, {check.name: CheckConfig()}, lambda _: make_context())
        self.check: Any = checks.checks[0]
        self.pipeline = Pipeline(
            checks,
            ScoringPolicy(THRESHOLDS, checks.symbols),
            PipelineOptions("mx.example.org"),
            clock=self.clock,
            scan_pool=FakeScanPool(),
            recorder=Recorder(log, self.metrics, self.history, self.clock),
        )
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address = self.socket.getsockname()
        self.context = context
        self.listener = HttpListener(settings(**config), lambda: self.pipeline, context)


@asynccontextmanager
async def running(**config: Any) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    server = Server(**config)
    await server.listener.start([server.socket])
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.address[1]}") as client:
        yield server, client
    await server.listener.drain(1)


async def test_a_scan_with_what_the_client_says() -> None:
    async with running() as (server, client):
        facts = {"IP": "192.0.2.200", "Helo": "h", "From": "a@example.org", "User": "joe", "Queue-Id": "4X"}
        answer = await client.post("/checkv2", content=MAIL, headers=[*facts.items(), ("Rcpt", "b@x"), ("Rcpt", "c@x")])
    data = answer.json()
    assert (answer.status_code, data["action"], data["score"], data["message-id"]) == (
        *(200, "no action", 0.0, "1@example.org"),
    )
    assert data["urls"] == ["http://a.example/x"]
    assert data["milter"]["remove_headers"] == {"x-spam": 0}
    (transaction,) = server.check.seen
    assert (transaction.client.address, transaction.helo, transaction.user) == ("192.0.2.200", "h", "joe")
    assert (transaction.envelope.mail_from, transaction.envelope.rcpt_to) == ("a@example.org", ("b@x", "c@x"))
    assert (transaction.queue_id, transaction.local) == ("4X", True)
    assert [row.listener for row in server.history.rows] == ["http"]


@pytest.mark.parametrize(
    ("score", "action", "message"),
    [
        ("7", "add header", {}),
        ("9", "rewrite subject", {}),
        ("20", "reject", {"smtp_message": "Spam message rejected"}),
    ],
)
async def test_actions(score: str, action: str, message: Mapping[str, str]) -> None:
    async with running() as (_, client):
        mail = MAIL.replace(b"hello", b"score " + score.encode())
        data = (await client.post("/checkv2", content=mail)).json()
        legacy = (await client.post("/symbols", content=mail)).json()
    assert (data["action"], data["score"], data["required_score"]) == (action, float(score), 15.0)
    assert {key: value[: len(message[key])] for key, value in data["messages"].items()} == message
    assert legacy["default"]["SPAMMY"]["score"] == float(score)
    assert data.get("subject") == ("***SPAM*** hi" if action == "rewrite subject" else None)


async def test_body_block_has_the_message_that_says_something_else_now() -> None:
    async with running() as (_, client):
        mail = MAIL.replace(b"hello", b"score 9")
        flags = {"Flags": "body_block,groups"}
        changed = await client.post("/checkv2", content=mail, headers=flags)
        same = await client.post("/checkv2", content=MAIL, headers=flags)
    offset = int(changed.headers["message-offset"])
    assert b"\r\nSubject: ***SPAM*** hi\r\n" in changed.content[offset:]
    assert changed.content[offset:].endswith(mail.partition(b"\r\n\r\n")[2])
    assert b'"groups":{"words":{"name":"words","score":9.0}}' in changed.content[:offset]
    assert "message-offset" not in same.headers and same.json()["action"] == "no action"


async def test_flags_that_keep_work_or_traces_away() -> None:
    async with running() as (server, client):
        skipped = await client.post("/checkv2", content=MAIL, headers={"Flags": "skip"})
        assert skipped.json()["is_skipped"] is True and not server.check.seen
        await client.post("/checkv2", content=MAIL, headers={"Flags": "no_log"})
        assert len(server.check.seen) == 1 and not server.history.rows


async def test_a_check_that_breaks_costs_no_scan() -> None:
    async with running() as (_, client):
        data = (await client.post("/checkv2", content=MAIL + b"broken")).json()
    assert data["action"] == "no action" and "JUDGE_FAILED" in data["symbols"]


async def test_our_own_failure_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as (server, client):
        monkeypatch.setattr("filterproxy.pipeline.pipeline.decide", lambda *_: 1 / 0)
        answer = await client.post("/checkv2", content=MAIL)
    assert answer.status_code == 503 and "later" in answer.json()["error"] and answer.json()["action"] == "soft reject"
    assert [row.reply for row in server.history.rows] == ["503"]


async def test_learning() -> None:
    async with running() as (server, client):
        assert (await client.post("/learnspam", content=MAIL)).json() == {"success": True}
        again = await client.post("/learnspam", content=MAIL)
        assert again.status_code == 208 and "already" in again.json()["error"]
        assert (await client.post("/learnham", content=MAIL)).json() == {"success": True}
        assert server.check.taught == {MAIL: "ham"}
        full = await client.post("/learnham", content=MAIL + b"full")
        assert full.status_code == 503 and "disk" not in full.text
    async with running(check=Deaf) as (_, client):
        assert (await client.post("/learnspam", content=MAIL)).status_code == 204


async def test_statistics() -> None:
    async with running() as (server, client):
        await client.post("/checkv2", content=MAIL.replace(b"hello", b"score 20"))
        await client.post("/checkv2", content=MAIL)
        await client.post("/learnspam", content=MAIL)
        server.clock.advance(60)
        stat = (await client.get("/stat")).json()
        assert (stat["scanned"], stat["spam_count"], stat["ham_count"], stat["uptime"]) == (2, 1, 1, 60)
        assert (stat["actions"]["reject"], stat["actions"]["no action"], stat["learned"]) == (1, 1, 1)
        assert stat["read_only"] is False
        auth = (await client.get("/auth")).json()
        assert (auth["auth"], auth["scanned"], auth["reject"]) == ("ok", 2, 1)
        counters = {item["symbol"]: item for item in (await client.get("/counters")).json()}
        assert (counters["SPAMMY"]["hits"], counters["SPAMMY"]["frequency"]) == (1, round(1 / 60, 6))
        groups = {item["group"]: item["rules"] for item in (await client.get("/symbols")).json()}
        assert groups["words"][0]["description"] == "It says so itself"
        assert (await client.get("/actions")).json()[0] == {"action": "reject", "value": 15.0}
        assert (await client.get("/errors")).json() == []
        rows = (await client.get("/history")).json()["rows"]
        assert [row["action"] for row in rows] == ["no action", "reject"]
        assert len((await client.get("/history?from=0&to=0")).json()["rows"]) == 1
        assert (await client.post("/statreset")).json()["scanned"] == 2
        assert (await client.get("/stat")).json()["scanned"] == 0
        await client.post("/checkv2", content=MAIL)
        assert (await client.get("/stat")).json()["scanned"] == 1
        assert "filterproxy_scans_total" in (await client.get("/metrics")).text


async def test_what_anybody_may_ask() -> None:
    async with running(trusted=False) as (_, client):
        assert (await client.get("/ping")).content == b"pong\r\n"
        for path in ("/healthy", "/ready"):
            assert (await client.get(path)).json() == {"success": True}
        for method, path in [
            *(("POST", path) for path in ("/checkv2", "/check", "/symbols", "/learnspam", "/learnham", "/statreset")),
            *(("GET", path) for path in ("/auth", "/stat", "/symbols", "/counters", "/history", "/actions", "/errors")),
        ]:
            refused = await client.request(method, path)
            assert (refused.status_code, list(refused.json())) == (401, ["error"]), path


async def test_passwords() -> None:
    async with running(trusted=False, password=READ, enable_password=WRITE) as (_, client):

        async def ask(path: str, password: str, **more: Any) -> int:
            return (await client.post(path, content=MAIL, headers={"Password": password}, **more)).status_code

        assert [await ask("/checkv2", word) for word in ("read", "write", "wrong", "")] == [200, 200, 401, 401]
        assert [await ask("/learnspam", word) for word in ("read", "write", "wrong")] == [403, 200, 401]
        assert await ask("/statreset", "read") == 403
        assert (await client.get("/stat", params={"password": "read"})).json()["read_only"] is True
        assert (await client.get("/stat", params={"password": "write"})).json()["read_only"] is False
        assert await ask("/checkv2", "x" * 2000) == 401


async def test_one_password_alone_does_not_allow_to_learn() -> None:
    async with running(trusted=False, password=READ) as (_, client):
        answer = await client.post("/learnspam", content=MAIL, headers={"Password": "read"})
    assert answer.status_code == 403 and "enable password" in answer.json()["error"]


async def test_guessing_is_slowed_down() -> None:
    limits = {"password_failures": 3, "password_failure_window": 60}
    async with running(trusted=False, password=READ, limits=limits) as (server, client):

        async def ask(password: str) -> int:
            return (await client.get("/auth", headers={"Password": password})).status_code

        assert [await ask(word) for word in ("a", "b", "c", "d", "read")] == [401, 401, 401, 429, 429]
        server.clock.advance(61)
        assert [await ask(word) for word in ("read", "a")] == [200, 401]


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "http://evil.example"},
        {"X-Forwarded-For": "198.51.100.1"},
        {"X-Forwarded-For": "127.0.0.1, 198.51.100.1"},
        {"X-Real-IP": "198.51.100.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"User-Agent": "Mozilla/5.0", "Host": "evil.example:11334"},
        {"User-Agent": "Mozilla/5.0", "Host": "evil.example"},
    ],
)
async def test_trust_ends_with_a_browser_or_a_proxy(header: dict[str, str]) -> None:
    async with running() as (_, client):
        assert (await client.post("/learnspam", content=MAIL, headers=header)).status_code == 401
        for trusted in ({"X-Forwarded-For": "127.0.0.5"}, {"User-Agent": "Mozilla/5.0"}, {"Host": "mx.example.org"}):
            assert (await client.get("/stat", headers=trusted)).status_code == 200


async def test_a_unix_socket_needs_no_password(tmp_path: Any) -> None:
    server = Server(trusted=False)
    server.socket.close()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.fspath(tmp_path / "s"))
    listening.listen()
    await server.listener.start([listening])
    transport = httpx.AsyncHTTPTransport(uds=os.fspath(tmp_path / "s"))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.post("/checkv2", content=MAIL)).status_code == 200
    await server.listener.drain(1)


# Bodies


async def test_zstd() -> None:
    async with running() as (server, client):
        body = zstandard.compress(MAIL * 3)
        for header in ("Compression", "Content-Encoding"):
            assert (await client.post("/checkv2", content=body, headers={header: "zstd"})).status_code == 200
        streamed = zstandard.ZstdCompressor(write_content_size=False).compress(b"Subject: x\n\n" + b"y" * 600_000)
        assert (await client.post("/checkv2", content=streamed, headers={"Compression": "zstd"})).status_code == 200
        assert [row.size for row in server.history.rows] == [len(MAIL) * 3, len(MAIL) * 3, 600_012]


@pytest.mark.parametrize(
    ("body", "method", "status"),
    [
        (b"no zstd", "zstd", 400),
        (zstandard.compress(MAIL)[:-5], "zstd", 400),
        (b"", "zstd", 400),
        (zstandard.compress(b""), "zstd", 400),
        (zstandard.compress(b"\0" * 50_000_000), "zstd", 413),
        (MAIL, "gzip", 415),
        (b"", "", 400),
        (b"x" * 100_001, "", 413),
    ],
)
async def test_bodies_that_are_refused(body: bytes, method: str, status: int) -> None:
    async with running(limits={"message_size": 100_000}) as (server, client):
        for path in ("/checkv2", "/learnham"):
            answer = await client.post(path, content=body, headers={"Compression": method} if method else {})
            assert (answer.status_code, "error" in answer.json()) == (status, True)
        assert not server.check.seen and not server.check.taught


async def test_a_body_without_a_length_is_limited_too() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    async with running(limits={"message_size": 100_000}) as (_, client):
        answer = await client.post("/checkv2", content=endless())
    assert answer.status_code == 413


async def talk(server: Server, octets: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(octets)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "octets",
    [
        b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nFrom: a\0b\r\nContent-Length: 1\r\n\r\nx",
        b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nFrom: a\tb\r\nContent-Length: 1\r\n\r\nx",
        b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nFrom: a\rb\r\nContent-Length: 1\r\n\r\nx",
        b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nx",
        b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        b"\x16\x03\x01\r\n\r\n",
        b"GET /ping HTTP/1.1\r\n" + b"X: " + b"y" * 600_000,
        b"GET /ping HTTP/1.1\r\n" + b"X: y\r\n" * 100_000,
    ],
)
async def test_nonsense_is_refused(octets: bytes) -> None:
    async with running() as (server, client):
        try:
            answer = await talk(server, octets)
        except ConnectionError:
            # Closed while the client still sends: the system may throw away what the client has not read yet.
            assert len(octets) > 500_000
        else:
            assert b" 400 " in answer
        assert (await client.get("/ping")).status_code == 200


async def test_requests_that_do_not_come_to_an_end() -> None:
    async with running(limits={"request_timeout": 0.2}) as (server, _):
        assert await talk(server, b"") == b""
        assert await talk(server, b"POST /checkv2 HTTP/1.1\r\nFrom: a") == b""
        slow = await talk(server, b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        assert slow.startswith(b"HTTP/1.1 408 ")


async def test_keep_alive_and_close() -> None:
    request: Callable[[bytes], bytes] = lambda extra: (  # noqa: E731
        b"POST /checkv2 HTTP/1.1\r\nHost: x\r\n" + extra + b"Content-Length: %d\r\n\r\n" % len(MAIL) + MAIL
    )
    async with running() as (server, _):
        both = await talk(server, request(b"") + request(b"Connection: close\r\n"))
        assert both.count(b"HTTP/1.1 200 OK") == 2
        old = await talk(server, request(b"").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert old.count(b"200 OK") == 1


async def test_a_scan_outlives_the_order_to_stop() -> None:
    async with running() as (server, client):
        going, gate = asyncio.Event(), asyncio.Event()
        inspect = server.check.inspect

        async def slow(transaction: Transaction) -> Sequence[SymbolResult]:
            going.set()
            await gate.wait()
            found: Sequence[SymbolResult] = await inspect(transaction)
            return found

        server.check.inspect = slow
        scan = asyncio.create_task(client.post("/checkv2", content=MAIL))
        await asyncio.wait_for(going.wait(), 5)
        drained = asyncio.create_task(server.listener.drain(10))
        gate.set()
        assert (await asyncio.wait_for(scan, 5)).status_code == 200
        await asyncio.wait_for(drained, 10)


async def test_a_reload_takes_passwords_and_limits() -> None:
    async with running(trusted=False, password=READ) as (server, client):

        async def ask(password: str) -> int:
            return (await client.post("/checkv2", content=MAIL, headers={"Password": password})).status_code

        assert [await ask("read"), await ask("write")] == [200, 401]
        limits = {"message_size": 10, "request_timeout": 0.2}
        (await server.listener.prepare(settings(password=WRITE, limits=limits), server.context))()
        assert [await ask("read"), await ask("write")] == [401, 413]
        assert await talk(server, b"POST") == b""
        # The same settings again forget nothing of what is known.
        known = server.listener._shared.access
        (await server.listener.prepare(settings(password=WRITE, limits=limits), server.context))()
        assert server.listener._shared.access is known


# Before HTTP


def exim(mail: bytes, *more: bytes) -> bytes:
    fields = [b"Content-length: %d" % len(mail), b"From: <a@example.org>", b"Recipient-Number: 1", b"Rcpt: <b@x>"]
    return b"\r\n".join([b"CHECK RSPAMC/1.3", *fields, b"IP: 192.0.2.7", *more, b"", b""]) + mail


async def test_a_client_from_before_http() -> None:
    async with running() as (server, _):
        spam = await talk(server, exim(MAIL.replace(b"hello", b"score 20")))
        assert spam.startswith(
            b"RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 20.00 / 15.00 / 0.0\r\nAction: reject\r\n"
        )
        assert b"\r\nSymbol: SPAMMY(20.00)\r\nMessage: Spam message rejected" in spam
        assert spam.endswith(b"Message-ID: 1@example.org\r\n") and b"HTTP" not in spam
        ham = await talk(server, exim(MAIL))
        assert b"Metric: default; False; 0.00 / 15.00 / 0.0\r\nAction: no action\r\n" in ham
        assert await talk(server, b"PING RSPAMC/1.3\r\n\r\n") == b"RSPAMD/1.3 0 EX_OK\r\npong\r\n"
        seen = server.check.seen[0]
        assert (seen.client.address, seen.envelope.mail_from, seen.envelope.rcpt_to) == (
            *("192.0.2.7", "a@example.org", ("b@x",)),
        )


async def test_refusals_from_before_http_are_no_verdicts() -> None:
    async with running(trusted=False, limits={"message_size": 1000}) as (server, _):
        assert (await talk(server, exim(MAIL))).startswith(b"RSPAMD/1.3 401 Unauthorized\r\n{")
    async with running(limits={"message_size": 1000}) as (server, _):
        assert (await talk(server, exim(b"x" * 1001))).startswith(b"RSPAMD/1.3 413 ")
        assert (await talk(server, exim(MAIL, b"File: /etc/passwd"))).startswith(b"RSPAMD/1.3 403 Forbidden\r\n")
        assert (await talk(server, b"CHECK RSPAMC/1.3\r\nbroken\r\n\r\n")).startswith(b"RSPAMD/1.3 400 ")
        assert b"HTTP/1.1 400 " in await talk(server, b"CHECK RSPAMC/9\r\n\r\n")
