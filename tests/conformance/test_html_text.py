"""Text and links of real HTML mail against the tree that a browser's parser (lexbor) builds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

from filterproxy.message import Message
from filterproxy.message.html import parse_html, visible_characters

MESSAGES = Path(__file__).parent.parent / "data" / "messages"
NO_TEXT = {"script", "style", "title", "iframe", "noembed", "noframes", "template", "-comment"}

# The attribute value `"mailto:…` is never closed: to a browser the rest of the mail is that value and nobody sees it,
# and a mail program that repairs it shows the text. Ours counts as visible what a reader might see.
UNCLOSED = {f"spam-2023-2025/{number:03}.eml" for number in (34, 80, 86, 132, 134, 158, 180, 182, 188, 200)}


def their_text(source: str) -> Counter[str]:
    texts: list[str] = []
    stack = [LexborHTMLParser(source).root]
    while stack:
        node = stack.pop()
        if node is None or node.tag in NO_TEXT:
            continue
        if node.tag == "-text":
            texts.append(node.text_content or "")
        child = node.last_child
        while child is not None:
            stack.append(child)
            child = child.prev
    return Counter("".join(visible_characters("".join(texts)).split()))


def their_links(source: str) -> set[str]:
    found = LexborHTMLParser(source).css("a[href], area[href]")
    return {href for href in (node.attributes.get("href") for node in found) if href}


@pytest.mark.parametrize("folder", sorted(path.name for path in MESSAGES.iterdir() if path.is_dir()))
def test_same_text_and_links_as_a_browser(folder: str) -> None:
    different: set[str] = set()
    seen = 0
    for path in sorted((MESSAGES / folder).iterdir()):
        for part in Message(path.read_bytes()).parts:
            if part.content_type != "text/html" or part.is_container:
                continue
            seen += 1
            document = parse_html(part.text, 1_000_000, set())
            ours = Counter("".join((document.visible + document.hidden).split()))
            theirs = their_text(part.text)
            if ours != theirs:
                different.add(path.relative_to(MESSAGES).as_posix())
                assert theirs <= ours
            assert {link.href for link in document.links} >= their_links(part.text)
    assert seen
    assert different == {name for name in UNCLOSED if name.startswith(f"{folder}/")}
