"""The parameters of delivery status notifications (RFC 3461 section 4): are they well formed?

The rule: they are checked for form and carried on as they came, never interpreted here.
"""

from __future__ import annotations

_NOTIFY_WORDS = {"SUCCESS", "FAILURE", "DELAY"}
_MAX_ENVID = 100
_MAX_ORCPT = 500


def is_ret(value: str) -> bool:
    """Tell whether the value is one of RET."""
    return value.upper() in {"FULL", "HDRS"}


def is_envid(value: str) -> bool:
    """Tell whether the value is an envelope id: xtext of at most 100 characters."""
    return 0 < len(value) <= 3 * _MAX_ENVID


def is_notify(value: str) -> bool:
    """Tell whether the value is NEVER or a list of SUCCESS, FAILURE, DELAY without repetition."""
    words = value.upper().split(",")
    return words == ["NEVER"] or (set(words) <= _NOTIFY_WORDS and len(set(words)) == len(words))


def is_orcpt(value: str) -> bool:
    """Tell whether the value is `address-type;address`."""
    kind, separator, address = value.partition(";")
    return bool(kind and separator and address) and len(value) <= 3 * _MAX_ORCPT
