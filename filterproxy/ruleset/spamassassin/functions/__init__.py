"""SpamAssassin's eval functions that can be answered here, by name.

The rule: a function answers as SpamAssassin's does without network; one that cannot is not in the table.
"""

from filterproxy.ruleset.spamassassin.functions import headers, html, images, mime, relay, words
from filterproxy.ruleset.spamassassin.functions.function import Call, Function

__all__ = ["FUNCTIONS", "Call", "Function"]

FUNCTIONS: dict[str, Function] = {
    **headers.FUNCTIONS, **relay.FUNCTIONS, **html.FUNCTIONS, **mime.FUNCTIONS, **images.FUNCTIONS, **words.FUNCTIONS,
}  # fmt: skip
