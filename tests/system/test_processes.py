"""The processes as an operator meets them: start, refusals, crashes, reload, drain, health and metrics over workers."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pwd
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from filterproxy.app.demo.next_hop import start_next_hop
from filterproxy.config.addresses import SocketAddress
from tests.certificates import Certificates, make_certificates
from tests.system.messages import gtube, message
from tests.system.server import COMMAND, FilterproxyServer
from tests.system.waiting import answers, free_port, wait_until
from tests.unit.app.helpers import parse_metrics

Start = Callable[..., FilterproxyServer]
RECIPIENT = "alice@example.net"


class Site:
    """Ports and a Maildir behind a next hop that keeps everything."""

    def __init__(self, folder: Path) -> None:
        self.smtp, self.http, self.next_hop = free_port(), free_port(), free_port()
        self.delivered = folder / "delivered"

    def config(self, **more: Any) -> dict[str, Any]:
        listeners = [
            {"type": "smtp", "address": f"127.0.0.1:{self.smtp}", "next_hop": f"127.0.0.1:{self.next_hop}"},
            {"type": "http", "address": f"127.0.0.1:{self.http}"},
        ]
        return {"listeners": listeners, "checks": {"gtube": {}}, **more}

    def send(self, raw: bytes, smtp: smtplib.SMTP | None = None) -> tuple[int, str]:
        """Return the reply to one message, in a session of its own unless one is given."""
        if smtp is None:
            with self.session() as own:
                return self.send(raw, own)
        smtp.mail("sender@example.org")
        smtp.rcpt(RECIPIENT)
        code, text = smtp.data(raw)
        return code, text.decode()

    @contextmanager
    def session(self) -> Iterator[smtplib.SMTP]:
        smtp = smtplib.SMTP("127.0.0.1", self.smtp, local_hostname="client.example", timeout=20)
        try:
            smtp.ehlo()
            yield smtp
        finally:
            smtp.close()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        return parse_metrics(self.get("/metrics")[1])

    def maildir(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.delivered / "new").iterdir())]


@pytest.fixture
def site(system_dir: Path) -> Iterator[Site]:
    site = Site(system_dir)
    next_hop = start_next_hop(SocketAddress("127.0.0.1", site.next_hop), site.delivered)
    yield site
    next_hop.stop()


def workers_of(server: FilterproxyServer) -> list[int]:
    """Return the process ids of the living workers."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return [int(pid) for pid in children]


def refused(config: Path) -> subprocess.CompletedProcess[str]:
    """Return what a start that fails printed, and its status."""
    return subprocess.run([COMMAND, "run", "-c", config], capture_output=True, text=True, timeout=30, check=False)


# Start


def test_ready_comes_after_every_listener_and_the_end_is_0(site: Site, filterproxy_server: Start) -> None:
    server = filterproxy_server(site.config(workers=2))
    assert site.get("/healthz") == (200, "ok\n")
    assert site.send(message("plain"))[0] == 250
    assert site.send(gtube("spam"))[0] == 554
    assert (server.root / "stdout").read_text() == "ready\n"
    assert server.stop() == 0
    assert "stop: done" in server.log()
    assert not answers(site.smtp)


def test_a_port_in_use_is_one_clear_line(site: Site, system_dir: Path) -> None:
    root = system_dir / "second"
    server = FilterproxyServer(root, site.config())
    with socket.create_server(("127.0.0.1", site.smtp)):
        done = refused(server.config)
    assert done.returncode == 75
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    beginning, _, holder = line.partition("address already in use: ")
    assert beginning == f"filterproxy: cannot listen on 127.0.0.1:{site.smtp}: "
    assert re.fullmatch(rf"\S+ \(pid {os.getpid()}\) listens there", holder)


def test_a_folder_that_cannot_be_written_is_one_clear_line(site: Site, system_dir: Path) -> None:
    (system_dir / "blocked").write_text("a file where a folder should be")
    config = site.config(store=f"sqlite://{system_dir}/blocked/state.db", log={"to": "stderr"}, workers=2)
    done = refused(FilterproxyServer(system_dir / "service", config).config)
    faults = [line for line in done.stderr.splitlines() if line.startswith("filterproxy: ")]
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(faults) == 1
    assert f"{system_dir}/blocked/state.db: cannot write the store" in faults[0]


def test_a_log_that_cannot_be_written_is_one_clear_line(site: Site, system_dir: Path) -> None:
    config = site.config(log={"to": "/nonexistent/filterproxy.log"})
    done = refused(FilterproxyServer(system_dir / "service", config).config)
    assert done.returncode == 75
    assert done.stderr == "filterproxy: cannot write the log /nonexistent/filterproxy.log: No such file or directory\n"


def test_every_error_of_a_wrong_configuration_is_shown(site: Site, system_dir: Path) -> None:
    server = FilterproxyServer(system_dir / "service", site.config(wrokers=3, deadline="soon"))
    done = refused(server.config)
    assert done.returncode == 1
    assert "wrokers: unknown key (did you mean 'workers'?)" in done.stderr
    assert "deadline: 'soon' is not a duration" in done.stderr
    assert not answers(site.smtp)


def test_a_missing_model_stops_the_start_and_names_it(site: Site, system_dir: Path) -> None:
    config = site.config(checks={"bayes": {"model": "no/such/model"}}, log={"to": "stderr"})
    done = refused(FilterproxyServer(system_dir / "service", config).config)
    assert done.returncode == 1
    assert "no/such/model" in done.stderr
    assert done.stdout == ""


def test_nothing_to_listen_on_is_said(system_dir: Path) -> None:
    done = refused(FilterproxyServer(system_dir / "service", {"checks": {}}).config)
    assert done.returncode == 1
    assert "name a listener under 'listeners:'" in done.stderr


def test_without_dns_the_service_is_ready_and_ham_passes(site: Site, filterproxy_server: Start) -> None:
    config = site.config(dns={"nameservers": [f"127.0.0.1:{free_port()}"]})
    del config["checks"]
    filterproxy_server(config)
    code, text = site.send(message("no-dns"))
    assert (code, site.maildir() != []) == (250, True), text


def test_a_unix_socket_of_a_killed_service_is_taken_over(site: Site, filterproxy_server: Start) -> None:
    config = site.config()
    path = site.delivered / "milter.sock"
    config["listeners"] = [{"type": "milter", "address": f"unix:{path}"}]
    first = filterproxy_server(config)
    first.kill()
    assert path.is_socket()
    second = filterproxy_server(config)
    assert path.is_socket()
    assert second.stop() == 0
    assert not path.exists()


# Workers


def test_a_killed_worker_is_started_again_and_reported(site: Site, filterproxy_server: Start) -> None:
    server = filterproxy_server(site.config(workers=2))
    before = workers_of(server)
    os.kill(before[0], signal.SIGKILL)
    line = server.wait_for_line("warning: worker: ended")
    assert f"pid={before[0]} signal=SIGKILL restart_in=0s" in line
    server.wait_for_log("worker: ready", count=3)
    assert len(workers_of(server)) == 2
    assert site.send(message("after-the-crash"))[0] == 250
    assert site.metrics()["filterproxy_worker_crashes_total"] == 1


def test_metrics_are_the_sum_over_workers_and_survive_a_crash(site: Site, filterproxy_server: Start) -> None:
    server = filterproxy_server(site.config(workers=2))

    def scans() -> float:
        return site.metrics().get('filterproxy_scans_total{action="no action",listener="smtp"}', 0.0)

    for number in range(6):
        assert site.send(message(f"sum-{number}"))[0] == 250
    wait_until(lambda: scans() == 6, "6 scans counted", state=lambda: site.get("/metrics")[1])
    for pid in workers_of(server):
        os.kill(pid, signal.SIGKILL)
    server.wait_for_log("worker: ready", count=4)
    assert scans() == 6
    assert site.send(message("one-more"))[0] == 250
    wait_until(lambda: scans() == 7, "7 scans counted", state=lambda: site.get("/metrics")[1])
    assert site.metrics()['filterproxy_open_sessions{listener="smtp"}'] == 0


def test_workers_of_a_killed_supervisor_finish_their_transactions_and_end(
    site: Site, filterproxy_server: Start
) -> None:
    server = filterproxy_server(site.config(workers=2))
    workers = workers_of(server)
    with site.session() as smtp:
        smtp.mail("sender@example.org")
        smtp.rcpt(RECIPIENT)
        assert smtp.docmd("DATA")[0] == 354
        os.kill(server.pid, signal.SIGKILL)
        server.wait_for_log("the supervisor is gone: draining", count=2)
        smtp.send(message("orphan") + b".\r\n")
        assert smtp.getreply()[0] == 250
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers end", state=server.log)
    assert len(site.maildir()) == 1
    server.kill()


def test_a_worker_killed_in_the_middle_of_data_loses_nothing_that_was_acknowledged(
    site: Site, filterproxy_server: Start
) -> None:
    server = filterproxy_server(site.config(workers=1))
    with site.session() as smtp:
        smtp.mail("sender@example.org")
        smtp.rcpt(RECIPIENT)
        assert smtp.docmd("DATA")[0] == 354
        smtp.send(b"Subject: half of it\r\n")
        os.kill(workers_of(server)[0], signal.SIGKILL)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            smtp.getreply()
    server.wait_for_log("worker: ready", count=2)
    assert site.maildir() == []
    assert site.send(message("again"))[0] == 250
    assert len(site.maildir()) == 1


# Reload


def test_a_transaction_under_way_ends_with_the_configuration_it_began_with(
    site: Site, filterproxy_server: Start
) -> None:
    server = filterproxy_server(site.config())
    with site.session() as smtp:
        smtp.mail("sender@example.org")
        smtp.rcpt(RECIPIENT)
        server.configure(site.config(mode="observe"))
        server.reload()
        server.wait_for_log("reload: done")
        assert smtp.data(gtube("began-before"))[0] == 554
        assert site.send(gtube("began-after"), smtp)[0] == 250


def test_a_reload_takes_effect_in_sessions_that_are_open(site: Site, filterproxy_server: Start) -> None:
    server = filterproxy_server(site.config(workers=2))
    with site.session() as smtp:
        assert site.send(gtube("before"), smtp)[0] == 554
        server.configure(site.config(workers=2, mode="observe"))
        server.reload()
        server.wait_for_log("reload: done")
        assert site.send(gtube("after"), smtp)[0] == 250
    assert b"X-Spam-Flag: YES" in site.maildir()[0]
    assert site.metrics()['filterproxy_reloads_total{result="ok"}'] == 1


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"mode": "obsreve"}, "mode: "),
        ({"checks": {"gtube": {}, "rules": {"files": ["broken.yml"]}}}, "broken.yml"),
        ({"checks": {"gtube": {}, "bayes": {"model": "gone"}}}, "gone"),
    ],
    ids=["configuration", "rules", "model"],
)
def test_a_reload_that_is_wrong_leaves_the_old_configuration_in_use(
    site: Site, filterproxy_server: Start, broken: dict[str, Any], expected: str
) -> None:
    server = filterproxy_server(site.config(workers=2))
    (server.root / "broken.yml").write_text("rules: [{name: lower case, match: 3}]\n")
    workers = workers_of(server)
    server.configure({**site.config(workers=2), **broken})
    server.reload()
    server.wait_for_log("warning: reload: refused, the old configuration stays in use")
    assert any("warning: reload: " in line and expected in line for line in server.log().splitlines())
    assert site.send(gtube("still"))[0] == 554
    assert site.send(message("still"))[0] == 250
    assert workers_of(server) == workers
    server.configure(site.config(workers=2, mode="observe"))
    server.reload()
    server.wait_for_log("reload: done")
    assert site.send(gtube("mended"))[0] == 250


def test_what_needs_a_restart_is_said(site: Site, filterproxy_server: Start) -> None:
    server = filterproxy_server(site.config())
    server.configure(site.config(workers=2, store="sqlite:other.db"))
    server.reload()
    server.wait_for_log("reload: done")
    log = server.log()
    assert "warning: reload: workers has changed: that takes effect after a restart" in log
    assert "warning: reload: store has changed" in log
    assert len(workers_of(server)) == 1


def test_a_reload_takes_up_a_log_that_was_rotated(site: Site, filterproxy_server: Start) -> None:
    server = filterproxy_server(site.config(workers=1))
    log = server.root / "filterproxy.log"
    log.rename(server.root / "filterproxy.log.1")
    server.reload()
    wait_until(lambda: log.exists() and "reload: done" in log.read_text(), "a new log", state=server.log)
    assert site.send(message("new-log"))[0] == 250
    wait_until(lambda: "new-log@example.org" in log.read_text(), "the worker's line in the new log", state=server.log)


# The end


def test_sigterm_finishes_the_transaction_takes_no_new_ones_and_exits_0(site: Site, filterproxy_server: Start) -> None:
    server = filterproxy_server(site.config(workers=2))
    with site.session() as idle, site.session() as busy:
        busy.mail("sender@example.org")
        busy.rcpt(RECIPIENT)
        assert busy.docmd("DATA")[0] == 354
        os.kill(server.pid, signal.SIGTERM)
        server.wait_for_log("stop: draining reason=SIGTERM")
        wait_until(lambda: not answers(site.smtp), "new connections are refused", state=server.log)
        assert idle.getreply()[0] == 421
        wait_until(lambda: site.get("/healthz") == (503, "draining\n"), "health says so", state=server.log)
        busy.send(message("last") + b".\r\n")
        assert busy.getreply()[0] == 250
    assert server.stop() == 0
    assert len(site.maildir()) == 1


def test_a_session_that_never_ends_is_cut_off_at_the_drain_timeout(site: Site, filterproxy_server: Start) -> None:
    server = filterproxy_server(site.config(drain_timeout="300ms"))
    with site.session() as smtp:
        smtp.mail("sender@example.org")
        smtp.rcpt(RECIPIENT)
        assert smtp.docmd("DATA")[0] == 354
        assert server.stop(deadline=10) == 0
        with pytest.raises(smtplib.SMTPServerDisconnected):
            smtp.send(b".\r\n")
            smtp.getreply()
            smtp.noop()
    assert site.maildir() == []


def test_the_service_manager_is_told(site: Site, system_dir: Path, filterproxy_server: Start) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, pytest.MonkeyPatch.context() as patch:
        manager.bind(str(system_dir / "notify"))
        manager.settimeout(20)
        patch.setenv("NOTIFY_SOCKET", str(system_dir / "notify"))
        server = filterproxy_server(site.config())
        assert manager.recv(100) == b"READY=1"
        server.stop()
        assert manager.recv(100) == b"STOPPING=1"


def test_sockets_of_the_service_manager_are_served(site: Site, system_dir: Path) -> None:
    server = FilterproxyServer(system_dir / "activated", site.config(checks={}))
    smtp, http = (socket.create_server(("127.0.0.1", port)) for port in (site.smtp, site.http))
    script = f'exec 3<&{smtp.fileno()} 4<&{http.fileno()}; LISTEN_PID=$$ LISTEN_FDS=2 exec "$@"'
    fds = (smtp.fileno(), http.fileno())
    server.start(["bash", "-c", script, "bash"], pass_fds=fds)
    smtp.close()
    http.close()
    assert site.send(message("activated"))[0] == 250
    assert site.get("/healthz") == (200, "ok\n")
    assert server.stop() == 0


def test_root_is_left_for_a_user(site: Site, system_dir: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    server = FilterproxyServer(system_dir / "dropped", site.config(user="nobody", workers=1))
    if os.geteuid() != 0:
        done = refused(server.config)
        assert "user: only root can become 'nobody'" in done.stderr
        return
    os.chown(server.root, nobody.pw_uid, nobody.pw_gid)
    closed = [folder for folder in COMMAND.parents if folder.stat().st_mode & 0o005 != 0o005]
    if closed:
        # Installed below a folder of root's alone.
        done = refused(server.config)
        assert re.search(
            r"user: 'nobody' cannot read /.*; install the program where that user can read it", done.stderr
        )
        return
    server.start()
    for pid in (server.pid, *workers_of(server)):
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(rf"^Uid:(\t{nobody.pw_uid}){{4}}$", status, re.MULTILINE)
        assert re.search(rf"^Gid:(\t{nobody.pw_gid}){{4}}$", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert site.send(message("dropped"))[0] == 250
    assert (server.root / "filterproxy.log").stat().st_uid == nobody.pw_uid
    assert server.stop() == 0


def test_a_user_that_does_not_exist_is_said(site: Site, system_dir: Path) -> None:
    done = refused(FilterproxyServer(system_dir / "nouser", site.config(user="no-such-user")).config)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "filterproxy: user: there is no user 'no-such-user'; create it, or leave the key out"
    ]


def test_history_survives_the_end(site: Site, filterproxy_server: Start) -> None:
    server = filterproxy_server(site.config(workers=2))
    assert site.send(message("kept"))[0] == 250
    assert server.stop() == 0
    done = subprocess.run(
        [COMMAND, "history", "-c", server.config, "--json"], capture_output=True, text=True, timeout=30, check=True
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["message_id"].strip("<>") for row in rows] == ["kept@example.org"]


# Rules that change


RULE = "rules: [{name: LOCAL_WORD, score: 20, match: {subject: {contains: %s}}}]\n"


def rules_site(site: Site) -> dict[str, Any]:
    return site.config(workers=2, checks={"rules": {"files": ["local/*.yml"]}})


def test_a_changed_rules_file_is_taken_up_by_all_workers_without_a_signal(
    site: Site, system_dir: Path, filterproxy_server: Start
) -> None:
    local = system_dir / "filterproxy0" / "local"
    local.mkdir(parents=True)
    (local / "a.yml").write_text(RULE % "first")
    server = filterproxy_server(rules_site(site))
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(site.session()) for _ in range(4)]
        assert {site.send(message("first", subject="first"), smtp)[0] for smtp in sessions} == {554}
        (local / "a.yml").write_text(RULE % "second")
        server.wait_for_log("reload: done")
        assert {site.send(message("1", subject="first"), smtp)[0] for smtp in sessions} == {250}
        assert {site.send(message("2", subject="second"), smtp)[0] for smtp in sessions} == {554}
        (local / "b.yml").write_text("rules: [{name: LOCAL_OTHER, score: 20, match: {subject: {contains: third}}}]\n")
        server.wait_for_log("reload: done", count=2)
        assert {site.send(message("3", subject="third"), smtp)[0] for smtp in sessions} == {554}
    assert f"reload: changed: {local}/a.yml" in server.log()


def test_a_changed_rules_file_that_is_wrong_keeps_the_old_rules_and_says_so(
    site: Site, system_dir: Path, filterproxy_server: Start
) -> None:
    local = system_dir / "filterproxy0" / "local"
    local.mkdir(parents=True)
    (local / "a.yml").write_text(RULE % "first")
    server = filterproxy_server(rules_site(site))
    (local / "a.yml").write_text("rules: [{name: LOCAL_WORD, match: {subjct: {contains: x}}}]\n")
    log = server.wait_for_log("warning: reload: refused, the old configuration stays in use")
    assert f"{local}/a.yml:1:36: rules[0].match.subjct: unknown key (did you mean 'subject'?)" in log
    assert site.send(message("first", subject="first"))[0] == 554
    refused_reloads = 'filterproxy_reloads_total{result="failed"}'
    wait_until(lambda: site.metrics().get(refused_reloads), "the metric", state=server.log)
    checked = subprocess.run(
        [COMMAND, "check-config", "-c", server.config], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 1
    assert "did you mean 'subject'?" in checked.stderr
    (local / "a.yml").write_text(RULE % "second")
    server.wait_for_log("reload: done")
    assert site.send(message("second", subject="second"))[0] == 554


def test_rules_that_change_under_load_lose_nothing(site: Site, system_dir: Path, filterproxy_server: Start) -> None:
    local = system_dir / "filterproxy0" / "local"
    local.mkdir(parents=True)
    (local / "a.yml").write_text(RULE % "word0")
    server = filterproxy_server(rules_site(site))
    stop = threading.Event()
    accepted: list[str] = []
    failures: list[str] = []

    def sender(number: int) -> None:
        with site.session() as smtp:
            for count in itertools.count():
                if stop.is_set():
                    return
                name = f"load-{number}-{count}"
                code, text = site.send(message(name), smtp)
                (accepted if code == 250 else failures).append(name if code == 250 else f"{name}: {code} {text}")

    threads = [threading.Thread(target=sender, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for count in range(1, 4):
            (local / "a.yml").write_text(RULE % f"word{count}")
            server.wait_for_log("reload: done", count=count)
            assert site.send(message("probe", subject=f"word{count}"))[0] == 554
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    delivered = b"".join(site.maildir())
    assert len(accepted) >= 20
    assert [name for name in accepted if f"{name}@example.org".encode() not in delivered] == []


# Settings of listeners


def test_a_reload_takes_a_listeners_settings_for_new_sessions(site: Site, filterproxy_server: Start) -> None:
    config = site.config(workers=2)
    server = filterproxy_server(config)
    with site.session() as old:
        assert old.esmtp_features["size"] == "50000000"
        config["listeners"][0]["limits"] = {"message_size": "10KB", "recipients": 1}
        server.configure(config)
        server.reload()
        server.wait_for_log("reload: done")
        with site.session() as new:
            assert new.esmtp_features["size"] == "10000"
            assert site.send(message("small"), new)[0] == 250
            assert site.send(message("large", body=b"x\r\n" * 5000), new)[0] == 552
        # The session that was open has what it began with.
        assert site.send(message("old", body=b"x\r\n" * 5000), old)[0] == 250
    assert "takes effect after a restart" not in server.log()
    assert len(site.maildir()) == 2


def test_a_worker_that_is_started_after_a_reload_has_the_new_settings(site: Site, filterproxy_server: Start) -> None:
    config = site.config()
    server = filterproxy_server(config)
    config["listeners"][0]["limits"] = {"message_size": "10KB"}
    server.configure(config)
    server.reload()
    server.wait_for_log("reload: done")
    (first,) = workers_of(server)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: workers_of(server) not in ([], [first]), "a new worker", state=server.log)
    wait_until(lambda: site.get("/healthz")[0] == 200, "it serves", state=server.log)
    with site.session() as smtp:
        assert smtp.esmtp_features["size"] == "10000"


def test_a_reload_takes_another_next_hop_while_mail_flows(
    site: Site, system_dir: Path, filterproxy_server: Start
) -> None:
    config = site.config(workers=2)
    server = filterproxy_server(config)
    other = system_dir / "other"
    port = free_port()
    second = start_next_hop(SocketAddress("127.0.0.1", port), other)
    try:
        with site.session() as old:
            assert site.send(message("before"), old)[0] == 250
            config["listeners"][0]["next_hop"] = f"127.0.0.1:{port}"
            server.configure(config)
            server.reload()
            server.wait_for_log("reload: done")
            assert site.send(message("still-old"), old)[0] == 250
            assert site.send(message("new"))[0] == 250
        assert [b"<before@" in raw or b"<still-old@" in raw for raw in site.maildir()] == [True, True]
        (only,) = (other / "new").iterdir()
        assert b"<new@example.org>" in only.read_bytes()
    finally:
        second.stop()


def test_a_listener_whose_settings_are_wrong_leaves_all_as_it_was(site: Site, filterproxy_server: Start) -> None:
    config = site.config(workers=2)
    server = filterproxy_server(config)
    config["listeners"][0] |= {"tls": {"cert": "gone.pem"}, "limits": {"message_size": "10KB"}}
    server.configure(config)
    server.reload()
    log = server.wait_for_log("warning: reload: refused, the old configuration stays in use")
    assert "gone.pem" in log
    assert "no such file" in log
    with site.session() as smtp:
        assert smtp.esmtp_features["size"] == "50000000"
        assert "starttls" not in smtp.esmtp_features
        assert site.send(message("as-before"), smtp)[0] == 250


def test_a_listener_that_moved_needs_a_restart_and_the_log_names_it(site: Site, filterproxy_server: Start) -> None:
    config = site.config()
    server = filterproxy_server(config)
    port = free_port()
    config["listeners"][0] = {**config["listeners"][0], "address": f"127.0.0.1:{port}"}
    server.configure(config)
    server.reload()
    server.wait_for_log("reload: done")
    log = server.log()
    for address in (site.smtp, port):
        assert f"listeners: smtp 127.0.0.1:{address} has changed: that takes effect after a restart" in log
    assert site.send(message("where-it-was"))[0] == 250


def test_certificates_and_settings_change_while_mail_flows(
    site: Site, system_dir: Path, filterproxy_server: Start
) -> None:
    first, second = (make_certificates(system_dir / name) for name in ("first", "second"))
    config = site.config(workers=2)
    config["listeners"][0]["tls"] = {"cert": str(first.cert), "key": str(first.key)}
    server = filterproxy_server(config)
    stop = threading.Event()
    accepted: list[str] = []
    failures: list[str] = []

    def sender(number: int) -> None:
        for count in itertools.count():
            if stop.is_set():
                return
            name = f"flow-{number}-{count}"
            try:
                answer = site.send(message(name))
            except (OSError, smtplib.SMTPException) as error:
                answer = (0, repr(error))
            (accepted if answer[0] == 250 else failures).append(name if answer[0] == 250 else f"{name}: {answer}")

    def trusts(certificates: Certificates) -> bool:
        with site.session() as smtp, contextlib.suppress(ssl.SSLCertVerificationError):
            smtp.starttls(context=certificates.client_context())
            return True
        return False

    threads = [threading.Thread(target=sender, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert trusts(first)
        # The same files, replaced; then other files and limits.
        first.cert.write_bytes(second.cert.read_bytes())
        first.key.write_bytes(second.key.read_bytes())
        server.reload()
        server.wait_for_log("reload: done")
        assert trusts(second)
        assert not trusts(first)
        third = make_certificates(system_dir / "third")
        config["listeners"][0] |= {
            "tls": {"cert": str(third.cert), "key": str(third.key)},
            "limits": {"message_size": "1MB"},
        }
        server.configure(config)
        server.reload()
        server.wait_for_log("reload: done", count=2)
        assert trusts(third)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    delivered = b"".join(site.maildir())
    assert len(accepted) >= 10
    assert [name for name in accepted if f"{name}@example.org".encode() not in delivered] == []
