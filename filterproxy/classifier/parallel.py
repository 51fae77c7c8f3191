"""Reading messages with several processes, in order.

The rule: results come in the order of the examples and only a few batches are under way at once, so that the outcome is
the same as with one process and memory stays bounded.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor

from filterproxy.classifier.reading import Example, Read, read_features

_BATCH = 64
_AHEAD = 3
# Starting a process costs as much as reading so many messages.
_WORTH_IT = 2_000


def read_in_parallel(examples: Sequence[Example], jobs: int) -> Iterator[Read]:
    """Yield what `read_features` does, read by `jobs` processes (0: one a core); few examples are read right here."""
    jobs = jobs or len(os.sched_getaffinity(0))
    if jobs == 1 or len(examples) < _WORTH_IT:
        yield from read_features(examples)
        return
    # Not forked: this process may have threads, and its tables are none of the readers' business.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        pending: deque[Future[list[Read]]] = deque()
        for begin in range(0, len(examples), _BATCH):
            pending.append(pool.submit(_read_batch, examples[begin : begin + _BATCH]))
            if len(pending) > jobs * _AHEAD:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _read_batch(examples: Sequence[Example]) -> list[Read]:
    return list(read_features(examples))
