"""DKIM: every signature of the message, each with its own result for Authentication-Results and DMARC.

The one rule: a signature that does not cover the whole body, or whose key may not be used, is never a pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from filterproxy.core.authentication import MethodResult
from filterproxy.core.check import Check, CheckConfig, Stage
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.services.signatures import SignatureResult, verify_dkim

_NONE = Symbol("DKIM_NONE", 0.0, "The message has no DKIM signature")
_LIMIT = Symbol("DKIM_LIMIT", 0.0, "The message has more DKIM signatures than are verified")
_SYMBOLS = {
    "pass": Symbol("DKIM_PASS", -0.2, "A DKIM signature verifies"),
    "fail": Symbol("DKIM_FAIL", 1.0, "A DKIM signature does not verify: the message was changed, or it expired"),
    "policy": Symbol("DKIM_POLICY", 0.5, "A DKIM signature leaves a part of the body unsigned (l=)"),
    "neutral": Symbol("DKIM_NEUTRAL", 0.0, "A DKIM signature could not be judged"),
    "temperror": Symbol("DKIM_TEMPERROR", 0.0, "A DKIM key could not be fetched: DNS did not answer"),
    "permerror": Symbol("DKIM_PERMERROR", 0.2, "A DKIM signature or its key is broken or not acceptable"),
}


class DkimConfig(CheckConfig):
    """Keys of `checks.dkim`."""

    max_signatures: int = Field(10, ge=1, le=50, description="Signatures verified, from the top; others are ignored.")


class DkimCheck(Check[DkimConfig]):
    """Verifies with dkimpy and OpenSSL; keys come through our resolver."""

    name = "dkim"
    immediate = True
    symbols = (*_SYMBOLS.values(), _NONE, _LIMIT)
    config_type = DkimConfig
    stage = Stage.MESSAGE

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return one symbol for each signature, DKIM_NONE without any; DKIM_LIMIT when some were left out."""
        if self.context.site.offline:
            return []
        message = transaction.require_message()
        found = await verify_dkim(
            message,
            self.context.resolver,
            self.context.scan_pool,
            self.context.clock.now(),
            limit=self.config.max_signatures,
        )
        if not found:
            return [SymbolResult(_NONE.name, method=MethodResult("dkim", "none"))]
        passed = any(signature.result == "pass" for signature in found)
        results = [_result(signature, passed) for signature in found]
        left_out = message.headers.count("dkim-signature") - len(found)
        return [*results, SymbolResult(_LIMIT.name, options=(f"{left_out} more",))] if left_out > 0 else results


def _result(signature: SignatureResult, passed: bool) -> SymbolResult:
    """Return the firing; beside a signature that passes the others are no evidence against the message."""
    properties = {
        "header.d": signature.domain,
        "header.i": signature.identity,
        "header.s": signature.selector,
        "header.a": signature.algorithm,
        "header.b": signature.signature_start,
    }
    present = tuple((name, value) for name, value in properties.items() if value)
    weight = 1.0 if signature.result == "pass" or not passed else 0.0
    options = tuple(text for text in (signature.domain, signature.reason) if text)
    method = MethodResult("dkim", signature.result, present, signature.reason)
    return SymbolResult(_SYMBOLS[signature.result].name, weight, options, method)
