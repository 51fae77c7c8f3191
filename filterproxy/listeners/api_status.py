"""The JSON API's operations on what the filter knows: history, symbols, rules, models, health.

The rule: over the network only models that are there already can be chosen, by name; no path is ever taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from filterproxy.core.ports import Models
from filterproxy.listeners import api_models as models
from filterproxy.listeners.api_messages import finite, hits
from filterproxy.listeners.api_operation import OPEN, ApiError, Asked, Operation
from filterproxy.listeners.http_scan import HttpShared
from filterproxy.protocols.rspamd_http import number
from filterproxy.services.store.history import HistoryReader, HistoryRow, to_json

_LARGEST_ID = 2**62
_NO_MODELS = {409: "No model is in use here: checks.bayes is not enabled, or there is nothing to go back to."}


class StatusOperations:
    """Everything that needs no message."""

    def __init__(self, shared: HttpShared, serving: Callable[[], bool]) -> None:
        self._shared, self._serving = shared, serving

    def table(self) -> list[Operation]:
        """Return the operations."""
        missing = {404: "There is no such row."}
        return [
            Operation(
                *("GET", "/history", "list_history", "List what happened to messages, newest first", "read"),
                *(self.history, {200: models.HistoryPage}), query=models.HistoryQuery,
            ),
            Operation(
                *("GET", "/history/{id:int}", "get_history", "Show what happened to one message", "read"),
                *(self.history_row, {200: models.HistoryEntry}), problems=missing,
            ),
            Operation(
                *("GET", "/symbols", "list_symbols", "List the symbols that may fire", "read"),
                *(self.symbols, {200: models.SymbolList}),
            ),
            Operation(
                *("GET", "/rules", "list_rules", "List the rules, lists and composites of the rules files", "read"),
                *(self.rules, {200: models.RuleList}),
            ),
            Operation(
                *("GET", "/models", "list_models", "List the classifier's models", "read"),
                *(self.models, {200: models.ModelList}), problems=_NO_MODELS,
            ),
            Operation(
                *("POST", "/models/use", "use_model", "Use another of the models", "write"),
                *(self.use_model, {200: models.Chosen}), bodies=(models.ModelChoice,),
                problems={**_NO_MODELS, 404: "There is no such model."},
            ),
            Operation(
                *("POST", "/models/rollback", "rollback_model", "Go back to the model in use before", "write"),
                *(self.rollback_model, {200: models.Chosen}), problems=_NO_MODELS,
            ),
            Operation(
                *("GET", "/health", "health", "Tell whether this worker takes mail", OPEN),
                *(self.health, {200: models.Health, 503: models.Health}),
            ),
        ]  # fmt: skip

    async def history(self, asked: Asked) -> tuple[int, BaseModel]:
        """Return a page of the history."""
        query: models.HistoryQuery = asked.query
        filters: dict[str, Any] = query.model_dump(exclude={"limit", "before", "action"})
        filters["action"] = query.action.value if query.action else ""
        rows = await self._history.history_page(limit=query.limit + 1, before=query.before, **filters)
        page, more = rows[: query.limit], len(rows) > query.limit
        return 200, models.HistoryPage(rows=[_entry(*row) for row in page], next=page[-1][0] if more else None)

    async def history_row(self, asked: Asked) -> tuple[int, BaseModel]:
        """Return one row of the history."""
        number_asked = asked.path["id"]
        fits = number_asked <= _LARGEST_ID
        rows = await self._history.history_page(limit=1, row_id=number_asked) if fits else []
        if not rows:
            raise ApiError(404, "the history has no such row")
        return 200, _entry(*rows[0])

    async def symbols(self, asked: Asked) -> tuple[int, BaseModel]:
        """Return the symbols of the enabled checks, by name."""
        names = sorted(self._shared.pipelines().checks.symbols)
        return 200, models.SymbolList(symbols=[models.DeclaredSymbol(**self._symbol(name)) for name in names])

    async def rules(self, asked: Asked) -> tuple[int, BaseModel]:
        """Return what the rules files declare, in their order."""
        checks = self._shared.pipelines().checks
        declared = checks.declared.get("rules", frozenset())
        composites = {composite.name for composite in checks.composites}
        rules = [
            models.DeclaredRule(**self._symbol(name), kind="composite" if name in composites else "rule")
            for name in checks.symbols
            if name in declared or name in composites
        ]
        return 200, models.RuleList(rules=rules)

    def _symbol(self, name: str) -> dict[str, Any]:
        policy = self._shared.pipelines().policy
        symbol, action = policy.symbols[name], policy.forced_actions.get(name)
        return {
            "name": name,
            "score": number(policy.score_of(name)),
            "description": symbol.description,
            "group": symbol.group,
            "action": action.value if action else None,
        }

    async def models(self, asked: Asked) -> tuple[int, BaseModel]:
        """Return the models, and what was learned here."""
        known = await asyncio.to_thread(self._models.known)
        entries = [
            models.ModelEntry(
                name=item.name,
                in_use=item.in_use,
                spam=item.spam,
                ham=item.ham,
                created=item.created,
                problem=item.problem,
            )
            for item in known
        ]
        spam, ham = self._shared.pipelines().learned()
        return 200, models.ModelList(models=entries, learned_spam=spam, learned_ham=ham)

    async def use_model(self, asked: Asked) -> tuple[int, BaseModel]:
        """Choose a model; running workers follow within a second."""
        name = await asyncio.to_thread(self._models.use, asked.body.name)
        if name is None:
            raise ApiError(404, "there is no model of that name; GET /models lists them")
        return 200, models.Chosen(request_id=asked.request_id, name=name)

    async def rollback_model(self, asked: Asked) -> tuple[int, BaseModel]:
        """Go back to the model before."""
        name = await asyncio.to_thread(self._models.rollback)
        if name is None:
            raise ApiError(409, "the configured model is in use; there is nothing to go back to")
        return 200, models.Chosen(request_id=asked.request_id, name=name)

    async def health(self, asked: Asked) -> tuple[int, BaseModel]:
        """Tell whether this worker takes mail."""
        serving = self._serving()
        return (200 if serving else 503), models.Health(status="ok" if serving else "draining")

    @property
    def _history(self) -> HistoryReader:
        history = self._shared.context.history
        if history is None:
            raise ApiError(503, "there is no history here")
        return history

    @property
    def _models(self) -> Models:
        known = self._shared.context.models
        if known is None or not self._shared.pipelines().learns:
            raise ApiError(409, "checks.bayes is not enabled")
        return known


def _entry(row_id: int, row: HistoryRow) -> models.HistoryEntry:
    data = to_json(row) | {"symbols": hits(row.symbols), "required_score": finite(row.required_score)}
    data["score"], data["rcpt_to"] = number(row.score), list(row.rcpt_to)
    return models.HistoryEntry(id=row_id, **data)
