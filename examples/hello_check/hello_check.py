"""An example check: fires HELLO when the subject begins with a greeting."""

from collections.abc import Sequence

from filterproxy.core.check import Check, CheckConfig
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction


class HelloConfig(CheckConfig):
    greetings: tuple[str, ...] = ("hello", "ciao", "hallo", "bonjour")


class HelloCheck(Check[HelloConfig]):
    name = "hello"
    config_type = HelloConfig
    symbols = (Symbol("HELLO", -0.5, "The subject begins with a greeting"),)

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        subject = transaction.require_message().subject.lower()
        greeting = next((word for word in self.config.greetings if subject.startswith(word)), None)
        return [SymbolResult("HELLO", options=(greeting,))] if greeting else []
