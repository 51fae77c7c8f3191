"""Attachments: which parts are, what they are called, what they really are."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile

import pytest

from filterproxy.message import Attachment, Limits, Message
from filterproxy.message.file_types import detect_type
from filterproxy.message.zip_directory import Member, list_members


def attachment(fields: bytes, content: bytes = b"x", limits: Limits | None = None) -> Attachment:
    raw = fields + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(content)
    (found,) = Message(raw, limits=limits or Limits()).attachments
    return found


def archive(*names: str, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.comment = comment
        for name in names:
            opened.writestr(name, name * 10)
    return buffer.getvalue()


def test_which_parts_are_attachments() -> None:
    parts = [
        b"\n\nbody text",
        b"Content-Type: text/html\n\nbody",
        b"Content-Type: text/plain; name=a.txt\n\nnamed",
        b"Content-Type: text/plain\nContent-Disposition: attachment\n\nmarked",
        b"Content-Type: image/png\n\nother type",
        b"Content-Type: text/plain\nContent-Disposition: inline\n\ninline",
        b"Content-Type: message/rfc822\n\nSubject: x\n\ninner",
    ]
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"".join(b"--b\n" + part + b"\n" for part in parts)
    found = Message(raw + b"--b--\n").attachments
    assert [item.part.path for item in found] == ["1.3", "1.4", "1.5"]


def test_properties() -> None:
    found = attachment(b'Content-Type: application/octet-stream; name="Invoice.PDF.exe"\n', b"MZ\x90\0")
    assert (found.filename, found.extension, found.extensions) == ("Invoice.PDF.exe", "exe", ("pdf", "exe"))
    assert (found.content_type, found.detected_type) == ("application/octet-stream", "application/x-dosexec")
    assert (found.size, found.sha256) == (4, hashlib.sha256(b"MZ\x90\0").hexdigest())
    assert found.members == ()


@pytest.mark.parametrize(
    ("name", "extensions"),
    [
        ("a.txt", ("txt",)),
        ("a", ()),
        ("", ()),
        (".htaccess", ("htaccess",)),
        ("a.exe. . ", ("exe",)),
        ("C:\\x.y\\a.b/c.TAR.gz", ("tar", "gz")),
        ("photo\u202egpj.exe", ("exe",)),
        ("a.1.2.3.4.5.6.7", ("3", "4", "5", "6", "7")),
    ],
)
def test_extensions(name: str, extensions: tuple[str, ...]) -> None:
    encoded = base64.b64encode(name.encode()).decode()
    found = attachment(f'Content-Type: a/b; name="=?utf-8?B?{encoded}?="\n'.encode())
    assert found.extensions == extensions
    assert found.extension == (extensions[-1] if extensions else "")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ""),
        (b"plain text", ""),
        (b"%PDF-1.7", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"RIFF\0\0\0\0WEBP", "image/webp"),
        (b"Rar!\x1a\x07\x01\x00", "application/vnd.rar"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
        (b"{\\rtf1", "application/rtf"),
        (b"\0" * 257 + b"ustar", "application/x-tar"),
        (b"\xef\xbb\xbf <!DOCTYPE HTML><p>", "text/html"),
        (b"<svg xmlns=", "image/svg+xml"),
        (b"BMW is a car", ""),
        (b"BM" + (58).to_bytes(4, "little") + bytes(52), "image/bmp"),
        (b"MZ is short", "application/x-dosexec"),
        (b"\xca\xfe\xba\xbe\0\0\0\x37", "application/java-vm"),
    ],
)
def test_detect_type(data: bytes, expected: str) -> None:
    assert detect_type(data) == expected


def test_members_of_an_archive() -> None:
    found = attachment(b"Content-Type: application/zip; name=a.zip\n", archive("a.exe", "dir/ü.txt"))
    assert [(member.name, member.size, member.encrypted) for member in found.members] == [
        ("a.exe", 50, False),
        ("dir/ü.txt", len("dir/ü.txt".encode()) * 10, False),
    ]


@pytest.mark.parametrize("data", [archive("a", comment=b"c" * 1_000), b"stub" * 100 + archive("a")])
def test_comment_and_stub_hide_no_member(data: bytes) -> None:
    assert [member.name for member in list_members(data, 10)[0]] == ["a"]


def test_encrypted_member() -> None:
    data = bytearray(archive("a"))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (member,), more = list_members(bytes(data), 10)
    assert member == Member("a", size=10, compressed_size=member.compressed_size, encrypted=True)
    assert not more


def test_members_are_limited() -> None:
    data = archive(*(str(number) for number in range(5)))
    assert (len(list_members(data, 3)[0]), list_members(data, 3)[1]) == (3, True)
    assert (len(list_members(data, 5)[0]), list_members(data, 5)[1]) == (5, False)
    raw = b"Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(data)
    assert Message(raw, limits=Limits(archive_members=3)).defects == {"archive_limit"}


@pytest.mark.parametrize("length", range(0, 200, 7))
def test_damaged_archives_raise_nothing(length: int) -> None:
    data = archive("a.txt", "b.txt")
    assert len(list_members(data[:length], 10)[0]) <= 2
    assert len(list_members(data[length:], 10)[0]) <= 2
    assert len(list_members(data[:length] + b"\xff" * 9 + data[length + 9 :], 10)[0]) <= 2


def test_attachments_are_limited() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nContent-Type: a/b\n\nx\n" * 5
    message = Message(raw, limits=Limits(attachments=3))
    assert len(message.attachments) == 3
    assert message.defects == {"attachments_limit"}
