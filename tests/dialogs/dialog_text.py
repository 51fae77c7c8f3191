"""The text format of dialogs (see README.md): lines, escapes, verdicts and questions about a transaction."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filterproxy.core.action import Action
from filterproxy.core.reply import Reply
from filterproxy.pipeline import HeaderEdits, Verdict
from tests.dialogs.scripted_pipeline import Script, ScriptedScan

_LINE = re.compile(r"([CSRNVTO])(\d*): ?(.*)\Z")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)")
_LETTERS = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


@dataclass(frozen=True)
class Line:
    """One line of a dialog; `number` is that of `T1:`, 0 for the latest."""

    letter: str
    number: int
    text: str
    where: str


def read_dialog(path: Path) -> Iterator[Line]:
    """Yield a file's lines; raise ValueError for one that is no dialog line."""
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not text.strip() or text.startswith("#"):
            continue
        match = _LINE.match(text)
        if match is None:
            raise ValueError(f"{path.name}:{number}: not a dialog line: {text}")
        yield Line(match[1], int(match[2] or 0), match[3], f"{path.name}:{number}")


def octets(text: str) -> bytes:
    """Return the octets of a text with escapes."""

    def replace(match: re.Match[bytes]) -> bytes:
        letter = match[1]
        return bytes.fromhex(letter[1:].decode()) if letter.startswith(b"x") else _LETTERS[letter]

    return _ESCAPE.sub(replace, text.encode())


def words(text: str) -> list[tuple[str, str]]:
    """Return the `key=value` words of a text, escapes undone in the values."""
    pairs = (word.partition("=") for word in shlex.split(text.replace("\\", "\\\\")))
    return [(key, octets(value).decode("utf-8", "surrogateescape")) for key, _, value in pairs]


def script_of(text: str) -> Script:
    """Return the script of a `V:` line."""
    insert, remove, change, removed = [], [], [], []
    script, action, reply = Script(), Action.NO_ACTION, None
    for key, value in words(text):
        match key:
            case "action":
                action = Action.parse(value)
            case "reply":
                reply = Reply(int(value[:3]), tuple(line[4:] for line in value.split("\r\n")))
            case "insert":
                name, _, rest = value.partition(": ")
                insert.append((name, rest))
            case "remove":
                name, _, occurrence = value.partition(":")
                remove.append((name, int(occurrence)))
            case "change":
                name, occurrence, rest = value.split(":", 2)
                change.append((name, int(occurrence), rest))
            case "wants":
                script.wants = int(value)
            case "removed":
                removed.append(value)
            case "raise":
                script.fails = value
            case _:
                raise ValueError(f"unknown word {key} in a verdict")
    edits = HeaderEdits(tuple(remove), tuple(change), tuple(insert))
    script.verdict = Verdict(action, reply, edits, removed=tuple(removed))
    return script


def _yes(value: object) -> str:
    return "yes" if value else "no"


_QUESTIONS = {
    "mail_from": lambda scan: scan.transaction.envelope.mail_from,
    "rcpt_to": lambda scan: ",".join(scan.transaction.envelope.rcpt_to),
    "parameters": lambda scan: ",".join(scan.transaction.envelope.mail_parameters),
    "helo": lambda scan: scan.transaction.helo,
    "client": lambda scan: scan.transaction.client.address,
    "name": lambda scan: scan.transaction.client.name,
    "port": lambda scan: str(scan.transaction.client.port),
    "user": lambda scan: scan.transaction.user,
    "tls": lambda scan: f"{scan.transaction.tls.version}/{scan.transaction.tls.cipher}" if scan.transaction.tls else "",
    "queue_id": lambda scan: scan.transaction.queue_id,
    "local": lambda scan: _yes(scan.transaction.local),
    "stages": lambda scan: ",".join(scan.stages),
    "can_remove": lambda scan: _yes(scan.delivery.can_remove),
    "size": lambda scan: str(scan.size),
    "can_hold": lambda scan: _yes(scan.delivery.can_hold),
    "finished": lambda scan: _yes(scan.raw is not None),
    "cancelled": lambda scan: _yes(scan.cancelled),
    "recorded": lambda scan: scan.recorded,
}


def check_transaction(line: Line, scans: list[ScriptedScan]) -> None:
    """Compare a `T:` line with what the pipeline saw."""
    assert scans, f"{line.where}: no transaction began"
    scan = scans[line.number - 1]
    if line.text.startswith("raw="):
        assert scan.raw == octets(line.text[4:]), line.where
        return
    for key, wanted in words(line.text):
        assert _QUESTIONS[key](scan) == wanted, f"{line.where}: {key}"
