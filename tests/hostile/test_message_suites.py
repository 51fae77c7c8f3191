"""Every message of other filters' tests, and years of real spam, is read whole, in time and without an exception."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from filterproxy.message import DEFECTS, Message, message_digest, strip_verdict_headers
from tests.unit.message.reading import read_everything

DATA = Path(__file__).parent.parent / "data"
FOLDERS = [*sorted(path for path in (DATA / "messages").iterdir() if path.is_dir()), DATA / "mime"]
SECONDS = 1.0


def messages(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in ("LICENSE", "README.md"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_message_is_read(folder: Path) -> None:
    paths = messages(folder)
    assert len(paths) > 20
    for path in paths:
        raw = path.read_bytes()
        started = time.process_time()
        message = Message(raw)
        read_everything(message)
        assert message.defects <= DEFECTS.keys(), path.name
        assert time.process_time() - started < SECONDS, path.name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_message_is_read_however_it_is_cut(folder: Path) -> None:
    for path in messages(folder):
        raw = path.read_bytes()[:100_000]
        for numerator in (1, 3, 7):
            message = Message(raw[: len(raw) * numerator // 8], truncated=True)
            read_everything(message)
            assert "truncated" in message.defects, path.name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_digest_does_not_depend_on_line_ends(folder: Path) -> None:
    for path in messages(folder):
        raw = path.read_bytes().replace(b"\r", b"")
        assert message_digest(raw) == message_digest(raw.replace(b"\n", b"\r\n")), path.name
        assert message_digest(raw) == message_digest(strip_verdict_headers(raw)), path.name
