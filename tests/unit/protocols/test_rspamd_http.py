"""rspamd's HTTP protocol: what request headers say, and what an answer looks like."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.action import Action
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.symbol import ScoredSymbol, Symbol
from filterproxy.protocols.rspamd_http import (
    RefusedRequestError,
    Scanned,
    encode,
    parse_headers,
    required_score,
    skipped,
    thresholds_list,
    to_json,
    to_legacy_json,
)

THRESHOLDS = {Action.ADD_HEADER: 6.0, Action.REJECT: 15.0}


def headers(*fields: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in fields]


def test_what_a_client_says() -> None:
    said = parse_headers(
        headers(
            *(("from", "<a@example.org>"), ("RCPT", "b@example.net"), ("Rcpt", "<c@example.net>, d@example.net")),
            *(("Ip", "[IPv6:2001:DB8::1]"), ("Helo", "h.example"), ("Hostname", "name.example."), ("User", "joe")),
            *(("Queue-ID", "4Xyz"), ("TLS-Version", "TLSv1.3"), ("TLS-Cipher", "X"), ("Deliver-To", "e@example.net")),
            *(("Flags", "pass_all, body_block"), ("Flags", "GROUPS"), ("Pass", "all"), ("Password", "secret")),
            *(("Compression", "ZSTD"), ("MTA-Tag", "x"), ("MTA-Name", "y"), ("Settings-ID", "z"), ("Subject", "s")),
        )
    )
    assert (said.mail_from, said.rcpt_to) == ("a@example.org", ("b@example.net", "c@example.net", "d@example.net"))
    assert (said.address, said.helo, said.hostname, said.user) == ("2001:db8::1", "h.example", "name.example", "joe")
    assert (said.queue_id, said.tls_version, said.tls_cipher) == ("4Xyz", "TLSv1.3", "X")
    assert said.flags == {"pass_all", "body_block", "groups", "all"}
    assert (said.compression, said.password) == ("zstd", "secret")


def test_what_a_client_does_not_say() -> None:
    said = parse_headers([])
    assert (said.mail_from, said.rcpt_to, said.address) == (None, (), "")
    assert parse_headers(headers(("From", "<>"))).mail_from == ""
    assert parse_headers(headers(("From", ""))).mail_from == ""
    assert parse_headers(headers(("Deliver-To", "e@example.net"))).rcpt_to == ("e@example.net",)
    assert parse_headers(headers(("Rcpt", '"a,b"@example.net'))).rcpt_to == ('"a,b"@example.net',)
    assert parse_headers(headers(("Hostname", "unknown"))).hostname == ""


@pytest.mark.parametrize(
    ("text", "address"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("unknown", ""), ("192.0.2.1:25", ""), ("", "")],
)
def test_the_client_address(text: str, address: str) -> None:
    assert parse_headers(headers(("IP", text))).address == address


@pytest.mark.parametrize("name", ["File", "path", "Shm", "Shm-Offset", "Shm-Length", "shm-other"])
def test_nothing_on_the_server_can_be_named(name: str) -> None:
    with pytest.raises(RefusedRequestError) as refused:
        parse_headers(headers((name, "/etc/passwd")))
    assert refused.value.status == 403
    assert "/etc/passwd" not in refused.value.reason


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("From", "a@example.org\tb")], 400),
        ([("Helo", "a\x7fb")], 400),
        ([("Helo", "x" * 5000)], 431),
        ([("X", "y")] * 2001, 431),
        ([("Rcpt", ",".join(["a@b.example"] * 100))] * 11, 431),
    ],
)
def test_odd_headers_are_refused(fields: list[tuple[str, str]], status: int) -> None:
    with pytest.raises(RefusedRequestError) as refused:
        parse_headers(headers(*fields))
    assert refused.value.status == status


@given(
    st.lists(st.tuples(st.sampled_from(["ip", "from", "rcpt", "flags", "user", "password"]), st.binary()), max_size=8)
)
def test_any_octets_are_read_or_refused(fields: list[tuple[str, bytes]]) -> None:
    try:
        said = parse_headers([(name.encode(), value) for name, value in fields])
    except RefusedRequestError as refused:
        assert refused.status in (400, 431)
    else:
        assert len(said.rcpt_to) <= 1000


def scanned(**changes: object) -> Scanned:
    symbols = (ScoredSymbol("A", 2.5, ("o\udcff",), "about A"), ScoredSymbol("B", math.inf, (), ""))
    result = ScanResult(Action.ADD_HEADER, 7.25, 6.0, 15.0, symbols, seconds=0.5)
    defaults: dict[str, object] = {"message_id": "x@y", "urls": ("http://a.example/",)}
    return Scanned(Action.ADD_HEADER, result, THRESHOLDS, **(defaults | changes))  # type: ignore[arg-type]


def test_an_answer() -> None:
    data = json.loads(encode(to_json(scanned(), frozenset({"groups"}), {"A": Symbol("A", 2.5, "about A", "g")})))
    assert data["action"] == "add header"
    assert (data["score"], data["required_score"], data["is_skipped"]) == (7.25, 15.0, False)
    assert data["thresholds"] == {"add header": 6.0, "reject": 15.0}
    assert data["symbols"]["A"] == {
        "name": "A", "score": 2.5, "metric_score": 2.5, "description": "about A", "options": ["o\ufffd"],
    }  # fmt: skip
    assert data["symbols"]["B"] == {"name": "B", "score": 0.0, "metric_score": 0.0}
    assert data["groups"] == {"g": {"name": "g", "score": 2.5}}
    assert (data["urls"], data["message-id"], data["time_real"]) == (["http://a.example/"], "x@y", 0.5)
    assert "milter" not in data and "subject" not in data
    assert to_json(scanned(), frozenset({"ext_urls"}), {})["urls"] == [{"url": "http://a.example/"}]


def test_the_changes_to_the_header_section() -> None:
    changed = scanned(
        insert=(("X-Top", "1"), ("X-Twice", "2"), ("X-Twice", "3")),
        remove={"x-spam": None, "authentication-results": (2,), "x-other": (1, 3)},
        subject="*** hi",
        smtp_message="Try again",
    )
    data = to_json(changed, frozenset(), {})
    # A client that puts one after the other on top ends with the first one on top.
    assert list(data["milter"]["add_headers"]) == ["X-Twice", "X-Top"]
    assert data["milter"]["add_headers"]["X-Twice"] == [{"value": "3", "order": 0}, {"value": "2", "order": 0}]
    assert data["milter"]["remove_headers"] == {"x-spam": 0, "authentication-results": 2, "x-other": [1, 3]}
    assert (data["subject"], data["messages"]) == ("*** hi", {"smtp_message": "Try again"})


def test_the_older_form() -> None:
    data = to_legacy_json(scanned(), frozenset())
    assert data["default"]["is_spam"] is True
    assert data["default"]["A"]["score"] == 2.5
    assert data["default"]["action"] == "add header"
    assert data["urls"] == ["http://a.example/"]


def test_what_was_not_scanned() -> None:
    assert skipped()["is_skipped"] is True
    unscanned = Scanned(Action.NO_ACTION, None, THRESHOLDS)
    data = to_json(unscanned, frozenset(), {})
    assert (data["is_skipped"], data["score"], data["symbols"]) == (True, 0.0, {})


def test_thresholds() -> None:
    assert required_score(THRESHOLDS) == 15.0
    assert required_score({Action.ADD_HEADER: 6.0, Action.REJECT: math.inf}) == 6.0
    assert required_score({}) == 999.0
    assert thresholds_list(THRESHOLDS) == [
        {"action": "reject", "value": 15.0},
        {"action": "add header", "value": 6.0},
    ]
