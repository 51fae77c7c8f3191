"""The supervisor: keeps the workers running, passes on reloads and the end, and touches no mail itself.

The rule: no event loop and no lock held when it forks; one selector waits for signals and the workers' words.

| phase | leaves it |
|---|---|
| STARTING | all workers ready → SERVING; one fails → DRAINING with its faults; SIGTERM → DRAINING |
| SERVING | SIGTERM, SIGINT → DRAINING; SIGHUP, a changed rules file → a reload; a worker's end → it is started again |
| DRAINING | every worker gone, or killed after the drain time-out → exit |
"""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from filterproxy.app.backoff import Backoff
from filterproxy.app.control import ControlMessage, Word
from filterproxy.app.errors import StartError, fault_lines
from filterproxy.app.notify import notify
from filterproxy.app.reload import ANSWER_TIMEOUT, Reload, needs_restart
from filterproxy.app.signals import SignalQueue
from filterproxy.app.watch import Watch
from filterproxy.app.worker_process import WorkerProcess, describe
from filterproxy.config.loader import Loaded
from filterproxy.core.errors import FilterproxyError
from filterproxy.core.ports import Clock
from filterproxy.observability.maillog import MailLog
from filterproxy.observability.metrics import Metrics, worker_ended

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_KILL_GRACE = 5.0
_LOG_FLUSH = 1.0


class _Phase(Enum):
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True)
class Hooks:
    """What the supervisor is given to work with.

    `work` runs in a worker (its number from 1, configuration, end of the channel) and returns its exit status; `load`
    reads the configuration anew; `release` closes the listening sockets; `ready` announces that all workers serve.
    """

    work: Callable[[int, Loaded, socket.socket], int]
    load: Callable[[], Loaded]
    release: Callable[[], None]
    ready: Callable[[], None]


@dataclass
class _Slot:
    """A place for one worker: empty until `start_at`, then a process."""

    number: int
    start_at: float
    process: WorkerProcess | None = None
    backoff: Backoff = field(default_factory=Backoff)


class Supervisor:
    """Runs `workers` processes until it is told to stop."""

    def __init__(
        self, config: Loaded, workers: int, hooks: Hooks, *, log: MailLog, metrics: Metrics, clock: Clock
    ) -> None:
        self._config = config
        self._hooks = hooks
        self._log, self._metrics, self._clock = log, metrics, clock
        self._slots = [_Slot(number, clock.monotonic()) for number in range(1, workers + 1)]
        self._phase = _Phase.STARTING
        self._failure: StartError | None = None
        self._kill_at = 0.0
        self._reload: Reload | None = None
        self._reload_wanted = False
        self._generation = 0
        self._watch = Watch(config)
        self._look_at = clock.monotonic()
        self._signals = SignalQueue(_SIGNALS)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._signals.socket, selectors.EVENT_READ)

    def run(self) -> None:
        """Return when all workers have gone after SIGTERM or SIGINT; raise StartError when they cannot start."""
        try:
            while not self._finished():
                self._start_due()
                self._selector.select(self._patience())
                self._step()
        finally:
            for process in self._running():
                process.kill()
            self._selector.close()
            self._signals.close()
        if self._failure is not None:
            raise self._failure

    def _step(self) -> None:
        for number in self._signals.take():
            self._on_signal(number)
        for slot in self._slots:
            self._listen_to(slot)
        self._look_for_changes()
        self._continue_reload()
        self._kill_late()

    def _running(self) -> list[WorkerProcess]:
        return [slot.process for slot in self._slots if slot.process]

    def _finished(self) -> bool:
        return self._phase is _Phase.DRAINING and not self._running()

    def _patience(self) -> float | None:
        """Return the seconds until something is due, None when only an event can change anything."""
        due = [slot.start_at for slot in self._slots if self._may_start(slot)]
        due += [self._reload.deadline] if self._reload else []
        due += [self._kill_at] if self._phase is _Phase.DRAINING else []
        due += [self._look_at] if self._looks else []
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    # Workers

    def _start_due(self) -> None:
        now = self._clock.monotonic()
        for slot in self._slots:
            if self._may_start(slot) and slot.start_at <= now:
                self._start(slot, now)

    def _may_start(self, slot: _Slot) -> bool:
        # During a reload nobody could say which configuration a new worker should begin with.
        return slot.process is None and self._phase is not _Phase.DRAINING and not self._reload

    def _start(self, slot: _Slot, now: float) -> None:
        # With nothing to write the log's thread holds no lock that the child would inherit.
        self._log.flush(_LOG_FLUSH)
        config = self._config
        others = [process.channel for process in self._running()]
        slot.process = WorkerProcess.fork(lambda control: self._hooks.work(slot.number, config, control), others, now)
        self._selector.register(slot.process.channel.socket, selectors.EVENT_READ)

    def _listen_to(self, slot: _Slot) -> None:
        process = slot.process
        if process is None:
            return
        status = process.poll()  # before reading: what it said last is then complete
        for message in process.channel.receive():
            self._on_message(process, message)
        if status is not None:
            self._on_end(slot, process, status)

    def _on_message(self, process: WorkerProcess, message: ControlMessage) -> None:
        if message.word is Word.READY:
            process.ready = True
            self._log.info("worker", f"ready pid={process.pid}")
            self._announce()
        elif message.word is Word.FAILED:
            self._on_failed_start(message)
        elif self._reload:
            self._reload.answer(process.pid, message)

    def _announce(self) -> None:
        processes = self._running()
        if self._phase is _Phase.STARTING and len(processes) == len(self._slots) and all(p.ready for p in processes):
            self._phase = _Phase.SERVING
            notify("READY=1")
            self._hooks.ready()

    def _on_failed_start(self, message: ControlMessage) -> None:
        if self._phase is _Phase.STARTING:
            self._failure = StartError(*message.lines, temporary=message.temporary)
            self._drain("start-up failed", 0.0)
        elif self._phase is _Phase.SERVING:
            for line in message.lines:
                self._log.warning("worker", f"cannot start: {line}")

    def _on_end(self, slot: _Slot, process: WorkerProcess, status: int) -> None:
        self._selector.unregister(process.channel.socket)
        process.channel.close()
        slot.process = None
        worker_ended(slot.number)
        if self._reload:
            self._reload.ended(process.pid)
        if self._phase is _Phase.STARTING:
            self._failure = StartError(f"a worker ended while it started ({describe(status)})", temporary=True)
            self._drain("start-up failed", 0.0)
        elif self._phase is _Phase.SERVING:
            self._start_again(slot, process, status)

    def _start_again(self, slot: _Slot, process: WorkerProcess, status: int) -> None:
        now = self._clock.monotonic()
        wait = slot.backoff.crashed(now - process.started)
        slot.start_at = now + wait
        self._metrics.worker_crashed()
        self._log.warning("worker", f"ended pid={process.pid} {describe(status)} restart_in={wait:g}s")

    # The end

    def _on_signal(self, number: signal.Signals) -> None:
        if number is signal.SIGHUP:
            self._reload_wanted = True
        elif number in (signal.SIGTERM, signal.SIGINT) and self._phase is not _Phase.DRAINING:
            self._drain(number.name, self._config.settings.drain_timeout)
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._log.warning("stop", f"{number.name} again: not waiting for open sessions")
            self._kill_at = self._clock.monotonic()

    def _drain(self, reason: str, timeout: float) -> None:
        self._log.info("stop", f"draining reason={reason} timeout={timeout:g}s")
        notify("STOPPING=1")
        self._phase = _Phase.DRAINING
        self._reload = None
        self._kill_at = self._clock.monotonic() + timeout + _KILL_GRACE
        self._hooks.release()
        self._tell(ControlMessage(Word.DRAIN))

    def _kill_late(self) -> None:
        if self._phase is _Phase.DRAINING and self._clock.monotonic() >= self._kill_at:
            for process in self._running():
                self._log.warning("stop", f"killing pid={process.pid}: it did not finish in time")
                process.kill()
            self._kill_at = self._clock.monotonic() + _KILL_GRACE

    def _tell(self, message: ControlMessage) -> None:
        for process in self._running():
            process.channel.send(message)

    # Reload

    @property
    def _looks(self) -> bool:
        return self._phase is _Phase.SERVING and self._config.settings.watch_interval > 0

    def _look_for_changes(self) -> None:
        now = self._clock.monotonic()
        if not self._looks or now < self._look_at:
            return
        self._look_at = now + self._config.settings.watch_interval
        changed = self._watch.changed(self._config)
        if changed:
            self._log.info("reload", f"changed: {' '.join(map(str, changed))}")
            self._reload_wanted = True

    def _continue_reload(self) -> None:
        if self._reload:
            self._reload.expire(self._clock.monotonic())
            if self._reload.complete:
                self._finish_reload(self._reload)
        if self._reload_wanted and self._phase is _Phase.SERVING and not self._reload:
            self._reload_wanted = False
            self._begin_reload()

    def _begin_reload(self) -> None:
        try:
            config = self._hooks.load()
        except FilterproxyError as error:
            self._refuse_reload(fault_lines(error))
            return
        self._watch.note(config)
        self._generation += 1
        deadline = self._clock.monotonic() + ANSWER_TIMEOUT
        self._reload = Reload(self._generation, config, [process.pid for process in self._running()], deadline)
        self._tell(ControlMessage(Word.PREPARE, self._generation))

    def _finish_reload(self, reload: Reload) -> None:
        self._reload = None
        if reload.faults:
            self._tell(ControlMessage(Word.ABORT, reload.generation))
            self._refuse_reload(reload.faults)
            return
        self._tell(ControlMessage(Word.COMMIT, reload.generation))
        for key in needs_restart(self._config, reload.config):
            self._log.warning("reload", f"{key} has changed: that takes effect after a restart")
        self._config = reload.config
        self._watch.keep_only(reload.config)
        self._log.reopen()
        self._metrics.reloaded("ok")
        self._log.info("reload", f"done, the new configuration is in use workers={len(self._running())}")

    def _refuse_reload(self, faults: list[str]) -> None:
        self._metrics.reloaded("failed")
        for fault in faults:
            self._log.warning("reload", fault)
        self._log.warning("reload", "refused, the old configuration stays in use")
