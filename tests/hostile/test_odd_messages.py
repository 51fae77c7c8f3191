"""Messages that are hardly any: they reach the next hop byte for byte, below the fields we add."""

from __future__ import annotations

import pytest

from filterproxy.core.action import Action
from filterproxy.pipeline import HeaderEdits, Verdict
from tests.dialogs.scripted_pipeline import Script, ScriptedPipeline
from tests.dialogs.smtp_peers import proxy

MARK = b"X-Spam-Status: No\r\n"
MESSAGES = {
    "empty": b"",
    "an empty line": b"\r\n",
    "no header": b"\r\njust a body\r\n",
    "no body": b"Subject: x\r\n",
    "no body and an empty line": b"Subject: x\r\n\r\n",
    "NUL in the header": b"Subject: a\0b\r\n\r\nx\r\n",
    "NUL in the body": b"Subject: x\r\n\r\n\0a\0\r\n",
    "8-bit header": b"Subject: caf\xe9 \xff\xfe\r\nX-\xc3\xa9: y\r\n\r\nx\r\n",
    "8-bit body": b"Subject: x\r\n\r\n" + bytes(range(128, 256)) + b"\r\n",
    "only dots": b"Subject: x\r\n\r\n.\r\n..\r\n...\r\n",
}


@pytest.mark.parametrize("raw", MESSAGES.values(), ids=MESSAGES.keys())
@pytest.mark.parametrize("mode", ["before_queue", "after_queue"])
async def test_it_goes_on_as_it_came(raw: bytes, mode: str) -> None:
    async with proxy(mode=mode) as running:
        client = await running.client()
        assert (await client.message(_stuffed(raw) + b".\r\n")).startswith("250 ")
        assert running.pipeline.scans[-1].raw == raw
        assert running.hop.accepted[0].raw == _as_sent(raw)


@pytest.mark.parametrize("raw", [raw for raw in MESSAGES.values() if raw.startswith((b"Subject", b"\r\n"))])
async def test_below_our_fields_nothing_changes(raw: bytes) -> None:
    verdict = Verdict(Action.NO_ACTION, edits=HeaderEdits(insert=(("X-Spam-Status", "No"),)))
    async with proxy(ScriptedPipeline(Script(verdict))) as running:
        client = await running.client()
        assert (await client.message(_stuffed(raw) + b".\r\n")).startswith("250 ")
        assert running.hop.accepted[0].raw == MARK + _as_sent(raw)


def _stuffed(raw: bytes) -> bytes:
    """Return the octets with dots doubled, as they are sent on both sides."""
    return b"".join(b"." + line if line.startswith(b".") else line for line in raw.splitlines(keepends=True))


def _as_sent(raw: bytes) -> bytes:
    """Return what the sink keeps: its message ends before the line end of the final dot."""
    return _stuffed(raw).removesuffix(b"\r\n")
