"""Small generated mail for the classifier's tests: two classes with words of their own, and noise."""

from __future__ import annotations

import random
from pathlib import Path

SPAM_WORDS = ("pills", "casino", "winner", "cheap", "viagra", "prize", "click", "credit", "offer", "free")
HAM_WORDS = ("meeting", "patch", "compile", "agenda", "kernel", "review", "thanks", "tomorrow", "report", "lunch")
NOISE = (
    "the",
    "and",
    "with",
    "from",
    "this",
    "that",
    "your",
    "have",
    "will",
    "about",
    "time",
    "which",
    "there",
    "other",
)


def make_mail(number: int, is_spam: bool, seed: int = 1) -> bytes:
    """Return message `number` of a class; the same arguments give the same bytes."""
    source = random.Random(f"{seed} {number} {is_spam}")
    own = SPAM_WORDS if is_spam else HAM_WORDS
    words = [source.choice(own if source.random() < 0.3 else NOISE) for _ in range(60)]
    sender = f"user{source.randrange(40)}@{'bulk' if is_spam else 'work'}{source.randrange(8)}.example"
    hour, minute = divmod(number // 2, 60)
    day, hour = divmod(hour, 24)
    return (
        f"Received: from mx.example by home.example; "
        f"{day % 28 + 1} Jan 2024 {hour:02}:{minute:02}:{number % 2:02} +0000\n"
        f"From: <{sender}>\nTo: <me@home.example>\nSubject: {' '.join(words[:4])}\n"
        f"Message-ID: <{source.randrange(10**9)}@{sender.partition('@')[2]}>\n\n{' '.join(words)}\n"
    ).encode()


def write_corpus(folder: Path, count: int, seed: int = 1) -> Path:
    """Write `count` messages, half of them spam, and their index in delivery order; return the index."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        is_spam = number % 2 == 0
        name = f"{number:05d}"
        (folder / name).write_bytes(make_mail(number, is_spam, seed))
        lines.append(f"{'spam' if is_spam else 'ham'} {name}\n")
    (folder / "index").write_text("".join(lines))
    return folder / "index"
