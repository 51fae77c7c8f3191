"""Reading mail from wherever it lies: names, order, line by line errors, and nothing that is no regular file."""

import io
import mailbox
import os
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from filterproxy.core.errors import ConfigError
from filterproxy.services import corpus
from filterproxy.services.corpus import (
    CorpusItem,
    locate_messages,
    read_index,
    read_messages,
    received_time,
)

MAIL = b"From: a@example.org\nSubject: one\n\nHello\n"
OTHER = b"From: b@example.org\nSubject: two\n\nFrom here on it is text\nFrom 10:00 to 11:00 too\n"
FROM_LINE = b"From a@example.org  Tue Jan  2 10:00:00 2024\n"


def read(*paths: object) -> list[CorpusItem]:
    return list(read_messages([str(path) for path in paths]))


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(MAIL)
    assert read(file) == [CorpusItem(str(file), MAIL)]


def test_a_file_that_begins_like_an_mbox_with_one_message(tmp_path: Path) -> None:
    file = tmp_path / "mail"
    file.write_bytes(FROM_LINE + OTHER)
    assert read(file) == [CorpusItem(str(file), OTHER)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_an_mbox(tmp_path: Path, line_end: bytes) -> None:
    file = tmp_path / "box"
    raw = FROM_LINE + MAIL + b"\n" + FROM_LINE + OTHER + b"\n" + FROM_LINE + MAIL
    file.write_bytes(raw.replace(b"\n", line_end))
    items = read(file)
    assert [item.name for item in items] == [f"{file}:{number}" for number in (1, 2, 3)]
    assert [item.raw and item.raw.rstrip() for item in items] == [
        raw.replace(b"\n", line_end).rstrip() for raw in (MAIL, OTHER, MAIL)
    ]


def test_an_mbox_as_the_standard_library_writes_it(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "box")
    for _ in range(20):
        box.add(mailbox.mboxMessage(MAIL))
    box.flush()
    assert [item.raw and item.raw.rstrip() for item in read(tmp_path / "box")] == [MAIL.rstrip()] * 20


def test_a_folder_is_read_below_in_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b/2", "a", "b/1", ".hidden", ".git/x", "c/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(MAIL)
    assert [item.name for item in read(tmp_path)] == [f"{tmp_path}/{name}" for name in ("a", "b/1", "b/2", "c/d/e")]


def test_a_maildir_with_its_subfolders(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "box")
    box.add(MAIL)
    box.add_folder("Junk").add(OTHER)
    (tmp_path / "box" / "dovecot.index.log").write_bytes(b"binary")
    (tmp_path / "box" / "tmp" / "half").write_bytes(b"half")
    assert sorted(item.raw or b"" for item in read(tmp_path / "box")) == sorted([MAIL, OTHER])


def test_an_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "mail.tar.gz", "w:gz") as archive:
        for name, raw in (("x/1", MAIL), ("x/2", FROM_LINE + OTHER)):
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    items = read(tmp_path / "mail.tar.gz")
    assert items == [CorpusItem(f"{tmp_path}/mail.tar.gz:x/1", MAIL), CorpusItem(f"{tmp_path}/mail.tar.gz:x/2", OTHER)]
    located = list(locate_messages([tmp_path / "mail.tar.gz"], tmp_path / "room"))
    assert [locator.read() for locator in located] == items


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
def test_an_archive_of_mboxes_and_maildirs(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "mail" / f"a.tar{'.' if kind else ''}{kind}"
    file.parent.mkdir()
    box = FROM_LINE + MAIL + b"\n" + FROM_LINE + OTHER
    with tarfile.open(file, f"w:{kind}") as archive:
        for name, raw in (("box", box), ("M/.Junk/cur/1:2,S", MAIL), ("M/.DS_Store", b"junk"), ("empty", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    names = [f"{file}:{name}" for name in ("box:1", "box:2", "M/.Junk/cur/1:2,S", "empty")]
    assert [item.name for item in read(file.parent)] == names
    located = list(locate_messages([file.parent, file], tmp_path / "room"))
    assert [locator.read() for locator in located] == read(file.parent, file)


def test_a_cut_off_archive_gives_what_it_has_and_one_error(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as archive:
        for number in range(50):
            member = tarfile.TarInfo(str(number))
            member.size = 4000
            archive.addfile(member, io.BytesIO(os.urandom(4000)))
    (tmp_path / "cut.tgz").write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:100_000])
    items = read(tmp_path / "cut.tgz")
    located = list(locate_messages([tmp_path / "cut.tgz"], tmp_path / "room"))
    assert [item.raw is None for item in items] == [False] * (len(items) - 1) + [True]
    assert 10 < len(items) < 50
    assert [locator.read() for locator in located] == items


@pytest.mark.parametrize("content", [b"no archive", b"\x1f\x8b\x08\x00garbage"])
def test_a_broken_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mail.tgz").write_bytes(content)
    (item,) = read(tmp_path / "mail.tgz")
    assert item.raw is None
    assert item.error.startswith("broken archive")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MAIL)))
    assert read("-") == [CorpusItem("-", MAIL)]


def test_what_cannot_be_read_is_an_item_with_a_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "ok").write_bytes(MAIL)
    items = {Path(item.name).name: item for item in read(tmp_path, tmp_path / "none", "bad\0name")}
    assert items["fifo"].error == "not a regular file"
    assert items["gone"].error == items["none"].error == "no such file or directory"
    assert items["bad\0name"].raw is None
    assert items["ok"].raw == MAIL


def test_a_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "mail").write_bytes(MAIL)
    assert [item.raw for item in read(tmp_path)] == [MAIL]


def test_messages_have_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "MAX_MESSAGE", 1 << 20)
    (tmp_path / "large").write_bytes(b"x" * ((1 << 20) + 1))
    assert [item.error for item in read(tmp_path / "large")] == ["larger than 1 MiB"]


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, bytes(range(256)) * 50, b"From ", b"From x 10:00\n", b"\n\n\n"])
def test_junk_is_a_message(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "junk").write_bytes(content)
    (item,) = read(tmp_path / "junk")
    assert item.error == ""


def test_locators_read_the_same_again(tmp_path: Path) -> None:
    (tmp_path / "box").write_bytes(FROM_LINE + MAIL + b"\n" + FROM_LINE + OTHER)
    located = list(locate_messages([tmp_path]))
    assert [locator.read() for locator in located] == read(tmp_path)
    assert located[1].read_start() == FROM_LINE + OTHER


def test_an_index(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "index").write_bytes(b"spam ../data/1\r\n\nHAM ../data/a b\nham \xff\n")
    lines = list(read_index(tmp_path / "full" / "index"))
    assert [(line.judge, line.path) for line in lines] == [
        ("spam", "../data/1"), ("ham", "../data/a b"), ("ham", "\udcff"),
    ]  # fmt: skip
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1").write_bytes(MAIL)
    assert lines[0].read() == CorpusItem("../data/1", MAIL)
    assert lines[1].read().error == "no such file or directory"


def test_a_wrong_index(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("spam a\nviagra b\n")
    with pytest.raises(ConfigError, match="no line of an index") as caught:
        list(read_index(tmp_path / "index"))
    assert caught.value.line == 2
    with pytest.raises(ConfigError, match="no such file"):
        list(read_index(tmp_path / "none"))


@pytest.mark.parametrize(
    ("header", "moment"),
    [
        (b"Received: from x\n\tby y; Tue, 6 Aug 2002 06:48:09 -0400 (EDT)\nReceived: z; 1 Jan 1999 00:00:00 +0000\n",
         datetime(2002, 8, 6, 10, 48, 9, tzinfo=UTC)),
        (b"Date: 2 Jan 2024 10:00:00\n", datetime(2024, 1, 2, 10, tzinfo=UTC)),
        (b"Received: nonsense\nDate: Tue, 2 Jan 2024 10:00:00 +0100\n", datetime(2024, 1, 2, 9, tzinfo=UTC)),
        (b"Date: 99 Foo 10000 99:99:99\n", None),
        (b"Subject: none\n\nDate: 2 Jan 2024 10:00:00\n", None),
        (b"", None),
    ],
)  # fmt: skip
def test_when_a_message_came(header: bytes, moment: datetime | None) -> None:
    assert received_time(header + b"\n") == moment
    assert received_time((header + b"\n").replace(b"\n", b"\r\n")) == moment
