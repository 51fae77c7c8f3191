"""Postfix's policy protocol: whole, byte by byte, cut off, too long, nonsense, and what is written back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.errors import RemoteProtocolError
from filterproxy.protocols.policy import Request, RequestReader, answer

ASKED = (
    b"request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.1\nsender=\nrecipient=b@example.net\n\n"
)


def reader(**limits: int) -> RequestReader:
    return RequestReader(**({"line_length": 1000, "attributes": 30} | limits))


def read(octets: bytes, **limits: int) -> list[Request]:
    requests, found = reader(**limits), []
    requests.feed(octets)
    while (request := requests.next_request()) is not None:
        found.append(request)
    return found


def test_a_request() -> None:
    (request,) = read(ASKED)
    assert request.is_rcpt
    assert (request["client_address"], request["sender"], request["nothing"]) == ("192.0.2.1", "", "")


def test_byte_by_byte_and_several_at_once() -> None:
    requests = reader()
    found = []
    for octet in ASKED * 3:
        requests.feed(bytes([octet]))
        if (request := requests.next_request()) is not None:
            assert not requests.in_request
            found.append(request)
    assert found == read(ASKED * 3) and len(found) == 3


def test_cut_off_it_waits() -> None:
    for length in range(1, len(ASKED)):
        requests = reader()
        requests.feed(ASKED[:length])
        assert requests.next_request() is None and requests.in_request


def test_values_may_hold_anything_but_a_line_end_or_nul() -> None:
    (request,) = read(ASKED[:-1] + b"sender=a=b@\xff\xc3\xa9\r x\nsender=last\nhelo_name= \n\n")
    assert (request["sender"], request["helo_name"]) == ("last", " ")
    (request,) = read(ASKED[:-1] + b"sender=\xff\xc3\xa9\n\n")
    assert request["sender"].encode("utf-8", "surrogateescape") == b"\xff\xc3\xa9"


def test_other_stages_are_no_rcpt() -> None:
    for state in (b"CONNECT", b"EHLO", b"MAIL", b"DATA", b"END-OF-MESSAGE", b"VRFY", b""):
        (request,) = read(ASKED.replace(b"=RCPT", b"=" + state))
        assert not request.is_rcpt


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"\n", "not `request="),
        (b"GET / HTTP/1.1\r\n\r\n", "no attribute"),
        (b"EHLO x\r\n", "no attribute"),
        (b"request=other\n\n", "'other'"),
        (b"protocol_state=RCPT\n\n", "not `request="),
        (b"=x\n", "no attribute"),
        (b"a b=x\n", "no attribute"),
        (b"a=x\0y\n", "no attribute"),
        (b"a=" + b"x" * 999 + b"\n", "longer than 1000"),
        (b"x" * 1001, "longer than 1000"),
        (b"".join(b"a%d=x\n" % number for number in range(31)), "more than 30"),
        (b"\x16\x03\x01\x02\x00\n", "no attribute"),
    ],
)
def test_nonsense_is_refused(octets: bytes, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        read(octets)


def test_what_is_written() -> None:
    assert answer("DUNNO") == b"action=DUNNO\n\n"
    assert answer("REJECT", "5.7.1 no") == b"action=REJECT 5.7.1 no\n\n"
    assert answer("REJECT", "a\n\naction=OK\u00e9\udcff\0") == b"action=REJECT a??action=OK???\n\n"
    assert len(answer("REJECT", "x" * 5000)) < 1000


@given(st.binary(max_size=400), st.integers(1, 50))
def test_whatever_comes_is_a_request_or_refused(octets: bytes, step: int) -> None:
    def outcome(pieces: list[bytes]) -> tuple[list[Request], str]:
        requests, found = reader(line_length=512), []
        try:
            for piece in pieces:
                requests.feed(piece)
                while (request := requests.next_request()) is not None:
                    found.append(request)
        except RemoteProtocolError as error:
            return found, error.reason
        return found, ""

    octets = b"request=smtpd_access_policy\n" + octets
    assert outcome([octets]) == outcome([octets[at : at + step] for at in range(0, len(octets), step)])


@given(st.text(max_size=300))
def test_no_text_adds_a_line(text: str) -> None:
    written = answer("REJECT", text)
    assert written.count(b"\n") == 2 and written.endswith(b"\n\n") and written.isascii()
