"""Option negotiation: protocol version, actions (what a filter may do) and steps (what the MTA leaves out).

The rule: never answer with a version, an action or a step that was not offered; the MTA takes that as fatal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from filterproxy.core.errors import RemoteProtocolError

NEWEST_VERSION = 6
_SYMBOL_LISTS_SINCE = 6
OLDEST_VERSION = 2


class Actions(IntFlag):
    """What a filter may ask for at the end of a message (SMFIF_*)."""

    ADD_HEADERS = 0x001
    CHANGE_BODY = 0x002
    ADD_RCPT = 0x004
    DELETE_RCPT = 0x008
    CHANGE_HEADERS = 0x010
    QUARANTINE = 0x020
    CHANGE_FROM = 0x040
    ADD_RCPT_PARAMETERS = 0x080
    SET_SYMBOL_LIST = 0x100


class Steps(IntFlag):
    """Events the MTA need not send, replies it need not wait for (NR_*), and its abilities (SMFIP_*)."""

    NO_CONNECT = 0x000001
    NO_HELO = 0x000002
    NO_MAIL = 0x000004
    NO_RCPT = 0x000008
    NO_BODY = 0x000010
    NO_HEADERS = 0x000020
    NO_EOH = 0x000040
    NR_HEADER = 0x000080
    NO_UNKNOWN = 0x000100
    NO_DATA = 0x000200
    SKIP = 0x000400
    RCPT_REJECTED = 0x000800
    NR_CONNECT = 0x001000
    NR_HELO = 0x002000
    NR_MAIL = 0x004000
    NR_RCPT = 0x008000
    NR_DATA = 0x010000
    NR_UNKNOWN = 0x020000
    NR_EOH = 0x040000
    NR_BODY = 0x080000
    HEADER_LEADING_SPACE = 0x100000


class MacroStage(IntEnum):
    """Where a list of wanted macros applies (SMFIM_*)."""

    CONNECT = 0
    HELO = 1
    MAIL = 2
    RCPT = 3
    DATA = 4
    END_OF_MESSAGE = 5
    END_OF_HEADERS = 6


ALL_ACTIONS = Actions(0x1FF)
# What exists in each version; anything beyond it in an offer is not ours to use. NR_HEADER is older than the other
# NR_* bits: MTAs offer it as an extension of any version.
_STEPS_OF = {
    2: Steps(0x0000FF),
    3: Steps(0x0001FF),
    4: Steps(0x0003FF),
    6: Steps(0x1FFFFF),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What one side offers, or what both agreed on; `macros` are names wanted by stage (only in a filter's answer)."""

    version: int
    actions: Actions
    steps: Steps
    macros: Mapping[MacroStage, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a filter needs to work at all (`required`) and what it uses when it is offered.

    `macros` are the names wanted at each stage instead of the MTA's own lists, where it lets a filter choose.
    """

    required: Actions
    optional: Actions
    steps: Steps
    macros: Mapping[MacroStage, str] = field(default_factory=dict)


def negotiate(offer: Options, wishes: Wishes) -> Options:
    """Return the answer to an MTA's offer; raise RemoteProtocolError when it cannot be served.

    Version 5 never existed on the wire and MTAs refuse it, so an offer of 5 is answered with 4.
    """
    if offer.version < OLDEST_VERSION:
        raise RemoteProtocolError(f"milter protocol version {offer.version} is older than {OLDEST_VERSION}")
    version = min(offer.version, NEWEST_VERSION)
    version = 4 if version == 5 else version
    missing = wishes.required & ~offer.actions
    if missing:
        names = ", ".join(action.name or hex(action) for action in missing)
        raise RemoteProtocolError(f"the MTA does not offer {names}")
    actions = (wishes.required | wishes.optional) & offer.actions & ALL_ACTIONS
    macros: Mapping[MacroStage, str] = {}
    if wishes.macros and Actions.SET_SYMBOL_LIST & offer.actions and version >= _SYMBOL_LISTS_SINCE:
        actions |= Actions.SET_SYMBOL_LIST
        macros = wishes.macros
    return Options(version, actions, wishes.steps & offer.steps & _STEPS_OF[version], macros)
