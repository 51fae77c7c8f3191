"""The classifier in running workers: what is learned counts at once, models change under way, nothing is lost."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from filterproxy.app.demo.next_hop import start_next_hop
from filterproxy.classifier.features import VIEWS, extract
from filterproxy.classifier.model import Model
from filterproxy.classifier.model_file import FILE_NAME, save
from filterproxy.classifier.site_files import SiteFiles
from filterproxy.config.addresses import SocketAddress
from filterproxy.message import Message
from tests.system.server import COMMAND, FilterproxyServer
from tests.system.test_processes import Site, workers_of
from tests.system.waiting import wait_until
from tests.unit.classifier.mail import make_mail, write_corpus

Start = Callable[..., FilterproxyServer]


@pytest.fixture
def site(system_dir: Path) -> Iterator[Site]:
    site = Site(system_dir)
    next_hop = start_next_hop(SocketAddress("127.0.0.1", site.next_hop), site.delivered)
    yield site
    next_hop.stop()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two models that take each other's spam for ham."""
    folder = tmp_path_factory.mktemp("models")
    for name, flip in (("straight", False), ("reverse", True)):
        model = Model.empty()
        for number in range(60):
            is_spam = number % 2 == 0
            model.learn(extract(Message(make_mail(number, is_spam))), is_spam is not flip)
        (folder / name).mkdir()
        save(folder / name / FILE_NAME, model, {})
    return folder


def wire(number: int, is_spam: bool) -> bytes:
    """Return a generated message with the line ends of SMTP."""
    return make_mail(number, is_spam).replace(b"\n", b"\r\n")


def config(site: Site, model: Path, **bayes: Any) -> dict[str, Any]:
    checks = {"bayes": {"model": str(model), **bayes}, "rules": {"files": ["own.yml"]}}
    return site.config(workers=2, mode="observe", checks=checks)


def start(site: Site, start_server: Start, settings: dict[str, Any]) -> FilterproxyServer:
    rules = [
        f"  - {{name: {name}, score: 4, match: {{body: {{regex: '{word}'}}}}}}"
        for name, word in (("A", "pills"), ("B", "casino"), ("C", "winner"), ("D", "cheap"))
    ]
    site.delivered.parent.joinpath("filterproxy0").mkdir(mode=0o2755)
    (site.delivered.parent / "filterproxy0" / "own.yml").write_text("\n".join(["rules:", *rules, ""]))
    return start_server(settings)


def symbol(site: Site, raw: bytes) -> str:
    """Return the BAYES symbol that a message gets on its way."""
    before = set((site.delivered / "new").iterdir())
    assert site.send(raw)[0] == 250
    (file,) = set((site.delivered / "new").iterdir()) - before
    delivered = message_from_bytes(file.read_bytes())
    found = re.search(r"BAYES_[A-Z]+", str(delivered["X-Spam-Status"]))
    assert found, delivered["X-Spam-Status"]
    return found[0]


def command(server: FilterproxyServer, *words: object) -> str:
    line = [str(word) for word in (COMMAND, *words[:2], "-c", server.config, *words[2:])]
    done = subprocess.run(line, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_what_is_learned_changes_the_next_score(site: Site, models: Path, filterproxy_server: Start) -> None:
    server = start(site, filterproxy_server, config(site, models / "straight"))
    raw = wire(501, is_spam=False)
    assert symbol(site, raw) == "BAYES_HAM"
    files = [server.root / f"{number}.eml" for number in range(5)]
    for number, file in enumerate(files):
        file.write_bytes(raw.replace(b"Subject: ", b"Subject: %d " % number))
    assert command(server, "learn", "spam", *files) == "5 learned\n"
    # The very next message is scored by it, whichever worker takes it.
    assert {symbol(site, raw) for _ in range(6)} == {"BAYES_SPAM"}


def test_a_model_is_changed_while_mail_flows_and_nothing_is_lost(
    site: Site, models: Path, filterproxy_server: Start
) -> None:
    server = start(site, filterproxy_server, config(site, models / "straight", refresh="100ms"))
    stop, replies = threading.Event(), []

    def send() -> None:
        while not stop.is_set():
            replies.append(site.send(wire(700 + len(replies), is_spam=True))[0])

    senders = [threading.Thread(target=send) for _ in range(2)]
    for sender in senders:
        sender.start()
    try:
        for number, name in enumerate(("reverse", "straight"), 1):
            command(server, "models", "use", models / name)
            server.wait_for_log("check bayes: using the model", count=2 * number)
    finally:
        stop.set()
        for sender in senders:
            sender.join(30)
    assert set(replies) == {250}
    assert len(site.maildir()) == len(replies)
    assert "BAYES_FAILED" not in server.log()
    assert symbol(site, wire(900, is_spam=True)) == "BAYES_SPAM"
    command(server, "models", "rollback")
    wait_until(lambda: symbol(site, wire(900, is_spam=True)) == "BAYES_HAM", "the model before")


def test_workers_share_one_mapped_table_and_import_no_scikit_learn(
    site: Site, models: Path, filterproxy_server: Start
) -> None:
    server = start(site, filterproxy_server, config(site, models / "straight"))
    for _ in range(6):
        symbol(site, wire(900, is_spam=True))
    for worker in workers_of(server):
        maps = Path(f"/proc/{worker}/maps").read_text()
        assert "sklearn" not in maps
        assert "/scipy/" not in maps
        tables = {line.split()[-1] for line in maps.splitlines() if line.endswith(".f4") and "learned" not in line}
        assert {Path(table).name for table in tables} == {f"{view}.f4" for view in VIEWS}
        assert not any(" rw-s " in line for line in maps.splitlines() if ".f4" in line)


def test_it_learns_by_itself_what_the_rules_are_sure_about(site: Site, models: Path, filterproxy_server: Start) -> None:
    autolearn = {"enabled": True, "min_checks": 1}
    server = start(site, filterproxy_server, config(site, models / "straight", autolearn=autolearn))
    raw = b"From: <a@example.org>\r\nSubject: x\r\n\r\ncheap pills for every winner in our casino\r\n"
    for number in range(3):
        assert site.send(raw.replace(b"Subject: x", b"Subject: %d" % number))[0] == 250
    server.wait_for_log("autolearn=spam", count=3)
    wait_until(lambda: "… by itself    3 spam, 0 ham" in command(server, "models", "show"), "3 are learned")
    assert 'filterproxy_autolearned_total{result="spam"}' in str(site.metrics())


def test_learners_that_are_killed_and_others_leave_exact_counts(
    site: Site, models: Path, filterproxy_server: Start, tmp_path: Path
) -> None:
    server = start(site, filterproxy_server, config(site, models / "straight"))
    write_corpus(tmp_path / "mail", 60, seed=3)
    (tmp_path / "mail" / "index").unlink()
    learn = [COMMAND, "learn", "spam", "-c", server.config, tmp_path / "mail"]
    log = SiteFiles.of(server.root).folder / "learned.db"
    for some in (5, 15):
        learners = [subprocess.Popen(learn, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
        wait_until(lambda some=some: _rows(log) > some, "some are learned")
        for learner in learners:
            learner.kill()
            learner.wait(30)
        symbol(site, wire(900, is_spam=True))
    command(server, "learn", "spam", tmp_path / "mail")
    assert "learned here   60 spam, 0 ham" in command(server, "models", "show")
    assert command(server, "learn", "ham", tmp_path / "mail") == "60 corrected\n"
    assert "learned here   0 spam, 60 ham" in command(server, "models", "show")
    assert command(server, "forget", tmp_path / "mail") == "60 forgotten\n"
    assert "learned here   0 spam, 0 ham" in command(server, "models", "show")


def _rows(log: Path) -> int:
    if not log.exists():
        return 0
    try:
        return int(sqlite3.connect(log).execute("SELECT count(*) FROM learned").fetchone()[0])
    except sqlite3.Error:
        return 0
