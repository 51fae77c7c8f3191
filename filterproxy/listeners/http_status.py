"""What rspamd's controller tells: statistics, symbols, actions, history.

The rule: everything here is read from what the service counts and keeps anyway; only /statreset changes something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from filterproxy import __version__
from filterproxy.core.action import Action
from filterproxy.core.errors import FilterproxyError
from filterproxy.core.symbol import ScoredSymbol
from filterproxy.listeners.http_access import Right, password_of
from filterproxy.listeners.http_scan import HttpShared, answer
from filterproxy.observability.metrics import Totals
from filterproxy.pipeline.symbol_names import declared, possible_names
from filterproxy.protocols import rspamd_http
from filterproxy.services.store.history import HistoryRow

_HISTORY_ROWS = 200
_MOST_HISTORY_ROWS = 1000
_MARKED = (Action.ADD_HEADER, Action.REWRITE_SUBJECT, Action.QUARANTINE, Action.REJECT, Action.DISCARD)


class StatusRoutes:
    """/auth, /stat, /statreset, /symbols, /counters, /actions, /history and /errors."""

    def __init__(self, shared: HttpShared) -> None:
        self._shared = shared
        self._started = shared.context.clock.monotonic()

    async def auth(self, request: Request) -> Response:
        """Tell that the password is right, and how long the service runs."""
        await self._shared.admit(request, Right.READ)
        totals = await self._totals()
        actions = {Action(name).key: int(count) for name, count in totals.actions.items()}
        scanned = {"scanned": sum(actions.values()), "learned": sum(self._shared.pipelines().learned()), **actions}
        return answer({"auth": "ok", "version": __version__, "uptime": self._uptime(), **scanned})

    async def stat(self, request: Request) -> Response:
        """Return statistics of all workers."""
        facts = await self._shared.admit(request, Right.READ)
        may_write = self._shared.access.may_write(request, password_of(request, facts.password))
        return answer(self._stat(await self._totals(), read_only=not may_write))

    async def reset(self, request: Request) -> Response:
        """Return statistics and count anew from here on."""
        await self._shared.admit(request, Right.WRITE)
        totals = await self._totals()
        await asyncio.to_thread(self._shared.context.metrics.reset_totals)
        return answer(self._stat(totals, read_only=False))

    async def symbols(self, request: Request) -> Response:
        """Return every declared symbol, by group."""
        await self._shared.admit(request, Right.READ)
        groups: dict[str, list[dict[str, Any]]] = {}
        known = declared(self._shared.pipelines().checks.symbols, self._shared.config.compat)
        for entry in self._counters(await self._totals()):
            symbol, _ = known[entry["symbol"]]
            rule = {**entry, "description": symbol.description}
            groups.setdefault(symbol.group or "ungrouped", []).append(rule)
        return answer([{"group": group, "rules": rules} for group, rules in sorted(groups.items())])

    async def counters(self, request: Request) -> Response:
        """Return every declared symbol with how often it fired."""
        await self._shared.admit(request, Right.READ)
        return answer(self._counters(await self._totals()))

    async def actions(self, request: Request) -> Response:
        """Return the thresholds."""
        await self._shared.admit(request, Right.READ)
        return answer(rspamd_http.thresholds_list(self._shared.pipelines().policy.thresholds))

    async def errors(self, request: Request) -> Response:
        """Return no errors: they are in the log."""
        await self._shared.admit(request, Right.READ)
        return answer([])

    async def history(self, request: Request) -> Response:
        """Return the newest rows of the history."""
        await self._shared.admit(request, Right.READ)
        store = self._shared.context.history
        asked = request.query_params.get("to", "")
        limit = min(int(asked) + 1, _MOST_HISTORY_ROWS) if asked.isdecimal() and len(asked) < 10 else _HISTORY_ROWS
        try:
            rows = await store.history(limit=limit) if store is not None else []
        except FilterproxyError as error:
            self._shared.context.log.warning("http", f"the history cannot be read: {error.reason}")
            return answer({"error": "the history cannot be read", "error_domain": "history"}, 503)
        required = rspamd_http.required_score(self._shared.pipelines().policy.thresholds)
        return answer({"version": 2, "rows": [_row(row, required) for row in rows]})

    async def _totals(self) -> Totals:
        # In a thread: it reads the workers' files.
        return await asyncio.to_thread(self._shared.context.metrics.totals)

    def _uptime(self) -> int:
        return int(self._shared.context.clock.monotonic() - self._started)

    def _stat(self, totals: Totals, *, read_only: bool) -> dict[str, Any]:
        actions = {name: int(count) for name, count in totals.actions.items()}
        scanned = sum(actions.values())
        spam = sum(actions.get(action.value, 0) for action in _MARKED)
        learned_spam, learned_ham = self._shared.pipelines().learned()
        unused = ("pools_allocated", "pools_freed", "bytes_allocated", "chunks_allocated", "shared_chunks_allocated")
        return {
            "version": __version__,
            "config_id": "",
            "uptime": self._uptime(),
            "read_only": read_only,
            "scanned": scanned,
            "learned": learned_spam + learned_ham,
            "actions": {action.value: actions.get(action.value, 0) for action in Action},
            "scan_times": [totals.seconds / scanned] if scanned else [],
            "spam_count": spam,
            "ham_count": scanned - spam,
            "connections": totals.open,
            "control_connections": 0,
            **dict.fromkeys((*unused, "chunks_freed", "chunks_oversized", "fragmented"), 0),
            "total_learns": learned_spam + learned_ham,
            "statfiles": [_statfile("BAYES_SPAM", learned_spam), _statfile("BAYES_HAM", learned_ham)],
            "fuzzy_hashes": {},
        }

    def _counters(self, totals: Totals) -> list[dict[str, Any]]:
        pipeline, seconds = self._shared.pipelines(), max(1, self._uptime())
        compat = self._shared.config.compat
        known = declared(pipeline.checks.symbols, compat)
        hits: dict[str, float] = dict.fromkeys(known, 0.0)
        for ours in pipeline.checks.symbols:
            for name in possible_names(ours, compat, always=True):
                hits[name] += totals.symbols.get(ours, 0.0)
        return [
            {
                "symbol": name,
                "weight": rspamd_http.number(pipeline.policy.score_of(names[0])),
                "frequency": rspamd_http.number(hits[name] / seconds),
                "frequency_stddev": 0.0,
                "hits": int(hits[name]),
                "time": 0.0,
            }
            for name, (_, names) in sorted(known.items())
        ]


def _statfile(symbol: str, learned: int) -> dict[str, Any]:
    unused = dict.fromkeys(("used", "total", "size", "languages", "users"), 0)
    return {"revision": learned, **unused, "symbol": symbol, "type": "filterproxy"}


def _row(row: HistoryRow, required: float) -> dict[str, Any]:
    return {
        "sender_smtp": row.mail_from,
        "sender_mime": row.header_from,
        "rcpt_smtp": list(row.rcpt_to),
        "rcpt_mime": [],
        "ip": row.client or "unknown",
        "user": row.user or "unknown",
        "subject": row.subject,
        "size": row.size,
        "unix_time": row.time,
        "action": row.action,
        "score": rspamd_http.number(row.score),
        "required_score": required,
        "symbols": _symbols(row.symbols),
        "message-id": row.message_id.strip("<>") or "undef",
        "time_real": rspamd_http.number(row.seconds),
        "is_skipped": False,
    }


def _symbols(symbols: Iterable[ScoredSymbol]) -> dict[str, Any]:
    return {
        symbol.name: {
            "name": symbol.name,
            "score": rspamd_http.number(symbol.score),
            "metric_score": rspamd_http.number(symbol.score),
            "description": symbol.description,
            "options": list(symbol.options),
        }
        for symbol in symbols
    }
