"""How accurate the classifier is beside others, on the SpamAssassin public corpus, in one run.

    python benchmarks/accuracy.py [--limit N] [--no-peers] [--jobs N] [--results FILE]

Online, in order of date, other filters' verdicts stripped: each message is scored, then learned, by every filter alike.
Peers are those that are installed: bogofilter, spamprobe, CRM114 (`crm`), and scikit-learn's naive Bayes and SGD. The
same once more without mailing list header fields. Then models of few messages, and attacks on frozen models: of the
first half, with the second attacked, and of every other message (ours and bogofilter's alone), with the rest attacked.

The peers keep their files in TMPDIR: a folder in memory (/dev/shm) makes them faster. Filters run beside each other in
`--jobs` processes.
"""

from __future__ import annotations

import argparse
import base64
import json
import math
import os
import re
import resource
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import corpus

from filterproxy.classifier.comparison import PEERS, PeerModel
from filterproxy.classifier.metrics import Measures, measure, missed_at
from filterproxy.classifier.model import Model
from filterproxy.classifier.reading import features_of
from filterproxy.classifier.rows import Scored
from filterproxy.classifier.threshold import Class
from filterproxy.message import Message, strip_verdict_headers
from filterproxy.services.corpus import read_index

LIST_FIELD = re.compile(
    rb"^(?:List-[^\n:]*|Precedence|X-Mailing-List|X-BeenThere|X-Mailman-Version|Mailing-List|X-Loop|Errors-To|Sender)"
    rb":[^\n]*\n(?:[ \t][^\n]*\n)*",
    re.IGNORECASE | re.MULTILINE,
)
WORD = re.compile(r"[a-z]{3,15}")


@dataclass(frozen=True, slots=True)
class Mail:
    """A labelled message."""

    raw: bytes
    is_spam: bool


class Filter(Protocol):
    """A filter under test."""

    name: str

    def score(self, raw: bytes) -> tuple[float, Class]:
        """Return score and class of a message."""

    def learn(self, raw: bytes, is_spam: bool) -> None:
        """Learn a message."""


class Ours:
    """filterproxy's classifier."""

    name = "filterproxy"

    def __init__(self) -> None:
        self.model = Model.empty()

    def score(self, raw: bytes) -> tuple[float, Class]:
        score = self.model.score(features_of(raw))
        return score, self.model.threshold().classify(score)

    def learn(self, raw: bytes, is_spam: bool) -> None:
        self.model.learn(features_of(raw), is_spam)


class ScikitLearn:
    """One of scikit-learn's classifiers on our words."""

    def __init__(self, name: str) -> None:
        self.name = f"scikit-learn {name}"
        self._model = PeerModel(name)

    def score(self, raw: bytes) -> tuple[float, Class]:
        score = self._model.score(features_of(raw))
        return score, "spam" if score > 0 else "ham"

    def learn(self, raw: bytes, is_spam: bool) -> None:
        self._model.learn(features_of(raw), is_spam)


class Bogofilter:
    """bogofilter with its own defaults, every message learned."""

    name = "bogofilter"

    def __init__(self, folder: str) -> None:
        self._command = ["bogofilter", "-C", "-d", folder]

    def score(self, raw: bytes) -> tuple[float, Class]:
        done = subprocess.run([*self._command, "-TT"], input=raw, capture_output=True, check=False)
        value = float(done.stdout) if done.returncode in (0, 1, 2) and done.stdout.strip() else 0.5
        return value, {0: "spam", 1: "ham"}.get(done.returncode, "unsure")  # type: ignore[return-value]

    def learn(self, raw: bytes, is_spam: bool) -> None:
        subprocess.run([*self._command, "-s" if is_spam else "-n"], input=raw, check=True)


class SpamProbe:
    """spamprobe with its own defaults."""

    name = "spamprobe"

    def __init__(self, folder: str) -> None:
        self._command = ["spamprobe", "-d", folder]
        subprocess.run([*self._command, "create-db"], check=True, capture_output=True)

    def score(self, raw: bytes) -> tuple[float, Class]:
        words = subprocess.run([*self._command, "score"], input=raw, capture_output=True, check=True).stdout.split()
        return float(words[1]), "spam" if words[0] == b"SPAM" else "ham"

    def learn(self, raw: bytes, is_spam: bool) -> None:
        subprocess.run([*self._command, "spam" if is_spam else "good"], input=raw, check=True, capture_output=True)


class Crm114:
    """CRM114's OSBF classifier, trained when its margin is thin.

    Its files get 2^20 buckets: with 94,321, its default, they are full after some 1,000 messages, and it becomes ten
    times slower and less accurate.
    """

    name = "CRM114 OSBF"
    _THICK = 20.0

    def __init__(self, folder: str) -> None:
        self._folder, self._last = folder, 0.0
        for name in ("spam", "ham"):
            self._run(f"{{ learn <osbf> ({name}.css) }}", b"")

    def score(self, raw: bytes) -> tuple[float, Class]:
        code = "{ isolate (:s:); { classify <osbf> (spam.css | ham.css) (:s:) } output /:*:s:\\n/ }"
        found = re.search(rb"pR:\s*(-?[\d.]+)", self._run(code, raw))
        self._last = float(found[1]) if found else 0.0
        return self._last, "spam" if self._last > 0 else "ham"

    def learn(self, raw: bytes, is_spam: bool) -> None:
        if (self._last if is_spam else -self._last) < self._THICK:
            self._run(f"{{ learn <osbf> ({'spam' if is_spam else 'ham'}.css) }}", raw)

    def _run(self, code: str, raw: bytes) -> bytes:
        command = ["crm", "-s", str((1 << 20) + 1), f"-{{ match <fromend> (:x:) // ; {code} }}"]
        return subprocess.run(command, input=raw, cwd=self._folder, capture_output=True, check=False).stdout


def names(peers: bool) -> list[str]:
    """Return the names of ours and of every filter that is installed."""
    found = [Ours.name]
    if peers:
        for program, kind in PROGRAMS.items():
            if shutil.which(program):
                found.append(kind.name)
            else:
                print(f"{program} is not installed and left out")
        found += [f"scikit-learn {name}" for name in PEERS]
    return found


PROGRAMS = {"bogofilter": Bogofilter, "spamprobe": SpamProbe, "crm": Crm114}


def make(name: str, folder: str) -> Filter:
    """Return a filter that has learned nothing; its files go into the folder."""
    for kind in PROGRAMS.values():
        if kind.name == name:
            return kind(folder)
    return Ours() if name == Ours.name else ScikitLearn(name.removeprefix("scikit-learn "))


def online(tested: Filter, mails: Sequence[Mail]) -> tuple[Measures, float]:
    """Return the measures of an online run and the CPU milliseconds a message, children included."""
    scored, begin = Scored(), cpu_seconds()
    for mail in mails:
        score, given = tested.score(mail.raw)
        scored.add(mail.is_spam, given, score)
        tested.learn(mail.raw, mail.is_spam)
    return measure(scored.rows()), 1000 * (cpu_seconds() - begin) / len(mails)


def cpu_seconds() -> float:
    """Return the CPU time of this process and its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def run_online(name: str, mails: Sequence[Mail]) -> dict[str, float]:
    """Return the figures of a filter's online run, by column."""
    with tempfile.TemporaryDirectory(prefix="accuracy-") as folder:
        found, milliseconds = online(make(name, folder), mails)
    assert found.roca is not None
    return {
        "(1-ROCA)%": found.roca, "lam%": found.lam, "sm@.1%": found.sm_at["0.1%"], "ham lost%": found.hm,
        "spam missed%": found.sm, "CPU ms": milliseconds,
    }  # fmt: skip


def show_online(title: str, mails: Sequence[Mail], rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table of all filters on some mail, and our ratio to the best peer."""
    print(f"\n{title}: {len(mails)} messages, {sum(mail.is_spam for mail in mails)} of them spam")
    print(f"{'filter':<28}" + "".join(f"{column:>14}" for column in next(iter(rows.values()))))
    for name, row in rows.items():
        print(f"{name:<28}" + "".join(f"{value:>14.4f}" for value in row.values()), flush=True)
    others = {name: row["(1-ROCA)%"] for name, row in rows.items() if name != Ours.name}
    if others:
        best = min(others, key=lambda name: others[name])
        print(f"(1-ROCA)% of filterproxy / {best}: {rows[Ours.name]['(1-ROCA)%'] / others[best]:.2f}")


def hammy_words(mails: Iterable[Mail], count: int) -> list[str]:
    """Return the words that speak most for ham, by the counts of messages they occur in."""
    seen: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    totals: Counter[bool] = Counter()
    for mail in mails:
        seen[mail.is_spam].update(set(WORD.findall(Message(mail.raw).text.lower())))
        totals[mail.is_spam] += 1

    def odds(word: str) -> float:
        rates = [(seen[kind][word] + 0.5) / (totals[kind] + 1) for kind in (False, True)]
        return math.log(rates[0] / rates[1])

    return sorted((word for word, number in seen[False].items() if number >= 5), key=odds, reverse=True)[:count]


def rebuilt(raw: bytes, text: str, kind: str = "plain", encoding: str = "8bit") -> bytes:
    """Return the message with its body replaced by one text part."""
    message = Message(raw)
    kept = [
        header.raw
        for header in message.headers
        if not header.name.lower().startswith("content-") and header.name.lower() != "mime-version"
    ]
    body = text.encode("utf-8", "replace")
    fields = f"MIME-Version: 1.0\nContent-Type: text/{kind}; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n"
    return b"".join(kept) + fields.encode() + (base64.encodebytes(body) if encoding == "base64" else body)


def attacks(words: Sequence[str]) -> dict[str, Callable[[bytes], bytes]]:
    """Return what is done to a spam, by name."""

    def entities(text: str) -> str:
        return "<p>" + "".join(f"&#{ord(character)};" for character in text) + "</p>"

    def split(text: str) -> str:
        return "<p>" + re.sub(r"(\w\w)(?=\w)", r"\1<!-- -->", text) + "</p>"

    return {
        "as it came": lambda raw: raw,
        "body as one text part": lambda raw: rebuilt(raw, Message(raw).text),
        "100 good words appended": lambda raw: rebuilt(raw, f"{Message(raw).text}\n\n{' '.join(words)}\n"),
        "100 good words in front": lambda raw: rebuilt(raw, f"{' '.join(words)}\n\n{Message(raw).text}\n"),
        "base64": lambda raw: rebuilt(raw, Message(raw).text, encoding="base64"),
        "HTML entities": lambda raw: rebuilt(raw, entities(Message(raw).text), "html"),
        "words split by comments": lambda raw: rebuilt(raw, split(Message(raw).text), "html"),
    }


def run_attack(name: str, learned: Sequence[Mail], attacked: Sequence[Mail]) -> dict[str, float]:
    """Return how much of the attacked spam gets through a frozen model, in percent, at 0.1 % of the ham lost."""
    changes = attacks(hammy_words(learned, 100))
    with tempfile.TemporaryDirectory(prefix="accuracy-") as folder:
        tested = make(name, folder)
        for mail in learned:
            # CRM114 learns what it has just scored badly.
            tested.score(mail.raw)
            tested.learn(mail.raw, mail.is_spam)
        ham = [tested.score(mail.raw)[0] for mail in attacked if not mail.is_spam]
        return {kind: missed_after(change, tested, attacked, ham) for kind, change in changes.items()}


def show_attack(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table of attacks."""
    print(f"\n{title}: spam missed % when 0.1 % of the ham is lost")
    print(f"{'':<28}" + "".join(f"{kind.removeprefix('100 '):>26}" for kind in next(iter(rows.values()))))
    for name, row in rows.items():
        print(f"{name:<28}" + "".join(f"{share:>26.1f}" for share in row.values()), flush=True)


def missed_after(
    change: Callable[[bytes], bytes], tested: Filter, mails: Sequence[Mail], ham: Sequence[float]
) -> float:
    """Return the percentage of the spam missed after the change, given the scores of the ham, which stays as it is."""
    scored = Scored()
    for score in ham:
        scored.add(False, "ham", score)
    for mail in mails:
        if mail.is_spam:
            scored.add(True, "spam", tested.score(change(mail.raw))[0])
    return missed_at(scored.rows(), 0.001)


def few(mails: Sequence[Mail]) -> None:
    """Print what models reach that have learned few messages, spam and ham in turn, on the newest half."""
    half = len(mails) // 2
    classes = [[mail for mail in mails[:half] if mail.is_spam == kind] for kind in (True, False)]
    # As many of each class, from all of the first half.
    rarer = min(map(len, classes))
    spread = [[found[number * len(found) // rarer] for number in range(rarer)] for found in classes]
    order = [mail for pair in zip(*spread, strict=True) for mail in pair]
    print(f"\nlearned first, then frozen, on the last {len(mails) - half}")
    print(f"{'messages learned':<28}{'(1-ROCA)%':>10}{'lam%':>8}{'sm@.1%':>8}{'ham lost%':>10}{'spam missed%':>13}")
    for count in (size for size in (10, 50, 100, 200, 500, 1000, 2000) if size <= len(order)):
        tested, scored = Ours(), Scored()
        step = max(1, len(order) // (count + 1))
        for number in range(count):
            # Neighbours in the order are a spam and a ham: steps are taken in pairs.
            mail = order[number // 2 * 2 * step + number % 2]
            tested.learn(mail.raw, mail.is_spam)
        for mail in mails[half:]:
            score, given = tested.score(mail.raw)
            scored.add(mail.is_spam, given, score)
        found = measure(scored.rows())
        print(
            f"{count:<28}{found.roca:>10.4f}{found.lam:>8.3f}{found.sm_at['0.1%']:>8.2f}{found.hm:>10.3f}{found.sm:>13.3f}",
            flush=True,
        )


def speed(mails: Sequence[Mail]) -> None:
    """Print what scoring and learning cost, the parsing of the message left out."""
    from filterproxy.classifier.features import extract

    model, spent = Model.empty(), dict.fromkeys(("score", "learn"), 0.0)
    for mail in mails:
        message = Message(mail.raw)
        # Parsed beforehand, as other checks have already asked for it.
        for _ in (message.text, message.urls, message.parts, message.html, [field.value for field in message.headers]):
            pass
        begin = time.process_time()
        features = extract(message)
        model.score(features)
        scored = time.process_time()
        model.learn(features, mail.is_spam)
        spent["score"] += scored - begin
        spent["learn"] += time.process_time() - scored
    score, learn = (1000 * spent[name] / len(mails) for name in ("score", "learn"))
    print(f"\nCPU ms a message, parsing left out: score {score:.2f}, score and learn {score + learn:.2f}")
    print(f"largest resident memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def read(limit: int | None) -> list[Mail]:
    """Return the corpus in order of date, verdicts stripped."""
    mails = []
    for line in islice(read_index(corpus.ensure()), limit):
        raw = line.read().raw
        assert raw is not None
        mails.append(Mail(strip_verdict_headers(raw), line.judge == "spam"))
    return mails


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--limit", type=int, default=None, help="only so many messages")
    parser.add_argument("--no-peers", action="store_true", help="filterproxy alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="so many filters at a time")
    parser.add_argument("--results", type=Path, help="also write the figures to this file, as JSON")
    arguments = parser.parse_args()
    mails, found = read(arguments.limit), names(not arguments.no_peers)
    half = len(mails) // 2
    bare = [Mail(without_list_fields(mail.raw), mail.is_spam) for mail in mails]
    # scikit-learn's are no filters: they are not attacked.
    programs = [name for name in found if not name.startswith("scikit-learn")]
    runs: dict[str, tuple[list[str], Callable[..., dict[str, float]], tuple[Sequence[Mail], ...]]] = {
        "online, stripped": (found, run_online, (mails,)),
        "online, stripped, without list header fields": (found, run_online, (bare,)),
        "attacks on a model of the first half": (programs, run_attack, (mails[:half], mails[half:])),
        "attacks on a model of every other message": (programs[:2], run_attack, (mails[::2], mails[1::2])),
    }
    results: dict[str, dict[str, dict[str, float]]] = {}
    with ProcessPoolExecutor(arguments.jobs) as pool:
        waiting = {
            title: {name: pool.submit(run, name, *data) for name in chosen}
            for title, (chosen, run, data) in runs.items()
        }
        for title, row in waiting.items():
            results[title] = {name: future.result() for name, future in row.items()}
            if title.startswith("online"):
                show_online(title, runs[title][2][0], results[title])
            else:
                show_attack(title, results[title])
            if arguments.results:
                arguments.results.write_text(json.dumps(results, indent=1) + "\n")
    few(mails)
    speed(mails)


def without_list_fields(raw: bytes) -> bytes:
    """Return the message without the header fields that mailing lists add."""
    header = Message(raw).header_block
    return LIST_FIELD.sub(b"", header) + raw[len(header) :]


if __name__ == "__main__":
    main()
