"""The spool: the same message from memory and from a file, and nothing left of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.listeners.spool import Spool
from filterproxy.protocols.smtp.blemishes import blemishes, normalize_newlines

PIECES = st.lists(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\0", b"abc"])).map(b"".join))


@given(PIECES, st.sampled_from([0, 1, 5, 1000]), st.integers(0, 20), st.booleans())
def test_the_same_message_wherever_it_is_kept(pieces: list[bytes], memory: int, size: int, normalize: bool) -> None:
    raw = b"".join(pieces)
    spool = Spool(memory, None, 5, normalize=normalize)
    for piece in pieces:
        spool.append(piece)
    spool.finish()
    kept = normalize_newlines(raw) if normalize else raw
    assert spool.in_file == (len(raw) > memory)
    assert spool.size == len(kept)
    assert spool.blemishes == blemishes(raw, 5)
    assert spool.head(size) == kept[:size]
    assert b"".join(spool.tail(size)) == kept[size:]
    assert spool.head(10_000) == kept
    spool.close()
    assert not spool.in_file


def test_a_file_has_no_name_and_goes_with_the_spool(tmp_path: Path) -> None:
    spool = Spool(10, tmp_path, None, normalize=False)
    spool.append(b"x" * 100_000)
    assert spool.in_file and not list(tmp_path.iterdir())
    assert len(spool._memory.whole()) == 0
    number = spool._file.fileno()  # type: ignore[union-attr]
    spool.clear()
    with pytest.raises(OSError):
        os.fstat(number)
    spool.append(b"anew")
    spool.finish()
    assert (spool.head(10), spool.size, spool.in_file) == (b"anew", 4, False)


def test_a_full_disk_is_told() -> None:
    spool = Spool(10, Path("/dev/full"), None, normalize=False)
    with pytest.raises(OSError) as raised:
        spool.append(b"x" * 100)
    assert raised.value.errno == errno.ENOTDIR
