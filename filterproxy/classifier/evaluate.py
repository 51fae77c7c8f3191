"""Measuring the classifier on a corpus in delivery order: online (score, then learn) or batch (learn, then score).

The rule: a class and a score are decided before the message is learned, and every line of the index gives one result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from filterproxy.classifier.features import Features
from filterproxy.classifier.model import Learned
from filterproxy.classifier.reading import Example, read_features
from filterproxy.classifier.threshold import Class, Threshold

Order = Literal["online", "batch"]
# Told of example, score and threshold before the example is learned.
Watch = Callable[[Example, float, float], None]


class Classifier(Protocol):
    """What can be evaluated: our Model, or a peer."""

    def score(self, features: Features) -> float:
        """Return the log-odds of spam."""

    def learn(self, features: Features, is_spam: bool) -> Learned:
        """Learn one message; return its score before."""

    def threshold(self) -> Threshold:
        """Return what decides between spam and ham now."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of an evaluation: path as in the index, label, class, log-odds; `error` when it could not be read."""

    path: str
    is_spam: bool
    given: Class
    score: float
    error: str = ""

    def line(self) -> str:
        """Return `path judge class score`, the score not rounded."""
        judge = "spam" if self.is_spam else "ham"
        return f"{self.path} {judge} {self.given} {0 if self.error else repr(self.score)}"


def evaluate(
    examples: Sequence[Example],
    model: Classifier,
    protocol: Order = "online",
    train_first: int | None = None,
    watch: Watch = lambda *_: None,
) -> Iterator[Result]:
    """Yield the results in index order.

    Online learns each message after its result, or only the first `train_first`. Batch learns the first `train_first`
    (half of them by default) without a result and then only scores.
    """
    if protocol == "batch":
        first = len(examples) // 2 if train_first is None else train_first
        for read in read_features(examples[:first]):
            if read.features is not None:
                model.learn(read.features, read.example.is_spam)
        yield from _score_then_learn(examples[first:], model, 0, watch)
    else:
        yield from _score_then_learn(examples, model, len(examples) if train_first is None else train_first, watch)


def _score_then_learn(examples: Sequence[Example], model: Classifier, learn: int, watch: Watch) -> Iterator[Result]:
    for number, read in enumerate(read_features(examples)):
        example = read.example
        if read.features is None:
            yield Result(example.source.name, example.is_spam, "unsure", 0.0, read.error)
            continue
        threshold, score = model.threshold(), model.score(read.features)
        watch(example, score, threshold.value)
        if number < learn:
            model.learn(read.features, example.is_spam)
        yield Result(example.source.name, example.is_spam, threshold.classify(score), score)
