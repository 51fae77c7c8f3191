"""The doctor on everything but DNS: sockets, next hop, certificates, store, disk, clock, model and rules."""

from __future__ import annotations

import asyncio
import datetime
import os
import pwd
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from filterproxy.app.doctor import certificates, examination, examine, machine
from filterproxy.app.doctor.finding import System
from filterproxy.app.doctor.users import find_user
from filterproxy.services.store.history import HistoryRow
from filterproxy.services.store.sqlite import SqliteStore
from filterproxy.testing import FakeClock
from filterproxy.testing.dns_server import DnsServer
from tests.certificates import make_certificates
from tests.dialogs.smtp_peers import sink
from tests.smtp_provider import PASSWORD, USER, Authority, provider
from tests.unit.app.doctor.patients import NOWHERE, findings, lines

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture(scope="module")
def dns():
    with DnsServer({}) as server:
        yield server


@pytest.fixture(autouse=True)
def only(monkeypatch):
    """Examine nothing that waits for DNS."""
    skipped = ("resolver", "hostname", "own domains")
    wanted = {area: call for area, call in examination._EXAMINATIONS.items() if area not in skipped}
    monkeypatch.setattr(examination, "_EXAMINATIONS", wanted)


async def test_a_configuration_that_is_wrong_is_the_only_finding(tmp_path):
    (tmp_path / "filterproxy.yml").write_text("hostnam: x\nworkers: -1\n")
    told = await examine(tmp_path / "filterproxy.yml", system=NOWHERE)
    assert [(finding.area, finding.status) for finding in told] == [("configuration", "problem")] * 2
    assert "filterproxy.yml:1:1: hostnam: unknown key (did you mean 'hostname'?)" in told[0].text


async def test_a_filter_that_is_not_running_is_a_note(tmp_path, dns):
    told = await findings(tmp_path, dns)
    assert lines(told["listeners"]) == ["note: the filter is not running: nobody answers at its listeners"]


async def test_a_listener_that_does_not_answer_while_others_do(tmp_path, dns):
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    listeners = [
        {"type": "http", "address": f"0.0.0.0:{port}"},
        {"type": "smtp", "address": "127.0.0.1:1", "next_hop": {"address": "127.0.0.1:2", "routes": {}}},
        {"type": "milter", "address": f"unix:{tmp_path}/absent.sock"},
    ]
    told = await findings(tmp_path, dns, listeners=listeners)
    server.close()
    assert lines(told["listeners"]) == [
        f"ok: http 0.0.0.0:{port} answers",
        "problem: smtp 127.0.0.1:1: connection refused, while others answer",
        f"problem: milter unix:{tmp_path}/absent.sock: no such file or directory, while others answer",
    ]


async def test_nothing_to_listen_on(tmp_path, dns):
    told = await findings(tmp_path, dns, listeners=[])
    assert lines(told["listeners"]) == ["problem: there is nothing to listen on"]


@pytest.fixture
def open_folder():
    """A folder that every user may enter, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="filterproxy-doctor-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def with_socket(folder: Path, dns, mode: int, group: int = 0, **system) -> list[str]:
    """Return what is said about a milter socket with those permissions."""
    path = folder / "milter.sock"
    server = await asyncio.start_unix_server(lambda reader, writer: writer.close(), path)
    os.chown(path, os.geteuid(), group) if os.geteuid() == 0 else None
    path.chmod(mode)
    nowhere = {"resolved": Path("/nonexistent"), "postfix_config": Path("/nonexistent")}
    told = await findings(
        folder,
        dns,
        system=System(postfix_user="nobody", **nowhere | system),
        listeners=[{"type": "milter", "address": f"unix:{path}"}],
    )
    server.close()
    return lines(told["listeners"])[1:]


async def test_a_socket_that_postfix_may_use(open_folder, dns):
    assert await with_socket(open_folder, dns, 0o666) == [f"ok: nobody may use {open_folder}/milter.sock"]
    if os.geteuid() == 0:  # only root may give a file to another group
        assert "ok: nobody may use" in (await with_socket(open_folder, dns, 0o660, NOBODY.pw_gid))[0]


async def test_a_socket_that_postfix_may_not_use(open_folder, dns):
    (told,) = await with_socket(open_folder, dns, 0o600)
    assert told == f"problem: nobody may not write to {open_folder}/milter.sock, so Postfix cannot use it"
    inner = open_folder / "closed"
    inner.mkdir(mode=0o700)
    (told,) = await with_socket(inner, dns, 0o666)
    assert told == f"problem: nobody may not enter {inner}, so Postfix cannot reach {inner}/milter.sock"


async def test_a_chroot_that_cannot_see_the_socket(open_folder, dns):
    queue = open_folder / "queue"
    postfix = open_folder / "etc"
    for folder in (queue, postfix):
        folder.mkdir(mode=0o755)
    (postfix / "main.cf").write_text(f"queue_directory = {queue}\nsmtpd_milters =\n  unix:milter.sock\n")
    (postfix / "master.cf").write_text("# a comment\nsmtp inet n - y - - smtpd\n  -o a=b\n")
    outside = await with_socket(open_folder, dns, 0o666, postfix_config=postfix)
    assert outside[1].startswith(
        f"problem: Postfix's smtpd is locked into {queue} (chroot in master.cf) and cannot see"
    )
    inside = await with_socket(queue, dns, 0o666, postfix_config=postfix)
    assert inside == [f"ok: nobody may use {queue}/milter.sock"]
    (postfix / "main.cf").write_text(f"queue_directory = {queue}\n")
    unnamed = await with_socket(queue, dns, 0o666, postfix_config=postfix)
    assert unnamed[1] == f"note: Postfix's configuration does not name {queue}/milter.sock"


async def test_a_socket_whose_folder_is_missing(open_folder, dns):
    told = await findings(
        open_folder,
        dns,
        system=System(postfix_user="nobody", postfix_config=open_folder),
        listeners=[{"type": "milter", "address": f"unix:{open_folder}/absent/milter.sock"}],
    )
    assert f"problem: {open_folder}/absent does not exist" in lines(told["listeners"])


def smtp(port: int) -> dict:
    return {"listeners": [{"type": "smtp", "address": "127.0.0.1:1", "next_hop": f"127.0.0.1:{port}"}]}


async def test_a_next_hop_that_takes_us(tmp_path, dns):
    async with sink(keywords=(b"STARTTLS", b"AUTH PLAIN LOGIN", b"XFORWARD NAME ADDR")) as hop:
        told = await findings(tmp_path, dns, **smtp(hop.port))
    expected = f"ok: 127.0.0.1:{hop.port} takes us; it offers STARTTLS, AUTH PLAIN LOGIN"
    assert lines(told["next hop"]) == [expected]
    assert hop.accepted == [] and b"MAIL" not in b"".join(hop.commands)


async def test_a_next_hop_without_xforward(tmp_path, dns):
    async with sink() as hop:
        told = lines((await findings(tmp_path, dns, **smtp(hop.port)))["next hop"])
    assert told[0].endswith("it offers no STARTTLS, no AUTH")
    assert told[1] == f"note: 127.0.0.1:{hop.port} does not take XFORWARD from us"


async def test_a_next_hop_that_refuses_or_is_not_there(tmp_path, dns):
    async with sink(answers={"EHLO": b"554 5.7.1 go away", "HELO": b"554 5.7.1 go away"}) as hop:
        (refused,) = lines((await findings(tmp_path, dns, **smtp(hop.port)))["next hop"])
    assert refused.startswith(f"problem: 127.0.0.1:{hop.port} (ehlo): ") and "go away" in refused
    (absent,) = lines((await findings(tmp_path, dns, **smtp(hop.port)))["next hop"])
    assert absent.startswith(f"problem: 127.0.0.1:{hop.port} (connect): cannot connect")


async def test_a_next_hop_with_tls_and_auth(tmp_path, dns):
    authority = Authority(tmp_path)
    (tmp_path / "secret").write_text(PASSWORD)
    (tmp_path / "secret").chmod(0o600)
    hop = {"provider": "tim", "host": "localhost", "username": USER, "password_file": str(tmp_path / "secret")}

    async def told(port: int, **more) -> list[str]:
        next_hop = {**hop, "port": port, "ca_file": authority.file, **more}
        settings = {"listeners": [{"type": "smtp", "address": "127.0.0.1:1", "next_hop": next_hop}]}
        return lines((await findings(tmp_path, dns, **settings))["next hop"])

    async with provider(context=authority.context()) as server:
        assert (await told(server.port))[0].startswith(f"ok: localhost:{server.port} takes us; it offers TLSv1.3, AUTH")
        server.password = "another"
        (refused,) = await told(server.port)
        assert refused.startswith(f"problem: localhost:{server.port} (auth): refuses the credentials: 535")
        (unusable,) = await told(server.port, ca_file="nowhere.pem")
        assert "cannot use the ca_file" in unusable
        assert not server.messages


async def test_certificates(tmp_path, dns, monkeypatch):
    made = make_certificates(tmp_path, "mx.example.org")
    tls = {"cert": str(made.cert), "key": str(made.key)}
    settings = {"listeners": [{"type": "smtp", "address": "127.0.0.1:1", "next_hop": "127.0.0.1:2", "tls": tls}]}
    clock = FakeClock()
    real = certificates._examine
    monkeypatch.setattr(certificates, "_examine", lambda config, base, _: real(config, base, clock.at))

    async def told() -> str:
        return lines((await findings(tmp_path, dns, **settings))["certificates"])[0]

    end = certificates.x509.load_pem_x509_certificates(made.cert.read_bytes())[0].not_valid_after_utc
    clock.at = end - datetime.timedelta(days=30)
    assert await told() == f"ok: {made.cert} is valid until {end:%Y-%m-%d}"
    clock.at = end - datetime.timedelta(days=3)
    assert (await told()).startswith("warning: ")
    clock.at = end + datetime.timedelta(seconds=1)
    assert await told() == f"problem: {made.cert} has expired on {end:%Y-%m-%d}"
    clock.at = datetime.datetime(1990, 1, 1, tzinfo=datetime.UTC)
    assert "is not valid before" in await told()
    made.key.write_text("nonsense")
    assert (await told()).startswith(f"problem: {made.cert}: tls.cert: not usable for TLS")


async def test_a_store_that_is_not_there_yet(tmp_path, dns, monkeypatch):
    told = await findings(tmp_path, dns, store="sqlite:a/b/state.db")
    assert lines(told["store"]) == [f"ok: {tmp_path}/a/b/state.db will be made at the first start"]
    assert list(tmp_path.iterdir()) == [tmp_path / "filterproxy.yml"]


async def test_stores_that_the_filters_user_may_not_write(open_folder, dns, monkeypatch):
    monkeypatch.setattr(machine, "current_user", lambda: find_user("nobody"))
    path = open_folder / "state.db"

    async def told() -> list[str]:
        return lines((await findings(open_folder, dns))["store"])

    assert await told() == [f"problem: {open_folder} may not be written by nobody"]
    open_folder.chmod(0o777)
    path.touch(mode=0o600)
    assert await told() == [f"problem: {path} may not be written by nobody"]
    path.chmod(0o666)
    assert await told() == [f"ok: {path} can be written by nobody"]
    open_folder.chmod(0o700)
    assert await told() == [f"problem: {open_folder} may not be written by nobody"]


async def test_the_store_of_a_user_that_root_becomes(open_folder, dns, monkeypatch):
    monkeypatch.setattr(machine.os, "geteuid", lambda: 0)
    (nobody,) = lines((await findings(open_folder, dns, user="nobody"))["store"])
    assert nobody == f"problem: {open_folder} may not be written by nobody"
    (unknown,) = lines((await findings(open_folder, dns, user="no-such-user"))["store"])
    assert unknown == "problem: there is no user 'no-such-user'"


async def test_stores_that_cannot_be_written(tmp_path, dns, monkeypatch):
    monkeypatch.setattr(machine, "_BUSY_SECONDS", 0.05)
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE t (x)")
    assert lines((await findings(tmp_path, dns))["store"])[0].startswith(f"ok: {path} can be written by ")
    connection.execute("BEGIN IMMEDIATE")
    told = await findings(tmp_path, dns)
    assert lines(told["store"]) == [f"problem: {path} cannot be used: database is locked"]
    connection.close()
    path.write_bytes(b"nonsense" * 1000)
    told = await findings(tmp_path, dns)
    assert lines(told["store"]) == [f"problem: {path} cannot be used: file is not a database"]


@pytest.mark.parametrize(("free", "status"), [(50 * 2**20, "problem"), (500 * 2**20, "warning"), (2**31, "ok")])
async def test_the_disk(free, status, tmp_path, dns, monkeypatch):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**40, 2**40 - free, free))
    (finding,) = (await findings(tmp_path, dns, log={"to": "filter.log"}))["disk"]
    assert (finding.status, finding.text) == (status, f"{free // 2**20} MiB free in {tmp_path}")


async def fill(path: Path, ahead: float, count: int = 20) -> None:
    """Write a history of messages that came so many seconds after their Date, and some that say nonsense."""
    store = SqliteStore(path)
    await store.start()
    for number in range(count):
        date = None if number % 7 == 0 else 5e9 if number % 5 == 0 else 2e9 - ahead + number
        store.record(HistoryRow(time=2e9 + number, action="no action", score=0, required_score=6, message_date=date))
    store.record(HistoryRow(time=2e9, action="reject", score=20, required_score=6, message_date=0.0))
    assert await store.flush()
    await store.close()


@pytest.mark.parametrize(
    ("ahead", "count", "expected"),
    [
        (3.0, 40, "ok: the clock agrees with the Date of the last 34 messages"),
        (-3700.0 * 5, 40, "problem: the clock is about 5 hours behind the Date of the last 34 messages"),
        (86_400.0 * 4, 40, "problem: the clock is about 4 days ahead of the Date of the last 34 messages"),
        (3600.0, 5, "note: too little mail in the history to compare the clock with"),
    ],
)
async def test_the_clock(ahead, count, expected, tmp_path, dns):
    await fill(tmp_path / "state.db", ahead, count)
    assert lines((await findings(tmp_path, dns, history_retention="36500d"))["clock"]) == [expected]


async def test_model_and_rules(tmp_path, dns):
    told = await findings(tmp_path, dns, checks={"bayes": {}, "rules": {}})
    (model,), (rules,) = told["model"], told["rules"]
    assert model.text.startswith("default: trained on ") and rules.status == "ok"
    assert "rules, lists and composites are loaded" in rules.text


async def test_a_model_that_is_not_there(tmp_path, dns):
    told = await findings(tmp_path, dns, checks={"bayes": {"model": "absent"}})
    (finding,) = told["checks"]
    assert finding.status == "problem" and "absent" in finding.text


async def test_scores_of_nobody(tmp_path, dns):
    told = await findings(tmp_path, dns, scores={"GTUBEE": 1})
    (finding,) = told["checks"]
    assert "no enabled check declares this symbol" in finding.text


async def test_an_examination_that_fails_does_not_hide_the_others(tmp_path, dns, monkeypatch):
    async def broken(patient):
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(examination._EXAMINATIONS, "disk", broken)
    told = await findings(tmp_path, dns)
    assert lines(told["disk"]) == ["problem: could not be looked at: ZeroDivisionError: oops"]
    assert "store" in told
