"""Reading DNS packets: agrees with dnspython on what it builds, survives everything else."""

from __future__ import annotations

import struct

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.services.resolver import wire

NAMES = st.lists(st.from_regex(r"[a-z0-9_][a-z0-9_-]{0,20}", fullmatch=True), min_size=1, max_size=6).map(".".join)
ADDRESSES = st.lists(st.ip_addresses(v=4).map(str), min_size=1, max_size=10, unique=True)


def question_for(name: str, rtype: str) -> bytes:
    return wire.build_question(wire.encode_name(name), wire.TYPES[rtype])


def packet_for(name: str, rtype: str, *answers: dns.rrset.RRset) -> bytes:
    response = dns.message.make_response(dns.message.make_query(name + ".", rtype, id=7))
    response.answer.extend(answers)
    return response.to_wire(max_size=65535)


@given(NAMES, st.sampled_from(sorted(wire.TYPES)))
def test_a_query_is_what_dnspython_reads(name, rtype):
    packet = wire.build_query(4711, question_for(name, rtype))
    message = dns.message.from_wire(packet)
    assert (message.id, message.question[0].name.to_text(), message.payload) == (4711, name + ".", wire.UDP_PAYLOAD)


@given(NAMES, ADDRESSES)
def test_addresses(name, addresses):
    packet = packet_for(name, "A", dns.rrset.from_text_list(name + ".", 300, "IN", "A", addresses))
    response = wire.parse_response(packet, question_for(name, "A"))
    assert (set(response.records), response.ttl, response.rcode) == (set(addresses), 300, 0)


@given(NAMES, st.lists(st.binary(max_size=255), min_size=1, max_size=5))
def test_texts(name, strings):
    rdata = " ".join('"' + "".join(f"\\{octet:03}" for octet in text) + '"' for text in strings)
    packet = packet_for(name, "TXT", dns.rrset.from_text(name + ".", 60, "IN", "TXT", rdata))
    assert wire.parse_response(packet, question_for(name, "TXT")).records == (b"".join(strings),)


@given(NAMES, NAMES, NAMES)
def test_records_of_other_names_are_ignored_and_chains_followed(name, alias, other):
    if len({name, alias, other}) < 3:
        return
    packet = packet_for(
        name,
        "A",
        dns.rrset.from_text(other + ".", 5, "IN", "A", "203.0.113.9"),
        dns.rrset.from_text(alias + ".", 60, "IN", "A", "192.0.2.1"),
        dns.rrset.from_text(name + ".", 30, "IN", "CNAME", alias + "."),
    )
    response = wire.parse_response(packet, question_for(name, "A"))
    assert (response.records, response.ttl) == (("192.0.2.1",), 30)


def test_a_cname_loop_is_an_error():
    packet = packet_for(
        "a.example",
        "A",
        dns.rrset.from_text("a.example.", 60, "IN", "CNAME", "b.example."),
        dns.rrset.from_text("b.example.", 60, "IN", "CNAME", "a.example."),
    )
    with pytest.raises(wire.MalformedResponse, match="CNAME loop"):
        wire.parse_response(packet, question_for("a.example", "A"))


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(packet):
    question = question_for("example.org", "MX")
    if wire.answers(packet, question):
        try:
            wire.parse_response(packet, question)
        except wire.MalformedResponse:
            return


@given(st.data(), st.sampled_from(["A", "AAAA", "MX", "TXT", "PTR", "NS"]))
def test_damaged_answers_are_read_or_refused(data, rtype):
    rdata = {"A": "192.0.2.1", "AAAA": "2001:db8::1", "MX": "10 mx.example.org.", "TXT": '"a" "b"'}.get(rtype, "x.org.")
    packet = bytearray(packet_for("example.org", rtype, dns.rrset.from_text("example.org.", 60, "IN", rtype, rdata)))
    start = 12 + len(question_for("example.org", rtype))
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(start, len(packet) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(packet[: data.draw(st.integers(start, len(packet)))])
    try:
        response = wire.parse_response(cut, question_for("example.org", rtype))
    except wire.MalformedResponse:
        return
    assert response.rcode == 0


@pytest.mark.parametrize("evil", [b"\xc0\x0c\xc0\x0c", b"\xc0\xff", b"\x40", b"\x3fabc", b"\x01a" * 200 + b"\0"])
def test_evil_names_are_refused(evil):
    question = question_for("example.org", "PTR")
    header = wire._HEADER.pack(7, 0x8180, 1, 1, 0, 0)
    record = b"\xc0\x0c" + wire._FIXED.pack(12, 1, 60, len(evil)) + evil
    if evil.startswith(b"\xc0\x0c"):  # a pointer to the question is fine
        assert wire.parse_response(header + question + record, question).records == ("example.org",)
        return
    with pytest.raises(wire.MalformedResponse):
        wire.parse_response(header + question + record, question)


def test_only_the_right_question_is_answered():
    question = question_for("example.org", "A")
    assert wire.answers(packet_for("Example.ORG", "A"), question)
    assert not wire.answers(packet_for("example.net", "A"), question)
    assert not wire.answers(packet_for("example.org", "AAAA"), question)
    assert not wire.answers(wire.build_query(7, question), question)
    refusal = wire._HEADER.pack(7, 0x8185, 0, 0, 0, 0)
    assert wire.answers(refusal, question)
    assert wire.parse_response(refusal, question).rcode == 5


@pytest.mark.parametrize("name", ["", ".", "a..b", ".a", "x" * 64, "a." * 127 + "a", "ü" * 254, "\ud800.org"])
def test_text_that_is_no_name(name):
    with pytest.raises(wire.InvalidName):
        wire.encode_name(name)


def test_a_pointer_into_the_header_is_malformed_whatever_the_header_says():
    # The header of this answer reads as a name: its id begins with the root's empty label.
    question = wire.build_question(wire.encode_name("example.org"), 1)
    record = b"\xc0\x00" + struct.pack("!HHIH", 1, 1, 60, 4) + b"\xc0\x00\x02\x01"
    packet = struct.pack("!HHHHHH", 0, 0x8180, 1, 1, 0, 0) + question + record
    with pytest.raises(wire.MalformedResponse, match="header"):
        wire.parse_response(packet, question)
