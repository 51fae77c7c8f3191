"""Regular expressions like those that people write for mail, and texts to search: the same in each run.

The rule: words and phrases come from real messages, so that a good many of the expressions half match, as they do in
an ordinary set of rules; the shapes are those of the shipped rules and of SpamAssassin's.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from filterproxy.message import Message
from filterproxy.ruleset import loader
from filterproxy.ruleset.limited import LimitedExpression
from filterproxy.services.corpus import read_messages

_ROOT = Path(__file__).resolve().parent.parent.parent
_MESSAGES = _ROOT / "tests" / "data" / "messages"
_HAM = ("spamassassin-nice",)
_SPAM = ("spam-2026", "spam-2023-2025")
_WORD = re.compile(r"[a-zA-Z]{2,14}")
_MOST = 0.2
_COMMON = 300
_LOOK_ALIKES = {"a": "[a4@]", "e": "[e3]", "i": "[il1]", "o": "[o0]", "s": "[s5$]"}


def texts(size: int = 16 * 1024, count: int = 10, *, spam: bool = False) -> list[str]:
    """Return the words of real messages, ham or spam, in texts of that many characters."""
    every = _texts(_SPAM if spam else _HAM, size)
    return (every[1::2] if spam else every)[:count]  # the other spam is what the expressions were written for


@cache
def _texts(folders: tuple[str, ...], size: int) -> list[str]:
    """Return all texts of that size that the messages of some folders make."""
    words = [
        word
        for item in read_messages([_MESSAGES / folder for folder in folders])
        if item.raw
        for word in Message(item.raw).text.split()
    ]
    whole = " ".join(words)
    return [whole[at : at + size] for at in range(0, len(whole) - size + 1, size)]


def generated(count: int, seed: int = 4) -> list[str]:
    """Return that many different expressions of words and phrases of the texts."""
    chance = random.Random(seed)
    sources = _texts(_SPAM, 16 * 1024)[::2][:10]
    words = [word.lower() for text in sources for word in _WORD.findall(text)]
    # People do not build a rule on words that are in every message.
    common = {word for word, _ in Counter(words).most_common(_COMMON)}
    telling = [word for word in words if word not in common and len(word) > 3]
    found: dict[str, None] = {}
    while len(found) < count:
        at = chance.randrange(len(words) - 6)
        expression = _shape(chance, words[at : at + 6], telling)
        # What is in every other message is no rule that anybody would write.
        often = sum(bool(re.search(expression, text, re.IGNORECASE)) for text in sources)
        if len(expression) >= 8 and often <= len(sources) * _MOST:
            found[expression] = None
    return list(found)


def shipped() -> list[str]:
    """Return the expressions of the shipped rules for subjects and bodies."""
    ruleset = loader.load(loader.find_files(["rules/*.yml"], _ROOT), _ROOT)
    return [
        pattern.linear
        for pattern in ruleset.patterns
        if pattern.field.key.startswith(("body", "subject")) and not isinstance(pattern.regex, LimitedExpression)
    ]


def _shape(chance: random.Random, phrase: Sequence[str], words: Sequence[str]) -> str:
    a, b, c = phrase[0], phrase[1], phrase[2]
    x, y, z = chance.choices(words, k=3)
    return chance.choice(
        [
            rf"\b{a}\s+{b}\s+{c}\b",
            rf"\b(?:{a}|{x}|{y})\s+{b}s?\b",
            rf"\b{x}\b.{{0,40}}\b{y}\b",
            rf"(?:{a}|{x}) (?:{b}|{y}) (?:the |your |an? )?(?:{c}|{z})",
            rf"{_disguised(chance, max(phrase, key=len))}",
            rf"[$€£]\s?\d[\d.,]*\s*(?:{x}|{y}|million)",
            rf"\b{a}[\s,.-]+{b}[^.]{{1,30}}{x}",
            rf"\b{x}ing\s+(?:for|with|to)\s+{y}\b",
            rf"^{x}\b.*\b{y}$",
            rf"{a} {b} {x}",
            rf"\b(?:{x}|{y}|{z}|{a})\s+(?:now|today|here|account|money)\b",
            rf"\d{{1,3}}\s?%\s+(?:{x}|off|free|{y})",
        ]
    )


def _disguised(chance: random.Random, word: str) -> str:
    """Return a word in which one or two letters may be look-alikes."""
    letters = [index for index, letter in enumerate(word) if letter in _LOOK_ALIKES]
    chosen = set(chance.sample(letters, min(2, len(letters))))
    return r"\b" + "".join(_LOOK_ALIKES[c] if index in chosen else c for index, c in enumerate(word)) + r"\b"
