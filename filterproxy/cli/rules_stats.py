"""`filterproxy rules stats`: how often each symbol fires in spam and ham, how sure that is, and what says the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterproxy.cli.labelled import AsJson, Config, Dns, History, Index, Jobs

if TYPE_CHECKING:
    from filterproxy.cli.labelled import Labelled
    from filterproxy.ruleset.rows import Known
    from filterproxy.ruleset.statistics import Overlap, Rate, Statistics

_PAIRS = 30


def stats(
    index: Index,
    config: Config = None,
    history: History = False,
    dns: Dns = False,
    jobs: Jobs = 0,
    overlap: Annotated[
        float, typer.Option(min=0, max=1, help="Tell pairs that share at least this part of their messages.")
    ] = 0.5,
    as_json: AsJson = False,
) -> None:
    """Show hit frequencies of all symbols on labelled mail: spam %, ham %, S/O with its 95 % bounds, overlap.

    Exit status 0, also when single messages could not be used; 2: the index or the configuration is wrong.
    """
    from filterproxy.cli.faults import explain_faults
    from filterproxy.cli.labelled import read_labelled
    from filterproxy.cli.replay import Way
    from filterproxy.ruleset.statistics import measure

    with explain_faults():
        mail = read_labelled(index, Way(config, not dns, jobs), history=history)
        measured = measure(mail.rows, mail.known, min_jaccard=overlap)
    if as_json:
        sys.stdout.write(json.dumps(_document(mail, measured)) + "\n")
    else:
        sys.stdout.writelines(line + "\n" for line in _lines(mail, measured))


def _document(mail: Labelled, measured: Statistics) -> dict[str, Any]:
    return {
        "messages": {"spam": measured.spam, "ham": measured.ham, "left_out": mail.left_out},
        "symbols": [_symbol(name, rate, mail.known.get(name)) for name, rate in _ordered(measured)],
        "overlaps": [_pair(overlap) for overlap in measured.overlaps],
        "never_fired": [name for name in measured.silent if _is_rule(mail.known[name])],
    }


def _symbol(name: str, rate: Rate, known: Known | None) -> dict[str, Any]:
    return {
        "name": name,
        "check": known.check if known else "",
        "score": known.score if known else 0.0,
        "hits": {"spam": rate.spam_hits, "ham": rate.ham_hits},
        "percent": {"spam": round(rate.spam_percent, 4), "ham": round(rate.ham_percent, 4)},
        "s_o": None if rate.s_o is None else round(rate.s_o, 4),
        "s_o_95": [round(bound, 4) for bound in rate.s_o_interval] if rate.hits else None,
        "side": rate.side,
    }


def _pair(overlap: Overlap) -> dict[str, Any]:
    return {
        "first": overlap.first,
        "second": overlap.second,
        "both": overlap.both,
        "jaccard": round(overlap.jaccard, 4),
        "first_in_second": round(overlap.first_in_second, 4),
        "second_in_first": round(overlap.second_in_first, 4),
    }


def _ordered(measured: Statistics) -> list[tuple[str, Rate]]:
    """Return the symbols that fired, the surest signs of spam first, those of ham last."""
    fired = [(name, rate) for name, rate in measured.rates.items() if rate.hits]
    middle = {name: sum(rate.s_o_interval) for name, rate in fired}
    return sorted(fired, key=lambda item: (-middle[item[0]], -item[1].hits, item[0]))


def _lines(mail: Labelled, measured: Statistics) -> Iterator[str]:
    yield f"{measured.spam + measured.ham} messages ({measured.spam} spam, {measured.ham} ham)"
    yield ""
    yield f"{'spam %':>8} {'ham %':>8} {'spam':>6} {'ham':>6} {'S/O':>6} {'95 % bounds':>13} {'score':>6}  symbol"
    for name, rate in _ordered(measured):
        known = mail.known.get(name)
        low, high = rate.s_o_interval
        yield (
            f"{rate.spam_percent:8.2f} {rate.ham_percent:8.2f} {rate.spam_hits:6} {rate.ham_hits:6} {rate.s_o:6.3f}"
            f"  {low:.3f}-{high:.3f} {known.score if known else 0:6.4g}  {name}{_remark(rate, known)}"
        )
    yield from _overlap_lines(measured)
    silent = [name for name in measured.silent if _is_rule(mail.known[name])]
    if silent:
        yield ""
        yield f"rules that never fired ({len(silent)}):"
        yield from (f"  {name}" for name in silent)


def _remark(rate: Rate, known: Known | None) -> str:
    """Return a remark on a score that says the contrary of the mail."""
    if known is None or not known.score or rate.side == "unclear":
        return ""
    wrong = (known.score > 0) is (rate.side == "ham")
    return f"  (fires in {rate.side} more often, against its score)" if wrong else ""


def _overlap_lines(measured: Statistics) -> Iterator[str]:
    if not measured.overlaps:
        return
    yield ""
    yield "symbols that fire together:"
    for item in measured.overlaps[:_PAIRS]:
        yield (
            f"  {100 * item.jaccard:5.1f} %  {item.first} ({100 * item.first_in_second:.0f} % with the other), "
            f"{item.second} ({100 * item.second_in_first:.0f} %): {item.both} messages"
        )
    if len(measured.overlaps) > _PAIRS:
        yield f"  and {len(measured.overlaps) - _PAIRS} more pairs (--json has all)"


def _is_rule(known: Known) -> bool:
    return known.check == "rules" and bool(known.score or known.forces)
