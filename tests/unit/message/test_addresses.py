"""Address fields: what RFC 5322 allows, what senders write, and what hides a mailbox."""

from __future__ import annotations

import pytest

from filterproxy.message import Limits, Mailbox, Message, parse_addresses

CASES = [
    # What RFC 5322 allows.
    ("a@b.example", [("", "a@b.example", "b.example")]),
    ("John Doe <john@x.example>", [("John Doe", "john@x.example", "x.example")]),
    (
        '"Doe, Jane" <j@x.example>, k@y.example',
        [("Doe, Jane", "j@x.example", "x.example"), ("", "k@y.example", "y.example")],
    ),
    ('"a \\"b\\" c" <a@b.example>', [('a "b" c', "a@b.example", "b.example")]),
    ("a@b.example (John (the first))", [("John (the first)", "a@b.example", "b.example")]),
    ("(x) a@b.example", [("x", "a@b.example", "b.example")]),
    ("John <(comment)a@b.example(comment)>", [("John", "a@b.example", "b.example")]),
    ('"john doe"@b.example', [("", "john doe@b.example", "b.example")]),
    ('"a@b"@c.example', [("", "a@b@c.example", "c.example")]),
    ("john . doe @ x . example", [("", "john.doe@x.example", "x.example")]),
    ("<@a.example,@b.example:c@d.example>", [("", "c@d.example", "d.example")]),
    ("undisclosed-recipients:;", []),
    (
        'Friends: a@b.example, "D" <d@e.example>; g@h.example',
        [("", "a@b.example", "b.example"), ("D", "d@e.example", "e.example"), ("", "g@h.example", "h.example")],
    ),
    ("user@[127.0.0.1]", [("", "user@[127.0.0.1]", "[127.0.0.1]")]),
    ("<>", []),
    ("", []),
    (" , ,", []),
    # Case and IDNA.
    ("A@EXAMPLE.Org", [("", "A@EXAMPLE.Org", "example.org")]),
    ("a@b.example.", [("", "a@b.example.", "b.example")]),
    ("a@bücher.example", [("", "a@bücher.example", "xn--bcher-kva.example")]),
    # Encoded display names, and encoded words where an address should be.
    ("=?utf-8?Q?Gr=C3=BC=C3=9Fe?= <a@b.example>", [("Grüße", "a@b.example", "b.example")]),
    ('"=?utf-8?B?eA==?=" <a@b.example>', [("x", "a@b.example", "b.example")]),
    ("=?utf-8?Q?Foo,_Bar?= <a@b.example>", [("Foo, Bar", "a@b.example", "b.example")]),
    ("=?utf-8?Q?x=40y.example?= <a@b.example>", [("x@y.example", "a@b.example", "b.example")]),
    (
        "=?utf-8?B?YUBiLmV4YW1wbGU=?=, <c@d.example>",
        [("", "a@b.example", "b.example"), ("", "c@d.example", "d.example")],
    ),
    (
        "=?utf-8?B?PGFAYi5leGFtcGxlPg==?=, c@d.example",
        [("", "a@b.example", "b.example"), ("", "c@d.example", "d.example")],
    ),
    ("=?utf-8?Q?nobody?=", [("", "nobody", "")]),
    # What is broken hides nobody.
    ("<a@b.example> <c@d.example>", [("", "a@b.example", "b.example"), ("", "c@d.example", "d.example")]),
    ("<a@b.example>c@d.example", [("", "a@b.example", "b.example"), ("", "c@d.example", "d.example")]),
    ("<a@b.example, c@d.example>", [("", "a@b.example", "b.example"), ("", "c@d.example", "d.example")]),
    ('"open <a@b.example>', [("open", "a@b.example", "b.example")]),
    ("(open a@b.example", [("(open", "a@b.example", "b.example")]),
    ("<a@b.example", [("", "a@b.example", "b.example")]),
    ("a@b.example\\,<c@d.example>", [("a@b.example,", "c@d.example", "d.example")]),
    ("a@b.example <c@d.example>", [("a@b.example", "c@d.example", "d.example")]),
    ("a@b@c.example", [("", "a@b@c.example", "c.example")]),
    ("mailto:a@b.example", [("", "a@b.example", "b.example")]),
    ("root", [("", "root", "")]),
    ("the postmaster", [("the postmaster", "", "")]),
    ("Foo [bar] <a@b.example>", [("Foo [bar]", "a@b.example", "b.example")]),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_parse_addresses(text: str, expected: list[tuple[str, str, str]]) -> None:
    found = parse_addresses(text)
    assert [(mailbox.display_name, mailbox.address, mailbox.domain) for mailbox in found] == expected


def test_local_part_keeps_its_case() -> None:
    assert parse_addresses('"X Y"@Example.Org') == (Mailbox("", "X Y@Example.Org", "X Y", "example.org"),)


def test_addresses_are_limited() -> None:
    defects: set[str] = set()
    found = parse_addresses("a@b.example, " * 10, Limits(addresses=3), defects)
    assert len(found) == 3
    assert defects == {"address_limit"}


def test_exactly_the_limit_is_no_defect() -> None:
    defects: set[str] = set()
    assert len(parse_addresses("a@b.example, c@d.example", Limits(addresses=2), defects)) == 2
    assert defects == set()


FROM_TRICKS = [
    # Several fields, in any spelling of the name.
    (b"From: a@legit.example\r\nFrom: b@attack.example\r\n", {"legit.example", "attack.example"}),
    (b"From : a@legit.example\r\nfrom: b@attack.example\r\n", {"legit.example", "attack.example"}),
    (b" From: a@legit.example\r\nFROM: b@attack.example\r\n", {"legit.example", "attack.example"}),
    (b"From\t:\r\n a@legit.example\r\nFrom: b@attack.example\r\n", {"legit.example", "attack.example"}),
    # Several mailboxes in one field.
    (b"From: a@legit.example, <b@attack.example>\r\n", {"legit.example", "attack.example"}),
    (b"From: <a@legit.example>, b@attack.example\r\n", {"legit.example", "attack.example"}),
    (b"From: <a@legit.example><b@attack.example>\r\n", {"legit.example", "attack.example"}),
    (b"From: G:a@legit.example;, b@attack.example\r\n", {"legit.example", "attack.example"}),
    # Encoded, quoted, commented and routed.
    (b"From: =?utf-8?B?YUBsZWdpdC5leGFtcGxl?=, <b@attack.example>\r\n", {"legit.example", "attack.example"}),
    (b"From: =?utf-8?Q?=3Ca=40legit.example=3E?= , b@attack.example\r\n", {"legit.example", "attack.example"}),
    (b"From: <@x.example,@y.example:a@legit.example>\r\n", {"legit.example"}),
    (b"From: (b@attack.example) a@legit.example\r\n", {"legit.example"}),
    (b'From: "b@attack.example" <a@legit.example>\r\n', {"legit.example"}),
    (b"From: a@legit.example\0, b@attack.example\r\n", {"legit.example", "attack.example"}),
    (b"From: a@legit.example\0@attack.example\r\n", {"attack.example"}),
    # A line that is no field ends the header block: what follows is text.
    (b"From: a@legit.example\r\nnonsense\r\nFrom: b@attack.example\r\n", {"legit.example"}),
]


@pytest.mark.parametrize(("fields", "domains"), FROM_TRICKS)
def test_header_from_holds_every_mailbox_of_every_from_field(fields: bytes, domains: set[str]) -> None:
    message = Message(fields + b"Subject: x\r\n\r\nbody\r\n")
    assert {mailbox.domain for mailbox in message.header_from} == domains


def test_other_address_fields_are_read_the_same_way() -> None:
    message = Message(b"Sender: s@a.example\nSender: t@b.example\nTo: x@c.example\n\n")
    assert [mailbox.address for mailbox in message.addresses("Sender")] == ["s@a.example", "t@b.example"]
    assert [mailbox.address for mailbox in message.addresses("to")] == ["x@c.example"]
    assert message.addresses("cc") == ()
