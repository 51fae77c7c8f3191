"""The tree of parts against the one that the standard library's parser finds, on messages with difficult structure.

Where the two differ the table says why ours is meant; a difference not in the table is a failure.
"""

from __future__ import annotations

import email
import email.message
import email.policy
from pathlib import Path
from typing import Any

import pytest

from filterproxy.message import Message, Part

DATA = Path(__file__).parent.parent / "data"
MESSAGES = sorted(
    path for folder in ("mime", "messages") for path in (DATA / folder).rglob("*") if path.is_file()
    and path.name not in ("README.md", "LICENSE", ".gitattributes")
)  # fmt: skip

EXTERNAL_BODY = ("multipart/alternative", (("message/external-body", ()),) * 3)
ENCODED_MESSAGE = ("multipart/mixed", (("text/plain", ()), ("message/rfc822", ())))

DIFFERENT = {
    # message/external-body names a body that is elsewhere: its phantom header fields are no part of this message.
    "mime/rfc/001.eml": EXTERNAL_BODY,
    # RFC 2046 section 5.2.1 forbids to encode message/rfc822. The base64 text is no message; it is an attachment
    # with a payload here, and a part with the base64 text as its body there.
    "mime/rfc/008.eml": ENCODED_MESSAGE,
}


def our_tree(part: Part) -> Any:
    return part.content_type, tuple(our_tree(child) for child in part.children)


def their_tree(message: email.message.Message) -> Any:
    children = message.get_payload() if message.is_multipart() else ()
    return message.get_content_type(), tuple(their_tree(child) for child in children)  # type: ignore[arg-type]


def leaves(tree: Any) -> int:
    return sum(map(leaves, tree[1])) if tree[1] else 1


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.relative_to(DATA).as_posix())
def test_same_tree_as_the_standard_library(path: Path) -> None:
    raw = path.read_bytes()
    ours = our_tree(Message(raw).root)
    theirs = their_tree(email.message_from_bytes(raw, policy=email.policy.compat32))
    expected = DIFFERENT.get(path.relative_to(DATA).as_posix(), theirs)
    assert ours == expected
    assert leaves(ours) == leaves(expected)


def test_every_explained_difference_exists() -> None:
    for name, ours in DIFFERENT.items():
        raw = (DATA / name).read_bytes()
        assert their_tree(email.message_from_bytes(raw, policy=email.policy.compat32)) != ours


def test_the_suites_are_complete() -> None:
    assert len([path for path in MESSAGES if "mime" in path.parts]) == 64
    assert len(MESSAGES) > 700


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.relative_to(DATA).as_posix())
def test_same_payloads_as_the_standard_library(path: Path) -> None:
    """Leaves decode to the same bytes, but for the line end before a boundary, and for what is broken."""
    raw = path.read_bytes()
    message = Message(raw)
    if path.relative_to(DATA).as_posix() in DIFFERENT or {"bad_encoding", "missing_boundary"} & message.defects:
        return
    theirs = [
        part.get_payload(decode=True)
        for part in email.message_from_bytes(raw, policy=email.policy.compat32).walk()
        if not part.is_multipart()
    ]
    ours = [part.payload for part in message.parts if not part.is_container]
    assert [payload.strip() for payload in ours] == [bytes(payload).strip() for payload in theirs]
