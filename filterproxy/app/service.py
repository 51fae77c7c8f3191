"""The service as a whole: configuration, sockets, user, log, shared metrics, then the supervisor until the end.

The rule: whatever can be wrong is found in this order and before anything is announced, and is one line a fault.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from filterproxy import __version__
from filterproxy.app.allocator import share_one_arena
from filterproxy.app.compose import OpenResolver, load_ahead
from filterproxy.app.errors import StartError
from filterproxy.app.inherited import InheritedSockets
from filterproxy.app.next_hops import check_next_hops
from filterproxy.app.privileges import drop_privileges
from filterproxy.app.sockets import BoundListener, bind_all, close_all
from filterproxy.app.supervisor import Hooks, Supervisor
from filterproxy.app.worker import WorkerSetup, run_worker
from filterproxy.config.loader import Loaded
from filterproxy.observability.maillog import MailLog, open_maillog
from filterproxy.observability.metrics import Metrics, prepare_multiprocess
from filterproxy.services.clock import SystemClock
from filterproxy.services.resolver import create_resolver


def announce_ready() -> None:
    """Print `ready` alone on its line, for whoever waits for it."""
    with suppress(OSError):  # nobody reads standard output: no reason not to serve
        sys.stdout.write("ready\n")
        sys.stdout.flush()


def serve(
    loaded: Loaded,
    load: Callable[[], Loaded],
    *,
    open_resolver: OpenResolver = create_resolver,
    ready: Callable[[], None] = announce_ready,
) -> None:
    """Run the service until SIGTERM or SIGINT; raise StartError or ConfigError when it cannot start.

    `load` reads the configuration anew for a reload; `ready` is called when every worker serves.
    """
    if not loaded.settings.listeners:
        raise StartError("there is nothing to listen on: name a listener under 'listeners:'", temporary=False)
    share_one_arena()
    bound = bind_all(loaded.settings.listeners, InheritedSockets.from_environment())
    try:
        drop_privileges(loaded.settings.user, loaded.settings.group)
        check_next_hops(loaded)
        # Only now: what root opened could not be opened again after the log was rotated.
        with closing(_open_log(loaded)) as log, _metrics_folder() as folder:
            _supervise(loaded, load, bound, log, Path(folder), open_resolver, ready)
    finally:
        close_all(bound)


def _supervise(
    loaded: Loaded,
    load: Callable[[], Loaded],
    bound: Sequence[BoundListener],
    log: MailLog,
    metrics_dir: Path,
    open_resolver: OpenResolver,
    ready: Callable[[], None],
) -> None:
    supervisor_id = os.getpid()

    def work(number: int, config: Loaded, control: socket.socket) -> int:
        setup = WorkerSetup(number, config, bound, log, load, open_resolver, supervisor_id, metrics_dir)
        return run_worker(setup, control)

    workers = loaded.settings.workers or len(os.sched_getaffinity(0))
    hooks = Hooks(work=work, load=load, release=lambda: close_all(bound), ready=ready)
    addresses = ",".join(f"{item.config.type}={item.config.address}" for item in bound)
    source = loaded.path or "defaults"
    log.info("start", f"version={__version__} workers={workers} configuration={source} listeners={addresses}")
    load_ahead(loaded)
    Supervisor(loaded, workers, hooks, log=log, metrics=Metrics(), clock=SystemClock()).run()
    log.info("stop", "done")


def _metrics_folder() -> tempfile.TemporaryDirectory[str]:
    """Return the folder in which the workers share their metrics, to be removed at the end."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="filterproxy-metrics-")
        prepare_multiprocess(Path(folder.name))
    except OSError as error:
        raise StartError(f"cannot make a temporary folder: {error.strerror or error}", temporary=True) from error
    return folder


def _open_log(loaded: Loaded) -> MailLog:
    to = loaded.settings.log.to
    try:
        return open_maillog(to, loaded.base_dir)
    except OSError as error:
        raise StartError(f"cannot write the log {to}: {error.strerror or error}", temporary=True) from error
