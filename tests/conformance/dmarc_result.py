"""The dmarc check's result for a message whose SPF and DKIM results are given."""

from __future__ import annotations

from collections.abc import Sequence

from filterproxy.checks.dmarc import DmarcCheck, DmarcConfig
from filterproxy.core.authentication import MethodResult
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.core.ports import Resolver
from filterproxy.core.symbol import SymbolResult
from filterproxy.testing import make_context, make_transaction


async def result_of(message: bytes, spf: Sequence[str], dkim: Sequence[str], resolver: Resolver) -> MethodResult:
    """Return what DMARC says when these domains passed SPF and DKIM."""
    transaction = make_transaction(message, client="192.0.2.1", mail_from="bounce@unrelated.example")
    passed = {
        "spf": [MethodResult("spf", "pass", (("smtp.mailfrom", f"x@{domain}"),)) for domain in spf],
        "dkim": [MethodResult("dkim", "pass", (("header.d", domain),)) for domain in dkim],
    }
    for check, methods in passed.items():
        results = tuple(SymbolResult("X", method=method) for method in methods)
        transaction.outcomes[check] = CheckOutcome(check, Status.OK, results)
    (found,) = await DmarcCheck(DmarcConfig(), make_context(resolver=resolver)).inspect(transaction)
    assert found.method is not None
    return found.method
