"""Dovecot's IMAPSieve with the script that users of rspamd have: what is moved is learned through rspamc, over HTTP."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.system.dovecot import Dovecot, missing
from tests.system.server import FilterproxyServer
from tests.system.test_dovecot import count, move_all, put
from tests.system.waiting import free_port
from tests.unit.classifier.mail import make_mail

PASSWORD = "correct-horse"
_SCRIPT = '#!/bin/sh\nexec /usr/bin/rspamc -h 127.0.0.1:{port} -P {password} -t 60 "learn_$1"\n'


@dataclass
class Mailbox:
    """A Dovecot whose moves teach a filterproxy."""

    dovecot: Dovecot
    server: FilterproxyServer
    port: int

    def learned(self) -> dict[str, int]:
        """Return how many messages of each class the filter has learned, as it says itself."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/stat", headers={"Password": PASSWORD})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return {item["symbol"]: item["revision"] for item in json.load(answer)["statfiles"]}

    def to_junk(self, raw: bytes) -> None:
        """Move a message into Junk, which must succeed whatever becomes of the learning."""
        with self.dovecot.session() as imap:
            put(imap, "INBOX", raw)
            move_all(imap, "INBOX", "Junk")
            assert (count(imap, "INBOX"), count(imap, "Junk")) == (0, 1)


@pytest.fixture
def start(system_dir: Path, filterproxy_server: Any) -> Iterator[Callable[..., Mailbox]]:
    if missing():
        pytest.fail(missing())
    with Dovecot(system_dir / "dovecot") as dovecot:

        def started(password: str = PASSWORD, **limits: Any) -> Mailbox:
            port = free_port()
            listener = {
                "type": "http",
                "address": f"127.0.0.1:{port}",
                "enable_password": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD),
                "limits": limits,
            }
            config = {"listeners": [listener], "checks": {"bayes": {}}, "trusted_networks": ["192.0.2.9"]}
            dovecot.pipe_into(_SCRIPT.format(port=port, password=password))
            return Mailbox(dovecot, filterproxy_server(config), port)

        yield started


def test_moves_teach_and_emptying_junk_does_not(start: Callable[..., Mailbox]) -> None:
    mailbox = start()
    with mailbox.dovecot.session() as imap:
        put(imap, "INBOX", make_mail(1, is_spam=True))
        move_all(imap, "INBOX", "Junk")
        assert mailbox.learned() == {"BAYES_SPAM": 1, "BAYES_HAM": 0}
        move_all(imap, "Junk", "Trash")
        assert mailbox.learned() == {"BAYES_SPAM": 1, "BAYES_HAM": 0}
        put(imap, "INBOX", make_mail(2, is_spam=True))
        move_all(imap, "INBOX", "Junk")
        assert mailbox.learned() == {"BAYES_SPAM": 2, "BAYES_HAM": 0}
        move_all(imap, "Junk", "INBOX")
        assert mailbox.learned() == {"BAYES_SPAM": 1, "BAYES_HAM": 1}
        move_all(imap, "INBOX", "Junk")
        assert mailbox.learned() == {"BAYES_SPAM": 2, "BAYES_HAM": 0}
    assert "Error" not in mailbox.dovecot.log()


def test_a_wrong_password_teaches_nothing_and_breaks_no_move(start: Callable[..., Mailbox]) -> None:
    mailbox = start(password="wrong")
    mailbox.to_junk(make_mail(1, is_spam=True))
    mailbox.server.wait_for_log("401 unauthorized", deadline=60)
    mailbox.dovecot.wait_for_log("filterproxy-learn")
    assert mailbox.learned() == {"BAYES_SPAM": 0, "BAYES_HAM": 0}


def test_what_is_too_large_teaches_nothing_and_breaks_no_move(start: Callable[..., Mailbox]) -> None:
    mailbox = start(message_size=20_000)
    mailbox.to_junk(make_mail(1, is_spam=True) + b"x" * 30_000 + b"\n")
    mailbox.server.wait_for_log("413 ", deadline=60)
    assert mailbox.learned() == {"BAYES_SPAM": 0, "BAYES_HAM": 0}


def test_a_dead_server_breaks_no_move(start: Callable[..., Mailbox]) -> None:
    mailbox = start()
    assert mailbox.server.stop() == 0
    mailbox.to_junk(make_mail(1, is_spam=True))
    mailbox.dovecot.wait_for_log("filterproxy-learn")
