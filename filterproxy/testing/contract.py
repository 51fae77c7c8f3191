"""What every check owes the pipeline, as one assertion."""

from __future__ import annotations

import asyncio
from typing import Any

from filterproxy.core.check import Check, CheckConfig
from filterproxy.core.errors import CheckError
from filterproxy.core.symbol import SYMBOL_NAME, SymbolResult
from filterproxy.testing.transactions import make_transaction

_AWKWARD_MESSAGES = (
    b"",
    b"\r\n",
    b"Subject: plain\r\nFrom: a@example.org\r\n\r\nhello\r\n",
    b"no header at all",
    b"Subject: =?utf-8?q?=C3=A8?=\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n\x00\xff\r\n",
)


def assert_check_contract(check: Check[Any], *, seconds: float = 5.0) -> None:
    """Assert what the pipeline relies on: names, configuration type, declared symbols, and sane answers.

    Starts and closes the check in an event loop of its own and shows it awkward mail: every answer must come
    within `seconds`, be a sequence of SymbolResult, and name declared symbols only; CheckError is allowed.
    """
    assert check.name and check.name == check.name.lower(), "name is lower case and the same as the entry point"
    assert issubclass(type(check).config_type, CheckConfig), "config_type is a CheckConfig"
    declared = {symbol.name for symbol in check.declared_symbols()}
    assert all(SYMBOL_NAME.match(name) for name in declared), "symbols are UPPER_CASE"
    assert all(symbol.description for symbol in check.declared_symbols()), "every symbol has a description"
    asyncio.run(_inspect_awkward_mail(check, declared, seconds))


async def _inspect_awkward_mail(check: Check[Any], declared: set[str], seconds: float) -> None:
    await check.start()
    try:
        for raw in _AWKWARD_MESSAGES:
            transaction = make_transaction(raw, mail_from="", rcpt_to=["b@example.com"])
            try:
                results = await asyncio.wait_for(check.inspect(transaction), seconds)
            except CheckError:
                continue
            assert all(isinstance(result, SymbolResult) for result in results), "inspect() returns SymbolResults"
            fired = {result.name for result in results}
            assert fired <= declared, f"undeclared symbols: {sorted(fired - declared)}"
    finally:
        await check.close()
