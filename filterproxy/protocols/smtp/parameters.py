"""ESMTP parameters of MAIL and RCPT: parsed, checked, and carried to a next hop that can take them.

The rule: a parameter is accepted although our EHLO did not offer it (Postfix sends DSN parameters to a filter
whatever the filter says), and left out when the next hop's EHLO does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from filterproxy.protocols.smtp import dsn
from filterproxy.protocols.smtp.replies import Refused, bad_parameter, unknown_parameter

_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]{0,63})(?:=([^\x00-\x20\x7f]+))?\Z")
_MAX_SIZE_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: name in upper case, value None when there is none, `text` as sent."""

    name: str
    value: str | None
    text: str


Validator = Callable[[str | None], bool]


def _flag(value: str | None) -> bool:
    return value is None


def _valued(check: Callable[[str], bool]) -> Validator:
    return lambda value: value is not None and check(value)


def _is_size(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= _MAX_SIZE_DIGITS


def _is_body(value: str) -> bool:
    return value.upper() in {"7BIT", "8BITMIME"}


MAIL_PARAMETERS: Mapping[str, Validator] = {
    "SIZE": _valued(_is_size),
    "BODY": _valued(_is_body),
    "SMTPUTF8": _flag,
    "RET": _valued(dsn.is_ret),
    "ENVID": _valued(dsn.is_envid),
    "AUTH": _valued(bool),
}
RCPT_PARAMETERS: Mapping[str, Validator] = {
    "NOTIFY": _valued(dsn.is_notify),
    "ORCPT": _valued(dsn.is_orcpt),
}

_EXTENSION = {
    "SIZE": "SIZE",
    "BODY": "8BITMIME",
    "SMTPUTF8": "SMTPUTF8",
    "RET": "DSN",
    "ENVID": "DSN",
    "NOTIFY": "DSN",
    "ORCPT": "DSN",
    "AUTH": "AUTH",
}


def parse_parameters(octets: bytes, known: Mapping[str, Validator]) -> tuple[Parameter, ...]:
    """Return the parameters of a command; raise Refused for an unknown, repeated or malformed one."""
    parameters = tuple(_parameter(word, known) for word in octets.split(b" ") if word)
    names = [parameter.name for parameter in parameters]
    for name in names:
        if names.count(name) > 1:
            raise Refused(bad_parameter(name))
    return parameters


def _parameter(word: bytes, known: Mapping[str, Validator]) -> Parameter:
    match = _PARAMETER.match(word)
    if match is None:
        raise Refused(bad_parameter(_shown(word)))
    name = match[1].decode("ascii").upper()
    value = None if match[2] is None else match[2].decode("utf-8", "surrogateescape")
    validator = known.get(name)
    if validator is None:
        raise Refused(unknown_parameter(name))
    if not validator(value):
        raise Refused(bad_parameter(_shown(word)))
    return Parameter(name, value, word.decode("utf-8", "surrogateescape"))


def _shown(word: bytes) -> str:
    return word[:60].decode("ascii", "replace")


def value_of(parameters: Iterable[Parameter], name: str) -> str | None:
    """Return the value of a parameter, None when it is absent or has none."""
    return next((parameter.value for parameter in parameters if parameter.name == name), None)


def carried(parameters: Iterable[Parameter], offered: Collection[str]) -> tuple[Parameter, ...]:
    """Return the parameters that a next hop with these EHLO keywords can take."""
    return tuple(parameter for parameter in parameters if _EXTENSION[parameter.name] in offered)
