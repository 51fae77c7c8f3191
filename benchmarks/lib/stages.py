"""Where the instrument is put in: which of the filter's functions make up which stage of a scan.

The rule: only from outside, and taken out again; the filter itself knows nothing of being measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.lib.meter import Meter
from filterproxy.app.compose import Services
from filterproxy.message import Message
from filterproxy.pipeline import Pipeline, pipeline, record
from filterproxy.services.resolver import resolver as resolver_module
from filterproxy.services.resolver import upstream

_LOOP = "event loop, tasks, runner"
_PARSE = {
    "_top": "parse: headers",
    "parts": "parse: MIME",
    "html": "parse: HTML",
    "text": "parse: text",
    "urls": "parse: URLs",
    "header_from": "parse: addresses",
    "attachments": "parse: attachments",
}
_METRICS = ("scanned", "check_done", "symbol_fired", "dns_query")


@contextlib.contextmanager
def instrument(target: Pipeline, services: Services) -> Iterator[Callable[[], dict[str, int]]]:
    """Count by stage while it lasts; the function that is yielded returns nanoseconds by stage so far."""
    meter = Meter(_LOOP)
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        _message(meter, stack)
        _checks(meter, stack, target)
        _resolver(meter, stack)
        _records(meter, stack, services)
        loop.set_task_factory(meter.task_factory)
        stack.callback(loop.set_task_factory, None)
        threads = _thread_cpu()
        others = time.process_time_ns() - time.thread_time_ns()
        meter.reset()

        def spent() -> dict[str, int]:
            meter.enter(_LOOP)
            meter.leave()
            found = dict(meter.spent)
            ended = _thread_cpu()
            named = {f"thread: {name}": ended[name] - threads.get(name, 0) for name in ended}
            rest = time.process_time_ns() - time.thread_time_ns() - others - sum(named.values())
            return found | named | {"threads: scan pool, other": rest}

        yield spent


def _message(meter: Meter, stack: contextlib.ExitStack) -> None:
    for name, stage in _PARSE.items():
        cached: Any = vars(Message)[name]
        stack.callback(setattr, cached, "func", cached.func)
        cached.func = meter.function(stage, cached.func)
    _replace(stack, Message, "_read_all", meter.function("parse: rest for defects", Message._read_all))


def _checks(meter: Meter, stack: contextlib.ExitStack, target: Pipeline) -> None:
    for check in target.checks.checks:
        stage = f"check: {check.name}"
        check.inspect = meter.coroutine_function(stage, check.inspect)  # type: ignore[method-assign]
        stack.callback(delattr, check, "inspect")
    for name, stage in (("decide", "policy"), ("verdict_edits", "header edits")):
        _replace(stack, pipeline, name, meter.function(stage, getattr(pipeline, name)))


def _resolver(meter: Meter, stack: contextlib.ExitStack) -> None:
    resolver = resolver_module.DnsResolver
    _replace(stack, resolver, "resolve", meter.coroutine_function("DNS resolver", resolver.resolve))
    channel = upstream._Channel
    _replace(stack, channel, "_received", meter.function("DNS resolver", channel._received))


def _records(meter: Meter, stack: contextlib.ExitStack, services: Services) -> None:
    _replace(stack, record.Recorder, "message", meter.function("record: rest", record.Recorder.message))
    _replace(stack, type(services.log), "scan", meter.function("record: log line", type(services.log).scan))
    for name in _METRICS:
        kind = type(services.metrics)
        _replace(stack, kind, name, meter.function("record: metrics", getattr(kind, name)))
    history: Any = type(services.history)
    _replace(stack, history, "record", meter.function("record: history", history.record))


def _replace(stack: contextlib.ExitStack, owner: Any, name: str, value: Any) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def _thread_cpu() -> dict[str, int]:
    """Return the CPU of the writers' threads, in nanoseconds."""
    found = {}
    for thread in threading.enumerate():
        if thread.name in ("maillog", "store") and thread.ident is not None:
            found[thread.name] = time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))
    return found
