"""The supervisor with workers that are only a few lines: what it does when they start, fail, crash, hang and reload."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from filterproxy.app import supervisor as module
from filterproxy.app.control import ControlMessage, Word
from filterproxy.app.errors import StartError
from filterproxy.app.supervisor import Hooks, Supervisor
from filterproxy.config.loader import Loaded
from filterproxy.core.errors import ConfigError
from filterproxy.observability.metrics import Metrics
from filterproxy.services.clock import SystemClock
from tests.unit.app.helpers import RecordedLog, configured, parse_metrics

Work = Callable[[int, Loaded, socket.socket], int]


def orders(control: socket.socket) -> Iterator[ControlMessage]:
    with control.makefile("rb") as lines:
        yield from map(ControlMessage.decode, lines)


def say(control: socket.socket, word: Word, generation: int = 0, *lines: str, temporary: bool = False) -> None:
    control.sendall(ControlMessage(word, generation, lines, temporary).encode())


def serving(number: int, config: Loaded, control: socket.socket) -> int:
    """A worker that does as it is told."""
    say(control, Word.READY)
    for order in orders(control):
        if order.word is Word.PREPARE:
            say(control, Word.PREPARED, order.generation)
        if order.word is Word.DRAIN:
            break
    return 0


@dataclass
class Stage:
    """A supervisor on a stage: `script` runs each time something happens that the supervisor tells about."""

    folder: Path
    work: Work = serving
    load: Callable[[], Loaded] | None = None
    ready: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM)
    settings: str = ""
    workers: int = 2
    log: RecordedLog = field(default_factory=RecordedLog)
    metrics: Metrics = field(default_factory=Metrics)
    released: int = 0

    def run(self) -> None:
        loaded = configured(self.folder, self.settings)
        hooks = Hooks(work=self.work, load=self.load or (lambda: loaded), release=self._release, ready=self.ready)
        Supervisor(loaded, self.workers, hooks, log=self.log, metrics=self.metrics, clock=SystemClock()).run()

    def _release(self) -> None:
        self.released += 1

    def metric(self, name: str) -> float:
        return float(parse_metrics(self.metrics.render().decode())[name])


def kill_self(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_workers_start_announce_and_drain(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.run()
    lines = stage.log.lines()
    assert lines.count("worker: ready pid=") == 2
    assert "stop: draining reason=SIGTERM timeout=30s" in lines
    assert stage.released == 1
    assert "killing" not in lines


def test_ctrl_c_drains_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ready=lambda: kill_self(signal.SIGINT))
    stage.run()
    assert "draining reason=SIGINT" in stage.log.lines()


def test_a_worker_that_cannot_start_ends_the_start_with_its_own_words(tmp_path: Path) -> None:
    def broken(number: int, config: Loaded, control: socket.socket) -> int:
        say(control, Word.FAILED, 0, "rules/x.yml:3:1: name: missing", "rules/y.yml: unreadable")
        return 1

    with pytest.raises(StartError) as raised:
        Stage(tmp_path, work=broken, ready=lambda: pytest.fail("never ready")).run()
    assert list(raised.value.lines) == ["rules/x.yml:3:1: name: missing", "rules/y.yml: unreadable"]
    assert not raised.value.temporary


def test_a_worker_that_dies_while_it_starts_ends_the_start(tmp_path: Path) -> None:
    def dying(number: int, config: Loaded, control: socket.socket) -> int:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return serving(number, config, control)

    with pytest.raises(StartError, match=r"a worker ended while it started \(signal=SIGKILL\)"):
        Stage(tmp_path, work=dying, ready=lambda: pytest.fail("never ready")).run()


def test_a_worker_that_raises_says_where(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def buggy(number: int, config: Loaded, control: socket.socket) -> int:
        raise RuntimeError("a bug")

    with pytest.raises(StartError, match=r"status=70"):
        Stage(tmp_path, work=buggy, workers=1).run()
    assert "RuntimeError: a bug" in capfd.readouterr().err


def test_a_crashed_worker_is_started_again_with_the_same_number(tmp_path: Path) -> None:
    supervisor = os.getpid()
    marker = tmp_path / "crashed"

    def crashing_once(number: int, config: Loaded, control: socket.socket) -> int:
        if number == 2 and not marker.exists():
            say(control, Word.READY)
            control.recv(1)  # told by `ready` below that all have started
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 2:
            assert marker.exists()
            os.kill(supervisor, signal.SIGTERM)
        return serving(number, config, control)

    stage = Stage(tmp_path, work=crashing_once, ready=lambda: kill_self(signal.SIGHUP))
    stage.run()
    lines = stage.log.lines()
    assert "warning: worker: ended pid=" in lines
    assert "signal=SIGKILL restart_in=0s" in lines
    assert stage.metric("filterproxy_worker_crashes_total") == 1


def test_a_worker_that_keeps_crashing_is_restarted_ever_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filterproxy.app.backoff.LONGEST_WAIT", 0.02)
    supervisor = os.getpid()
    counter = tmp_path / "starts"
    counter.write_text("")

    def looping(number: int, config: Loaded, control: socket.socket) -> int:
        with counter.open("a") as file:
            file.write("x")
        if len(counter.read_text()) == 4:
            os.kill(supervisor, signal.SIGTERM)
            return serving(number, config, control)
        say(control, Word.READY)
        return 3

    stage = Stage(tmp_path, work=looping, workers=1, ready=lambda: None)
    stage.run()
    lines = stage.log.lines()
    assert lines.count("status=3 restart_in=0s") == 1
    assert lines.count("status=3 restart_in=0.02s") == 2


def test_a_restart_that_fails_is_logged_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filterproxy.app.backoff.LONGEST_WAIT", 0.02)
    supervisor = os.getpid()
    starts = tmp_path / "starts"
    starts.write_text("")

    def failing_restart(number: int, config: Loaded, control: socket.socket) -> int:
        if number == 1:
            return serving(number, config, control)
        with starts.open("a") as file:
            file.write("x")
        if starts.read_text() == "x":
            say(control, Word.READY)
            control.recv(1)
            return 9
        if starts.read_text() == "xx":
            say(control, Word.FAILED, 0, "models/default: gone")
            return 1
        os.kill(supervisor, signal.SIGTERM)
        return serving(number, config, control)

    stage = Stage(tmp_path, work=failing_restart, ready=lambda: kill_self(signal.SIGHUP))
    stage.run()
    lines = stage.log.lines()
    assert "warning: worker: cannot start: models/default: gone" in lines
    assert "status=1 restart_in=0.02s" in lines


def test_a_worker_that_does_not_finish_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KILL_GRACE", 0.05)

    def deaf(number: int, config: Loaded, control: socket.socket) -> int:
        say(control, Word.READY)
        while True:
            signal.pause()

    stage = Stage(tmp_path, work=deaf, settings="drain_timeout: 0.05s\n", workers=1)
    stage.run()
    assert "warning: stop: killing pid=" in stage.log.lines()


def test_the_second_signal_waits_for_nobody(tmp_path: Path) -> None:
    supervisor = os.getpid()

    def impatient(number: int, config: Loaded, control: socket.socket) -> int:
        say(control, Word.READY)
        for order in orders(control):
            if order.word is Word.DRAIN:
                os.kill(supervisor, signal.SIGTERM)
        while True:
            signal.pause()

    stage = Stage(tmp_path, work=impatient, workers=1)
    stage.run()
    assert "SIGTERM again: not waiting for open sessions" in stage.log.lines()


# Reload


def obedient(supervisor: int) -> Work:
    """A worker that stops the service when a reload was committed or given up."""

    def work(number: int, config: Loaded, control: socket.socket) -> int:
        say(control, Word.READY)
        for order in orders(control):
            if order.word is Word.PREPARE:
                say(control, Word.PREPARED, order.generation)
            elif order.word in (Word.COMMIT, Word.ABORT):
                os.kill(supervisor, signal.SIGTERM)
            elif order.word is Word.DRAIN:
                break
        return 0

    return work


def test_a_reload_is_committed_when_all_workers_could_build_it(tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    new = configured(changed, "workers: 7\nlog: {to: syslog}\n")
    stage = Stage(tmp_path, work=obedient(os.getpid()), load=lambda: new, ready=lambda: kill_self(signal.SIGHUP))
    stage.run()
    lines = stage.log.lines()
    assert "reload: done, the new configuration is in use workers=2" in lines
    assert "reload: workers has changed: that takes effect after a restart" in lines
    assert "reload: log has changed" in lines
    assert "reload: listeners has changed" not in lines
    assert stage.log.sink.reopened == 1
    assert stage.metric('filterproxy_reloads_total{result="ok"}') == 1


def test_a_wrong_file_refuses_the_reload_before_any_worker_hears_of_it(tmp_path: Path) -> None:
    def wrong() -> Loaded:
        kill_self(signal.SIGTERM)  # taken after this reload has been refused
        raise ConfigError("unknown key", file="filterproxy.yml", line=3, key="wrokers", hint="did you mean 'workers'?")

    stage = Stage(tmp_path, load=wrong, ready=lambda: kill_self(signal.SIGHUP))
    stage.run()
    lines = stage.log.lines()
    assert "warning: reload: filterproxy.yml:3: wrokers: unknown key (did you mean 'workers'?)" in lines
    assert "warning: reload: refused, the old configuration stays in use" in lines
    assert stage.metric('filterproxy_reloads_total{result="failed"}') == 1


@pytest.mark.parametrize("how", ["refuses", "dies"])
def test_one_worker_that_cannot_build_it_refuses_the_reload_for_all(tmp_path: Path, how: str) -> None:
    supervisor = os.getpid()

    def work(number: int, config: Loaded, control: socket.socket) -> int:
        say(control, Word.READY)
        for order in orders(control):
            if order.word is Word.PREPARE and number == 1:
                say(control, Word.PREPARED, order.generation)
            elif order.word is Word.PREPARE and how == "refuses":
                say(control, Word.REFUSED, order.generation, "models/default: checksum is wrong")
            elif order.word is Word.PREPARE:
                return 5
            elif order.word is Word.COMMIT:
                return 6
            elif order.word is Word.ABORT and number == 1:
                os.kill(supervisor, signal.SIGTERM)
            elif order.word is Word.DRAIN:
                break
        return 0

    stage = Stage(tmp_path, work=work, ready=lambda: kill_self(signal.SIGHUP))
    stage.run()
    lines = stage.log.lines()
    expected = "models/default: checksum is wrong" if how == "refuses" else "ended while it built the new configuration"
    assert expected in lines
    assert "refused, the old configuration stays in use" in lines
    assert "status=6" not in lines


def test_a_worker_notices_that_the_supervisor_is_gone_although_its_siblings_live(tmp_path: Path) -> None:
    """Every worker must have closed its copies of the others' channels."""
    saw, tell = os.pipe()
    wait, release = os.pipe()

    def work(number: int, config: Loaded, control: socket.socket) -> int:
        say(control, Word.READY)
        if number == 2:
            os.read(wait, 1)  # a sibling that hangs, until the test lets go
        elif list(orders(control)) == []:
            os.write(tell, b"the end")
        return 0

    child = os.fork()
    if child == 0:
        os.close(release)
        Stage(tmp_path, work=work, ready=lambda: kill_self(signal.SIGKILL)).run()
        os._exit(99)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert os.read(saw, 100) == b"the end"
    for descriptor in (saw, tell, wait, release):
        os.close(descriptor)
