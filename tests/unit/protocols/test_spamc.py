"""spamd's protocol: whole, byte by byte, truncated, oversized, and nonsense."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.protocols.spamc import (
    BadRequestError,
    Request,
    RequestReader,
    Status,
    Verb,
    answer,
    failure,
    scan_answer,
)

MAIL = b"Subject: x\n\nbody\n"


def read(octets: bytes, *, step: int = 0, limit: int = 10_000, end: bool = True) -> Request:
    reader = RequestReader(limit)
    pieces = [octets[at : at + step] for at in range(0, len(octets), step)] if step else [octets]
    for piece in pieces:
        request = reader.feed(piece)
        if request is not None:
            return request
    assert end, "not complete"
    return reader.finish()


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize(
    ("octets", "request_"),
    [
        (b"CHECK SPAMC/1.2\r\nContent-length: 17\r\n\r\n" + MAIL, Request(Verb.CHECK, message=MAIL)),
        (b"CHECK SPAMC/1.3\r\nContent-length: 17\r\n\r\n" + MAIL + b"\r\n", Request(Verb.CHECK, (1, 3), message=MAIL)),
        (b"PROCESS SPAMC/1.5\nUser: joe\n\n" + MAIL, Request(Verb.PROCESS, (1, 5), "joe", MAIL)),
        (b"symbols SPAMC/1.3\r\ncontent-LENGTH : 0\r\n\r\n", Request(Verb.SYMBOLS, (1, 3))),
        (b"PING SPAMC/1.5\r\n", Request(Verb.PING, (1, 5))),
        (b"PING\r\n", Request(Verb.PING)),
        (b"SKIP SPAMC/1.2\r\n\r\n", Request(Verb.SKIP)),
        (
            b"TELL SPAMC/1.5\r\nMessage-class: Spam\r\nSet: local, remote\r\nContent-length: 17\r\n\r\n" + MAIL,
            Request(Verb.TELL, (1, 5), "", MAIL, "spam", frozenset({"local", "remote"})),
        ),
    ],
)
def test_requests(octets: bytes, request_: Request, step: int) -> None:
    assert read(octets, step=step) == request_


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", Status.PROTOCOL),
        (b"\r\n", Status.PROTOCOL),
        (b"NONSENSE SPAMC/1.2\r\n\r\n", Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nno header\r\n\r\n", Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nContent-length: many\r\n\r\n", Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nContent-length: -1\r\n\r\n", Status.PROTOCOL),
        ("CHECK SPAMC/1.2\r\nContent-length: ²\r\n\r\n".encode(), Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nContent-length: 5\r\n\r\n" + MAIL, Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nContent-length: 17\r\n\r\n" + MAIL + b"\n", Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nContent-length: 17\r\n\r\n" + MAIL + b"\r\n\r\n", Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nContent-length: 50\r\n\r\n" + MAIL, Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nContent-length: 10001\r\n\r\n", Status.UNAVAILABLE),
        (b"CHECK SPAMC/1.2\r\n\r\n" + b"x" * 10_001, Status.UNAVAILABLE),
        (b"CHECK SPAMC/1.2\r\nCompress: zlib\r\n\r\nno zlib", Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nCompress: lzma\r\n\r\n", Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nCompress: zlib\r\n\r\n" + zlib.compress(b"\0" * 1_000_000), Status.UNAVAILABLE),
        (b"CHECK SPAMC/1.2\r\nCompress: zlib\r\n\r\n" + zlib.compress(MAIL)[:-3], Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nCompress: zlib\r\n\r\n" + zlib.compress(MAIL) + b"more", Status.PROTOCOL),
        (b"x" * 2000, Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\n" + b"A: b\r\n" * 100, Status.PROTOCOL),
        (b"CHECK SPAMC/1.2\r\nUser: joe", Status.PROTOCOL),
        (b"", Status.PROTOCOL),
    ],
)
def test_what_is_refused(octets: bytes, status: Status) -> None:
    with pytest.raises(BadRequestError) as caught:
        read(octets)
    assert caught.value.status is status


def test_zlib() -> None:
    packed = zlib.compress(MAIL)
    head = b"CHECK SPAMC/1.2\r\nCompress: zlib\r\nContent-length: %d\r\n\r\n" % len(packed)
    assert read(head + packed, step=3).message == MAIL


@given(st.binary(max_size=200), st.integers(1, 20))
def test_any_octets_are_a_request_or_refused_and_pieces_change_nothing(octets: bytes, step: int) -> None:
    def outcome(step: int) -> Request | str:
        try:
            return read(b"CHECK SPAMC/1.2\r\n" + octets, step=step, limit=100)
        except BadRequestError as error:
            return str(error.status)

    assert outcome(0) == outcome(step)


def test_no_text_breaks_out_of_an_answer() -> None:
    assert failure(Status.PROTOCOL, "a\r\nSpam: False ; 0 / 5") == b"SPAMD/1.0 76 a??Spam: False ; 0 / 5\r\n"
    assert answer(["Spam: True ; 7.0 / 6.0"], None) == b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / 6.0\r\n\r\n"
    assert answer([], b"x") == b"SPAMD/1.1 0 EX_OK\r\nContent-length: 1\r\n\r\nx"


@pytest.mark.parametrize(
    ("verb", "version", "expected"),
    [
        (Verb.REPORT, (1, 3), b"Content-length: 2\r\nSpam: x\r\n\r\nhi"),
        (Verb.REPORT, (1, 2), b"Spam: x\r\n\r\nhi"),
        (Verb.SYMBOLS, (1, 2), b"Spam: x\r\n\r\nhi"),
        (Verb.PROCESS, (1, 5), b"Content-length: 2\r\nSpam: x\r\n\r\nhi"),
        (Verb.PROCESS, (1, 2), b"Content-length: 2\r\n\r\nhi"),
    ],
)
def test_older_clients_get_one_header(verb: Verb, version: tuple[int, int], expected: bytes) -> None:
    assert scan_answer(Request(verb, version), "Spam: x", b"hi") == b"SPAMD/1.1 0 EX_OK\r\n" + expected
