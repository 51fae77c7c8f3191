"""The public kit for authors of checks: transactions, a resolver and a clock that need no network and no waiting."""

from filterproxy.testing.clock import FakeClock
from filterproxy.testing.context import FakeScanPool, MemoryStore, RecordingLog, make_context, make_site
from filterproxy.testing.contract import assert_check_contract
from filterproxy.testing.resolver import FakeResolver
from filterproxy.testing.transactions import make_transaction

__all__ = [
    "FakeClock",
    "FakeResolver",
    "FakeScanPool",
    "MemoryStore",
    "RecordingLog",
    "assert_check_contract",
    "make_context",
    "make_site",
    "make_transaction",
]
