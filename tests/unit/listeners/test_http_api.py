"""The JSON API over a real socket: scans, lessons, history, models, tokens, limits, and every error as a problem."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import httpx
import pytest

from filterproxy.core.action import Action
from filterproxy.core.errors import FilterproxyError
from filterproxy.core.ports import KnownModel
from tests.unit.listeners.test_http_rspamd import Deaf, running, settings

API = "/api/v1"
RAW = {"Content-Type": "message/rfc822"}
MAIL = b"Subject: hi\r\nX-Spam: Yes\r\nMessage-ID: <1@example.org>\r\n\r\nhello http://a.example/x\r\n"
SPAM = b"Subject: buy\r\n\r\nscore 9\r\n"


def token(word: str, *scopes: str) -> dict[str, Any]:
    return {"name": word, "sha256": hashlib.sha256(word.encode()).hexdigest(), "scopes": list(scopes)}


def bearer(word: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {word}"}


def assert_problem(answer: httpx.Response, status: int, detail: str = "") -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    data = answer.json()
    assert data["status"] == status and data["type"] == "about:blank" and data["title"]
    assert data["request_id"] == answer.headers["x-request-id"]
    assert detail in data["detail"], data


class Models:
    """Two models; `broken` makes everything fail."""

    def __init__(self) -> None:
        self.chosen, self.broken = ["default"], False

    def known(self) -> list[KnownModel]:
        if self.broken:
            raise FilterproxyError("/secret/path: cannot read")
        return [KnownModel(name, name == self.chosen[-1], 3, 4, "2026-01-01") for name in ("default", "other")]

    def use(self, name: str) -> str | None:
        if name not in ("default", "other"):
            return None
        self.chosen.append(name)
        return name

    def rollback(self) -> str | None:
        if len(self.chosen) == 1:
            return None
        self.chosen.pop()
        return self.chosen[-1]


async def test_a_scan_with_what_the_client_says() -> None:
    facts = {"ip": "::ffff:192.0.2.200", "helo": "h", "mail_from": "a@example.org", "user": "joe", "queue_id": "4X"}
    query = [*facts.items(), ("rcpt_to", "b@x"), ("rcpt_to", "c@x"), ("hostname", "mail.example.org")]
    async with running() as (server, client):
        answer = await client.post(
            f"{API}/scan", params=query, content=MAIL, headers={**RAW, "X-Request-Id": "my.id-1"}
        )
    data = answer.json()
    assert (answer.status_code, data["action"], data["message_id"]) == (200, "no action", "<1@example.org>")
    assert answer.headers["x-request-id"] == data["request_id"] == "my.id-1"
    assert data["urls"] == ["http://a.example/x"]
    assert data["headers"]["remove"] == [{"name": "x-spam", "occurrences": None}]
    (transaction,) = server.check.seen
    assert (transaction.client.address, transaction.client.name, transaction.helo) == (
        *("192.0.2.200", "mail.example.org", "h"),
    )
    assert (transaction.envelope.mail_from, transaction.envelope.rcpt_to) == ("a@example.org", ("b@x", "c@x"))
    assert (transaction.user, transaction.queue_id, transaction.local) == ("joe", "4X", True)
    assert [row.session for row in server.history.rows] == ["my.id-1"]


async def test_a_message_in_json() -> None:
    async with running() as (server, client):
        for body in ({"message": SPAM.decode()}, {"message_base64": base64.b64encode(SPAM + b"\xff").decode()}):
            data = (await client.post(f"{API}/scan", json=body)).json()
            assert (data["action"], data["score"], data["subject"]) == ("rewrite subject", 9.0, "***SPAM*** buy")
            assert data["symbols"][0] == {
                "name": "SPAMMY",
                "score": 9.0,
                "options": ["as it says"],
                "description": "It says so itself",
            }
        assert [transaction.require_message().raw for transaction in server.check.seen] == [SPAM, SPAM + b"\xff"]
        # The null sender and one who is not told are two things.
        await client.post(f"{API}/scan?mail_from=", json={"message": "x"})
        assert [transaction.envelope.mail_from for transaction in server.check.seen] == [None, None, ""]
        await client.post(f"{API}/scan?record=false", json={"message": "x"})
        assert len(server.history.rows) == 3


async def test_a_refusal() -> None:
    async with running() as (_, client):
        data = (await client.post(f"{API}/scan", content=b"Subject: x\r\n\r\nscore 20", headers=RAW)).json()
        assert data["action"] == "reject" and data["reply"]["code"] == 554
        assert data["reply"]["text"].startswith("5.7.1 Spam message rejected")
        assert data["headers"] == {"add": [], "remove": []}


async def test_our_own_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr("filterproxy.pipeline.pipeline.decide", broken)
    async with running() as (server, client):
        answer = await client.post(f"{API}/scan", content=MAIL, headers=RAW)
        assert_problem(answer, 503, "try again later")
        assert answer.headers["retry-after"] == "5"
        assert [row.reply for row in server.history.rows] == ["503"]


async def test_compat_names() -> None:
    async with running(compat="rspamd") as (_, client):
        names = [item["name"] for item in (await client.get(f"{API}/symbols")).json()["symbols"]]
    assert "SPAMMY" in names  # the list has our names: they are those of the rules


async def test_learning_and_forgetting() -> None:
    async with running() as (server, client):
        for changed in (True, False):
            answer = await client.post(f"{API}/learn?class=spam", content=MAIL, headers=RAW)
            assert (answer.status_code, answer.json()["changed"]) == (200, changed)
        await client.post(f"{API}/forget", json={"message": "x"})
        assert server.check.taught == {MAIL: "spam", b"x": "forget"}
        answer = await client.post(f"{API}/learn?class=ham", json={"message": "full"})
        assert_problem(answer, 503, "the log says why")
        assert "disk" not in answer.text
        assert_problem(await client.post(f"{API}/learn", json={"message": "x"}), 422)
        assert_problem(await client.post(f"{API}/learn?class=eggs", json={"message": "x"}), 422)
    async with running(check=Deaf) as (_, client):
        assert_problem(await client.post(f"{API}/learn?class=ham", json={"message": "x"}), 409)
        assert_problem(await client.get(f"{API}/models"), 409)


async def test_the_history_in_pages() -> None:
    async with running() as (server, client):
        for number in range(5):
            await client.post(f"{API}/scan?queue_id=Q{number}", json={"message": f"score {number}"})
        page = (await client.get(f"{API}/history?limit=2")).json()
        assert ([row["queue_id"] for row in page["rows"]], page["next"]) == (["Q4", "Q3"], 4)
        page = (await client.get(f"{API}/history?limit=2&before=4")).json()
        assert ([row["queue_id"] for row in page["rows"]], page["next"]) == (["Q2", "Q1"], 2)
        page = (await client.get(f"{API}/history?limit=2&before=2&action=add%20header&since=1.5&symbol=X")).json()
        assert ([row["queue_id"] for row in page["rows"]], page["next"]) == (["Q0"], None)
        expected = {"since": 1.5, "sender": "", "recipient": "", "queue_id": "", "symbol": "X", "action": "add header"}
        assert server.history.filters == expected
        row = (await client.get(f"{API}/history/2")).json()
        assert (row["id"], row["queue_id"], row["score"]) == (2, "Q1", 1.0)
        for missing in ("99", "9" * 30):
            assert_problem(await client.get(f"{API}/history/{missing}"), 404)
        assert_problem(await client.get(f"{API}/history/x"), 404)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "before=0",
        "since=nan",
        "action=eggs",
        "limit=1&limit=2",
        "x=1",
        "sender=%00",
    ],
)
async def test_what_a_query_must_not_hold(query: str) -> None:
    async with running() as (_, client):
        answer = await client.get(f"{API}/history?{query}")
        assert_problem(answer, 422, "the query is not valid")
        assert answer.json()["errors"][0]["where"][:2] == ["query", query.partition("=")[0]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"message": ""}', 422),
        (b'{"message": 1}', 422),
        (b'{"message": "x", "y": 1}', 422),
        (b'{"message": "x", "message_base64": "eHg="}', 422),
        (b'{"message_base64": "!"}', 422),
        (b'{"message_base64": "eHg"}', 422),
        (b"\xff\xfe", 400),
    ],
)
async def test_what_a_body_must_be(body: bytes, status: int) -> None:
    async with running() as (_, client):
        answer = await client.post(f"{API}/scan", content=body, headers={"Content-Type": "application/json"})
        assert_problem(answer, status)


async def test_types_sizes_and_methods() -> None:
    async with running(limits={"message_size": 1000}) as (_, client):
        assert_problem(await client.post(f"{API}/scan", content=b"x", headers={"Content-Type": "text/plain"}), 415)
        assert_problem(await client.post(f"{API}/scan", content=b"x", headers={**RAW, "Content-Encoding": "gzip"}), 415)
        assert_problem(await client.post(f"{API}/scan", content=b"x" * 1001, headers=RAW), 413)
        assert_problem(await client.post(f"{API}/scan", json={"message": "x" * 1001}), 413)
        assert_problem(await client.post(f"{API}/scan", json={"message": "x" * 600_000}), 413)
        assert_problem(await client.post(f"{API}/scan", content=b"", headers=RAW), 422)
        assert_problem(await client.get(f"{API}/scan"), 405)
        assert_problem(await client.get(f"{API}/nothing"), 404)


async def test_symbols_and_rules() -> None:
    async with running() as (_, client):
        symbols = {item["name"]: item for item in (await client.get(f"{API}/symbols")).json()["symbols"]}
        assert symbols["SPAMMY"] == {
            "name": "SPAMMY",
            "score": 1.0,
            "description": "It says so itself",
            "group": "words",
            "action": None,
        }
        assert (await client.get(f"{API}/rules")).json() == {"rules": []}


async def test_models() -> None:
    async with running() as (server, client):
        server.context.models = models = Models()
        listed = (await client.get(f"{API}/models")).json()
        assert [(item["name"], item["in_use"]) for item in listed["models"]] == [("default", True), ("other", False)]
        answer = await client.post(f"{API}/models/use", json={"name": "other"})
        assert (answer.status_code, answer.json()["name"], models.chosen[-1]) == (200, "other", "other")
        for path in ("../../etc", "/tmp/x", "nothing"):
            assert_problem(await client.post(f"{API}/models/use", json={"name": path}), 404)
        assert (await client.post(f"{API}/models/rollback")).json()["name"] == "default"
        assert_problem(await client.post(f"{API}/models/rollback"), 409)
        models.broken = True
        answer = await client.get(f"{API}/models")
        assert_problem(answer, 503)
        assert "secret" not in answer.text


async def test_tokens_and_their_scopes() -> None:
    tokens = [token("s", "scan"), token("r", "read"), token("w", "write"), token("all", "scan", "read", "write")]
    operations = {"s": ("POST", "scan"), "r": ("GET", "symbols"), "w": ("POST", "learn?class=spam")}
    async with running(trusted=False, api={"tokens": tokens}) as (server, client):
        for word in ("s", "r", "w", "all"):
            for scope, (method, path) in operations.items():
                answer = await client.request(
                    *(method, f"{API}/{path}"),
                    headers={**RAW, **bearer(word)},
                    content=MAIL if method == "POST" else None,
                )
                if word in (scope, "all"):
                    assert answer.status_code == 200
                else:
                    assert_problem(answer, 403, "has not the scope")
        answer = await client.get(f"{API}/symbols")
        assert_problem(answer, 401, "a bearer token is needed")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        for wrong in ("x", "s" * 3000, "\u00e9"):
            answer = await client.get(f"{API}/symbols", headers={"Authorization": f"Bearer {wrong}".encode()})
            assert_problem(answer, 401)
        assert_problem(await client.get(f"{API}/symbols", headers={"Authorization": "Basic cjpy"}), 401)
        assert (await client.get(f"{API}/health")).json() == {"status": "ok"}
        assert (await client.get(f"{API}/openapi.json")).status_code == 200
        # A reload takes a token away.
        (await server.listener.prepare(settings(api={"tokens": tokens[:1]}), server.context))()
        assert_problem(await client.get(f"{API}/symbols", headers=bearer("r")), 401)


async def test_trusted_clients_need_no_token_unless_that_is_said() -> None:
    async with running() as (_, client):
        assert (await client.get(f"{API}/symbols")).status_code == 200
        assert_problem(await client.get(f"{API}/symbols", headers={"Origin": "http://evil.example"}), 401)
        assert_problem(await client.get(f"{API}/symbols", headers=bearer("wrong")), 401)
    async with running(api={"trusted": False}) as (_, client):
        assert_problem(await client.get(f"{API}/symbols"), 401)


async def test_guessing_ends_soon() -> None:
    async with running(trusted=False, api={"tokens": [token("r", "read")]}, limits={"password_failures": 3}) as (
        server,
        client,
    ):
        for _ in range(3):
            assert_problem(await client.get(f"{API}/symbols", headers=bearer("x")), 401)
        answer = await client.get(f"{API}/symbols", headers=bearer("r"))
        assert_problem(answer, 429)
        assert int(answer.headers["retry-after"]) >= 60
        server.clock.advance(61)
        assert (await client.get(f"{API}/symbols", headers=bearer("r"))).status_code == 200


async def test_so_many_messages_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(self: Any, raw: bytes, label: str) -> bool:
        entered.set()
        await leave.wait()
        return True

    async with running(api={"requests": 1}) as (server, client):
        monkeypatch.setattr(type(server.check), "teach", slow)
        first = asyncio.create_task(client.post(f"{API}/learn?class=spam", json={"message": "x"}))
        await asyncio.wait_for(entered.wait(), 60)
        answer = await client.post(f"{API}/scan", json={"message": "x"})
        assert_problem(answer, 503, "too many messages at once")
        assert answer.headers["retry-after"] == "1"
        assert (await client.get(f"{API}/symbols")).status_code == 200
        leave.set()
        assert (await first).status_code == 200
        assert (await client.post(f"{API}/scan", json={"message": "x"})).status_code == 200


async def test_a_bug_of_ours_and_a_bad_request_id(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as (server, client):
        monkeypatch.setattr(server.pipeline, "learned", None)
        server.context.models = Models()
        answer = await client.get(f"{API}/models", headers={"X-Request-Id": "a b\t<x>"})
        assert_problem(answer, 500)
        assert "NoneType" not in answer.text and "<x>" not in answer.headers["x-request-id"]


async def test_the_description_has_every_operation() -> None:
    async with running() as (_, client):
        described = (await client.get(f"{API}/openapi.json")).json()
    operations = {f"{method} {path}" for path, item in described["paths"].items() for method in item}
    assert operations == {
        *("post /scan", "post /learn", "post /forget", "get /history", "get /history/{id}", "get /symbols"),
        *("get /rules", "get /models", "post /models/use", "post /models/rollback", "get /health"),
    }
    assert described["openapi"] == "3.1.0"
    words = described["paths"]["/history"]["get"]["parameters"]
    assert Action.REJECT.value in next(item for item in words if item["name"] == "action")["schema"]["enum"]
