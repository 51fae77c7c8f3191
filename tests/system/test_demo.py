"""`filterproxy run --demo`, what `make run` starts: samples over real SMTP, a table of what became of them, `ready`."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.system.server import COMMAND
from tests.system.waiting import answers, free_port, wait_until

TITLES = ("Ham", "Ham in Italian", "Ham in HTML", "Spam", "GTUBE", "Forged sender")


class Demo:
    """The demo in a folder, on ports of its own."""

    def __init__(self, root: Path, **more: Any) -> None:
        self.root = root
        self.smtp, self.http, self.next_hop = free_port(), free_port(), free_port()
        shipped = yaml.safe_load((Path(__file__).parents[2] / "filterproxy/app/demo/demo.yml").read_text())
        listeners = [
            {"type": "smtp", "address": f"127.0.0.1:{self.smtp}", "next_hop": f"127.0.0.1:{self.next_hop}"},
            {"type": "http", "address": f"127.0.0.1:{self.http}"},
        ]
        (root / "filterproxy.yml").write_text(yaml.safe_dump({**shipped, "listeners": listeners, **more}))
        self.stdout, self.stderr = root / "stdout", root / "stderr"

    def start(self) -> None:
        with self.stdout.open("wb") as stdout, self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [COMMAND, "run", "--demo"], cwd=self.root, stdout=stdout, stderr=stderr, start_new_session=True
            )

    def wait_for_ready(self, deadline: float = 30.0) -> None:
        wait_until(lambda: self.process.poll() is not None or self._ready(), "ready", deadline, self.output)
        assert self.process.poll() is None, self.output()

    def _ready(self) -> bool:
        return "ready" in self.stdout.read_text().splitlines()

    def output(self) -> str:
        return self.stdout.read_text() + self.stderr.read_text()

    def rows(self) -> Mapping[str, list[str]]:
        """Return the cells of the table's rows by their title; lines that continue a cell are joined to it."""
        rows: dict[str, list[str]] = {}
        title = ""
        for line in self.stdout.read_text().splitlines():
            found = next((name for name in sorted(TITLES, key=len, reverse=True) if line.startswith(f"  {name}  ")), "")
            title = found or (title if line.startswith("      ") else "")
            if title:
                rows.setdefault(title, []).extend(line.removeprefix(f"  {found}").split())
        return rows

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def demo(system_dir: Path) -> Iterator[Demo]:
    demo = Demo(system_dir)
    yield demo
    if demo.process.poll() is None:
        demo.process.kill()
        demo.process.wait()


def test_the_samples_are_sent_shown_and_delivered(demo: Demo) -> None:
    demo.start()
    demo.wait_for_ready()
    rows = demo.rows()
    assert set(rows) == set(TITLES)
    for ham in ("Ham", "Ham in Italian", "Ham in HTML"):
        assert rows[ham][:2] == ["no", "action"], rows[ham]
        assert any(cell.startswith("DMARC_PASS(") for cell in rows[ham])
    assert rows["GTUBE"][0] == "reject"
    assert any(cell.startswith("GTUBE(") for cell in rows["GTUBE"])
    assert rows["Spam"][0] in ("add", "reject"), rows["Spam"]
    assert any(cell.startswith("DEMO_LIST(") for cell in rows["Spam"])
    assert any(cell.startswith("SPF_FAIL(") for cell in rows["Forged sender"]), rows["Forged sender"]
    assert demo.stdout.read_text().splitlines()[-1] == "ready"
    assert any(b"Conferma" in path.read_bytes() for path in (demo.root / "var/delivered/new").iterdir())
    assert demo.stop() == 0
    assert not answers(demo.next_hop)
    assert not answers(demo.smtp)


def test_it_stays_up_and_takes_mail_of_others(demo: Demo) -> None:
    demo.start()
    demo.wait_for_ready()
    with socket.create_connection(("127.0.0.1", demo.smtp), timeout=10) as client:
        assert client.recv(100).startswith(b"220 ")
    assert demo.stop(signal.SIGTERM) == 0


def test_without_dns_it_is_ready_as_well_and_ham_is_accepted(system_dir: Path) -> None:
    demo = Demo(system_dir, dns={"nameservers": ["192.0.2.1"]})  # nobody answers there, ever
    demo.start()
    demo.wait_for_ready(deadline=20)
    assert [demo.rows()[ham][:2] for ham in TITLES[:3]] == [["no", "action"]] * 3
    assert demo.stop() == 0


def test_a_next_hop_that_is_there_is_used(demo: Demo, system_dir: Path) -> None:
    from filterproxy.app.demo.next_hop import start_next_hop
    from filterproxy.config.addresses import SocketAddress

    own = start_next_hop(SocketAddress("127.0.0.1", demo.next_hop), system_dir / "mine")
    demo.start()
    demo.wait_for_ready()
    assert demo.stop() == 0
    own.stop()
    assert len(list((system_dir / "mine/new").iterdir())) >= 3
    assert not (demo.root / "var/delivered").exists()


def test_a_port_in_use_is_one_clear_line_and_leaves_nothing_running(demo: Demo) -> None:
    with socket.create_server(("127.0.0.1", demo.smtp)):
        demo.start()
        assert demo.process.wait(30) == 75
    assert demo.stdout.read_text() == ""
    faults = [line for line in demo.stderr.read_text().splitlines() if line.startswith("filterproxy: ")]
    assert len(faults) == 1
    assert f"cannot listen on 127.0.0.1:{demo.smtp}: address already in use" in faults[0]
    assert not answers(demo.next_hop)


def test_a_folder_that_cannot_be_written_is_one_clear_line(demo: Demo) -> None:
    (demo.root / "var").write_text("a file where a folder should be")
    demo.start()
    assert demo.process.wait(30) == 75
    assert demo.stdout.read_text() == ""
    assert demo.stderr.read_text() == "filterproxy: the demo cannot use var/delivered/tmp: not a directory\n"
