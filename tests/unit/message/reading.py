"""Touches every property of a message, as the checks of a busy site together would."""

from __future__ import annotations

from filterproxy.message import Message


def read_everything(message: Message) -> None:
    """Read every public property of the message and of all its parts; the types are asserted."""
    assert isinstance(message.raw, bytes)
    assert message.size == len(message.raw)
    assert isinstance(message.header_block + message.body, bytes)
    assert message.date is None or message.date.tzinfo
    for text in (message.subject, message.message_id, message.text):
        assert isinstance(text, str)
    for header in message.headers:
        assert header.raw.startswith(header.name.encode("ascii"))
        assert header.raw_value in header.raw
        assert not set("\r\n\0") & set(header.value + header.unfolded)
    names = {header.name.lower() for header in message.headers}
    assert sum(map(message.headers.count, names)) == len(message.headers)
    for name in ("from", "to", "cc", "reply-to", "sender"):
        for mailbox in message.addresses(name):
            assert mailbox.domain == mailbox.domain.lower()
            assert mailbox.local_part in mailbox.address
    assert message.header_from == message.addresses("from")
    _read_parts(message)
    for document in message.html:
        assert isinstance(document.visible + document.hidden, str)
        assert all(isinstance(link.href + link.text, str) for link in document.links)
        assert all(count > 0 for count in document.tags.values())
        assert isinstance(document.images + document.resources, tuple)
    for url in message.urls:
        assert url.host == url.host.lower()
        assert not url.domain or url.host.endswith(url.domain)
        assert url.source in ("text", "html", "header")
    assert isinstance(message.defects, frozenset)


def _read_parts(message: Message) -> None:
    assert message.parts[0] is message.root
    assert list(message.root.walk()) == list(message.parts)
    for part in message.parts:
        assert part.content_type.count("/") == 1
        assert part.is_container == bool(part.children)
        assert isinstance(part.charset + part.disposition + part.filename + part.encoding + part.text, str)
        assert isinstance(part.parameters, dict)
        assert len(part.raw) <= message.size
        assert part.path.count(".") == part.depth
        if not part.is_container:
            assert isinstance(part.payload, bytes)
    for attachment in message.attachments:
        assert attachment.size == len(attachment.part.payload)
        assert len(attachment.sha256) == 64
        assert isinstance(attachment.extension + attachment.detected_type + attachment.content_type, str)
        assert isinstance(attachment.members, tuple)
