"""What users do in a real Dovecot teaches the filter what they meant, and never costs them a move."""

from __future__ import annotations

import imaplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.dovecot import Dovecot, missing
from tests.system.server import COMMAND
from tests.unit.classifier.mail import make_mail


@pytest.fixture
def dovecot(system_dir: Path) -> Iterator[Dovecot]:
    reason = missing()
    if reason:
        pytest.fail(reason)
    with Dovecot(system_dir / "dovecot") as dovecot:
        yield dovecot


def put(imap: imaplib.IMAP4, mailbox: str, raw: bytes) -> None:
    assert imap.append(mailbox, None, None, raw.replace(b"\n", b"\r\n"))[0] == "OK"


def move_all(imap: imaplib.IMAP4, source: str, target: str) -> None:
    assert imap.select(source)[0] == "OK"
    status, text = imap._simple_command("MOVE", "1:*", target)  # imaplib knows no MOVE
    assert status == "OK", text


def count(imap: imaplib.IMAP4, mailbox: str) -> int:
    return int(imap.select(mailbox, readonly=True)[1][0] or 0)


def test_moves_teach_and_emptying_junk_does_not(dovecot: Dovecot, tmp_path: Path) -> None:
    with dovecot.session() as imap:
        put(imap, "INBOX", make_mail(1, is_spam=True))
        move_all(imap, "INBOX", "Junk")
        move_all(imap, "Junk", "Trash")
        put(imap, "INBOX", make_mail(2, is_spam=True))
        move_all(imap, "INBOX", "Junk")
        move_all(imap, "Junk", "INBOX")
        move_all(imap, "INBOX", "Archive")
        assert [count(imap, mailbox) for mailbox in ("INBOX", "Junk", "Trash", "Archive")] == [0, 0, 1, 1]
    learned = dovecot.wait_for(3)
    assert [words.split(" learn ")[1].split()[0] for words, _ in learned] == ["spam", "spam", "ham"]
    assert [raw.replace(b"\r\n", b"\n") for _, raw in learned] == [
        make_mail(number, is_spam=True) for number in (1, 2, 2)
    ]
    assert "Error" not in dovecot.log()
    replay(learned, tmp_path)


def replay(learned: list[tuple[str, bytes]], folder: Path) -> None:
    """Run what sudo was asked to run, on a site of its own: the message that was moved back counts as ham alone."""
    (folder / "filterproxy.yml").write_text("store: sqlite:state.db\n")
    for words, raw in learned:
        user, name, *arguments = words.removeprefix("-n -u ").split()
        assert (user, name) == ("filterproxy", "filterproxy")
        arguments[arguments.index("-c") + 1] = str(folder / "filterproxy.yml")
        subprocess.run([COMMAND, *arguments], input=raw, check=True, capture_output=True, timeout=60)
    done = subprocess.run(
        [COMMAND, "models", "show", "-c", folder / "filterproxy.yml"], capture_output=True, text=True, check=True
    )
    assert "learned here   1 spam, 1 ham\n" in done.stdout


def test_a_learner_that_is_missing_breaks_no_move(dovecot: Dovecot) -> None:
    dovecot.pipe.unlink()
    with dovecot.session() as imap:
        put(imap, "INBOX", make_mail(1, is_spam=True))
        move_all(imap, "INBOX", "Junk")
        assert count(imap, "INBOX") == 0
        assert count(imap, "Junk") == 1
    assert "filterproxy-learn" in dovecot.log()
