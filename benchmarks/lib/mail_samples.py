"""Real messages as they would come in: bytes with CRLF, and the client, HELO name and envelope that their headers tell.

The rule: the same choice in each run, spread evenly over the corpus, so that figures of two runs compare.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

from filterproxy.core.transaction import Transaction
from filterproxy.services.corpus import read_messages
from filterproxy.testing import make_transaction

T = TypeVar("T")

_ROOT = Path(__file__).resolve().parent.parent.parent
CORPUS = _ROOT / "benchmarks" / "data" / "spamassassin"
SHIPPED = _ROOT / "tests" / "data" / "messages"
_RECEIVED = re.compile(rb"^received:[ \t]*from[ \t]+([\w.-]{1,100})([^;]{0,400})", re.I | re.M)
_ADDRESS = re.compile(rb"\[(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})\]")
_SENDER = re.compile(rb"^(?:return-path|from):[^\n]*?([\w.+=-]{1,64}@[\w.-]{1,100})", re.I | re.M)
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Mail:
    """One message and where it came from."""

    raw: bytes
    client: str
    helo: str
    mail_from: str


def load(count: int) -> tuple[str, list[Mail]]:
    """Return what the messages are and `count` of them: of the SpamAssassin corpus, or of the tests' own."""
    files = [path for path in sorted(CORPUS.glob("*/*")) if path.is_file()]
    if files:
        return "SpamAssassin corpus", [read(path) for path in _spread(files, count)]
    return "tests/data/messages", load_shipped(count)


def load_shipped(count: int) -> list[Mail]:
    """Return `count` of the tests' own messages."""
    raws = [item.raw for item in read_messages([SHIPPED]) if item.raw]
    return [_mail(raw) for raw in _spread(raws, count)]


def begin(mail: Mail, number: int) -> Transaction:
    """Return the transaction as it is when the message itself has yet to come."""
    transaction = make_transaction(
        client=mail.client,
        helo=mail.helo,
        mail_from=mail.mail_from,
        rcpt_to=("bench@example.org",),
        queue_id=f"4Bench{number}",
    )
    transaction.message = None
    return transaction


def _spread(items: Sequence[T], count: int) -> list[T]:
    step = max(1.0, len(items) / count)
    return [items[int(number * step)] for number in range(min(count, len(items)))]


def read(path: Path) -> Mail:
    """Return a message from a file."""
    return _mail(path.read_bytes())


def _mail(raw: bytes) -> Mail:
    raw = _LINE_END.sub(b"\r\n", raw)
    head = raw.partition(b"\r\n\r\n")[0]
    helo, client = _client(head)
    sender = _SENDER.search(head)
    return Mail(raw, client, helo, sender[1].decode() if sender else "")


def _client(head: bytes) -> tuple[str, str]:
    """Return HELO name and address of the first hop that came from outside."""
    for match in _RECEIVED.finditer(head):
        for text in _ADDRESS.findall(match[2]):
            try:
                address = IPv4Address(text.decode())
            except ValueError:
                continue
            if address.is_global:
                return match[1].decode(), str(address)
    return "mail.example.com", "198.18.0.1"
