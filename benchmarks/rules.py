"""What rules cost: expressions on 16 KB, loading, hostile texts beside other sessions, reloads under load, in one run.

    python benchmarks/rules.py [--expressions 1000] [--only speed,loading,latency,reload] [--json]

The expressions are those of the shipped rules and others made of the words of spam (benchmarks/lib/expressions.py);
texts are those of real ham and spam, and some made to be as bad as can be. Times are CPU time, the least of several
runs. `re` tries the same expressions one by one on the same text; RE2 does too, and must find what ours find. Latencies
are those of small messages in one session while another sends a large one again and again: read the ratio to an
ordinary text of the same size. Everything stays on loopback.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.lib import expressions, rules_service
from filterproxy.core.transaction import Transaction
from filterproxy.ruleset import loader
from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.ruleset import RuleSet
from filterproxy.testing import make_transaction
from tests.system.messages import message

SIZE = 16 * 1024
NOW = datetime(2026, 1, 5, tzinfo=UTC)
HOSTILE = r"""
rules:
  - {name: EVIL, score: 1, match: {raw_body: {regex: '(a+)+$'}}}
  - {name: EVIL_SPACES, score: 1, match: {raw_body: {regex: '\s+$'}}}
  - {name: EVIL_TEXT, score: 1, match: {body: {regex: '(a+)+$', normalize: false}}}
  - {name: EVIL_LOOK, score: 1, match: {body: {regex: '(?:(?=a)a+)+(?<!a)$', normalize: false}}}
"""
RULE = "rules: [{name: LOCAL_WORD, score: 20, match: {subject: {contains: %s}}}]\n"


def main() -> None:
    """Run the parts that are wanted and print their figures."""
    options = _options()
    wanted = options.only.split(",") if options.only else list(_PARTS)
    unknown = set(wanted) - set(_PARTS)
    if unknown:
        sys.exit(f"rules: no such part: {', '.join(sorted(unknown))} (there are {', '.join(_PARTS)})")
    found = {name: _PARTS[name](options) for name in wanted}
    if options.json:
        print(json.dumps(found, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--expressions", type=int, default=1000)
    parser.add_argument("--rules", type=int, default=3000, help="rules of the file that is loaded")
    parser.add_argument("--messages", type=int, default=200, help="messages whose latency is measured")
    parser.add_argument("--reloads", type=int, default=5)
    parser.add_argument("--only", help=f"parts, by comma: {','.join(_PARTS)}")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _least(function: Callable[[], object], runs: int = 25) -> float:
    """Return the least CPU milliseconds of several runs."""
    times = []
    for _ in range(runs):
        begun = time.process_time()
        function()
        times.append(time.process_time() - begun)
    return 1000 * min(times)


def _say(options: argparse.Namespace, line: str) -> None:
    if not options.json:
        print(line, flush=True)


# Speed


def _speed(options: argparse.Namespace) -> dict[str, Any]:
    chosen = _python_expressions(options.expressions)
    ruleset = _load(chosen)
    compiled = [re.compile(expression, re.IGNORECASE) for expression in chosen]
    _say(
        options,
        f"{len(chosen)} expressions on {SIZE // 1024} KB   ours ms  candidates  rules that match  re ms   times",
    )
    return {name: _compare(options, name, texts, ruleset, compiled) for name, texts in _texts(ruleset).items()}


def _python_expressions(count: int) -> list[str]:
    """Return that many expressions, of those that `re` takes too."""
    shipped = [expression.removeprefix("(?i)").removeprefix("(?i)") for expression in expressions.shipped()]
    usable = [expression for expression in dict.fromkeys(shipped) if _is_python(expression)][:count]
    return usable + expressions.generated(count - len(usable))


def _is_python(expression: str) -> bool:
    try:
        re.compile(expression)
    except re.error:
        return False
    return True


def _load(chosen: Sequence[str]) -> RuleSet:
    rules = [{"name": f"R{number}", "match": {"body": {"regex": text}}} for number, text in enumerate(chosen)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yml"
        path.write_text(json.dumps({"rules": rules}))
        return loader.load([path], Path(folder))


def _texts(ruleset: RuleSet) -> dict[str, list[str]]:
    chance = random.Random(1)
    literals = [text for pattern in ruleset.patterns for text in sorted(pattern.literals.texts)[:1]]
    return {
        "ham": expressions.texts(SIZE, 5),
        "spam": expressions.texts(SIZE, 5, spam=True),
        "every word of every rule": [" ".join(literals)[:SIZE]],
        "random letters": ["".join(chance.choices("etaoinshrdlu ", k=SIZE))],
        "a run of a": ["a" * SIZE],
    }


def _compare(
    options: argparse.Namespace, name: str, texts: Sequence[str], ruleset: RuleSet, compiled: Sequence[re.Pattern[str]]
) -> dict[str, float]:
    ours, theirs, candidates, hits = [], [], [], []
    for text in texts:
        transaction = _transaction(text)
        ruleset.match(transaction, NOW)
        ours.append(_least(lambda transaction=transaction: ruleset.match(transaction, NOW)))
        work = ruleset.begin(transaction, NOW)
        found = {hit.name for hit in ruleset.finish(work)}
        if found != _one_by_one(ruleset, work.run.facts):
            sys.exit(f"rules: other rules match {name} than when each is asked by itself")
        hits.append(len(found))
        candidates.append(len(work.run.candidates))
        theirs.append(_least(lambda text=text: [pattern.search(text) for pattern in compiled], 2))
    times = median(b / a for a, b in zip(ours, theirs, strict=True))
    figures = (median(ours), median(candidates), median(hits), median(theirs), times)
    _say(options, "  {:26} {:8.2f} {:7.0f} {:6.0f} {:7.0f} {:7.0f}".format(name, *figures))
    return {"ours_ms": median(ours), "re_ms": median(theirs), "times": times, "hits": median(hits)}


def _one_by_one(ruleset: RuleSet, facts: Facts) -> set[str]:
    """Return the rules whose expressions RE2 finds by itself, without anything that makes it fast."""
    return {
        rule.name
        for rule in ruleset.rules
        for pattern in rule.node.patterns()
        if (text := facts.only_text(pattern.field)) and pattern.regex.search(text.data)
    }


def _transaction(text: str) -> Transaction:
    transaction = make_transaction(b"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode())
    assert transaction.require_message().text
    return transaction


# Loading


def _loading(options: argparse.Namespace) -> dict[str, Any]:
    shipped = _python_expressions(options.rules)
    rules = [
        f"  - name: RULE_{number}\n    score: 1.5\n    description: Rule number {number}\n    match:\n"
        f"      {('body', 'subject')[number % 4 == 3]}: {{regex: {json.dumps(expression)}}}\n"
        for number, expression in enumerate(shipped)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yml"
        path.write_text("rules:\n" + "".join(rules))
        seconds = _least(lambda: loader.load([path], Path(folder)), 3) / 1000
    _say(options, f"loading {len(shipped)} rules: {seconds:.2f} s")
    return {"rules": len(shipped), "seconds": seconds}


# Other sessions


def _latency(options: argparse.Namespace) -> dict[str, Any]:
    chance = random.Random(2)
    words = " ".join("".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(20_000))
    ordinary = _folded(words[: 80 * 1024])
    neighbours = {
        "nobody": None,
        "an ordinary text of 80 KB": ordinary,
        "80 KB of spaces": _folded(" " * 80 * 1024),
        "a long run of a": _folded("a" * 80 * 1024),
    }
    found: dict[str, list[float]] = {name: [] for name in neighbours}
    with rules_service.running(HOSTILE, workers=1) as service:
        for _ in range(3):
            for name, text in neighbours.items():
                raw = None if text is None else message("large", body=text)
                found[name] += rules_service.latencies(service, raw, options.messages // 3)
    p99 = {name: 1000 * quantiles(times, n=100)[98] for name, times in found.items()}
    _say(options, "latency of small messages while another session sends    median ms   p99 ms   p99 to ordinary text")
    for name, times in found.items():
        ratio = p99[name] / p99["an ordinary text of 80 KB"]
        _say(options, f"  {name:54} {1000 * median(times):8.1f} {p99[name]:8.1f} {ratio:8.2f}")
    return {name: {"median_ms": 1000 * median(times), "p99_ms": p99[name]} for name, times in found.items()}


def _folded(text: str) -> bytes:
    """Return the text in lines that SMTP takes."""
    return b"".join(text[at : at + 990].encode() + b"\r\n" for at in range(0, len(text), 990))


# Reload


def _reload(options: argparse.Namespace) -> dict[str, Any]:
    done = rules_service.reload_under_load(RULE, options.reloads)
    mail = f"{done.accepted} messages accepted, {done.failed} refused, {done.lost} lost"
    _say(options, f"{len(done.seconds)} reloads under load: in use after {max(done.seconds):.2f} s at most, {mail}")
    return {"seconds": done.seconds, "accepted": done.accepted, "refused": done.failed, "lost": done.lost}


_PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "speed": _speed,
    "loading": _loading,
    "latency": _latency,
    "reload": _reload,
}

if __name__ == "__main__":
    main()
