"""GTUBE, the Generic Test for Unsolicited Bulk Email: a message that holds its 68 characters is spam by agreement.

It proves that the filter sees the mail at all. The rule: the text is found wherever a reader could see it: in a text
however it is encoded, and in the body as received.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from filterproxy.core.action import Action
from filterproxy.core.check import Check, CheckConfig
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.message import Message, Part

# In two pieces, so that this file is not itself a test message.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

_MAX_ENCODED = 1024 * 1024  # of a part that is no text: nobody hides a test in more


class GtubeCheck(Check[CheckConfig]):
    """Fires for the GTUBE string and asks for a reject, unless the configuration forces something else."""

    name = "gtube"
    immediate = True
    symbols = (Symbol("GTUBE", 1000.0, "The message holds the GTUBE test string"),)

    def forced_actions(self) -> Mapping[str, Action]:
        """Return reject: a test must not depend on thresholds."""
        return {"GTUBE": Action.REJECT}

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return GTUBE when the string is there."""
        return [SymbolResult("GTUBE")] if holds_gtube(transaction.require_message()) else []


def holds_gtube(message: Message) -> bool:
    """Tell whether the body holds the string: as received, in a decoded text, or in another encoded part."""
    wanted = GTUBE.encode()
    if wanted in message.body or GTUBE in message.text:
        return True
    return any(wanted in part.payload for part in message.parts if _is_other_encoded(part))


def _is_other_encoded(part: Part) -> bool:
    return (
        not part.is_container
        and not part.is_text
        and part.encoding in ("base64", "quoted-printable")
        and len(part.raw) <= _MAX_ENCODED
    )
