"""Building a model from a corpus: every message is learned once, in order of time, and the newest part reports.

The rule: the newest fifth is scored by a model that has seen none of it before it is learned too; what that gave is
what the model's card says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from filterproxy.classifier.metrics import Measures, measure
from filterproxy.classifier.model import Model
from filterproxy.classifier.reading import Example, Read, read_features
from filterproxy.classifier.rows import Scored

HELD_OUT = 0.2
# Fewer messages of a class say nothing.
_ENOUGH = 10

Progress = Callable[[Read], None]


def train(examples: Sequence[Example], model: Model, progress: Progress) -> Measures | None:
    """Learn the examples in order; return the measures of the part held out, None when it is too small.

    `progress` is told of every message that was read for the last time, with its error if there is one.
    """
    begin = len(examples) - int(HELD_OUT * len(examples))
    for read in read_features(examples[:begin]):
        progress(read)
        if read.features is not None:
            model.learn(read.features, read.example.is_spam)
    held_out = score_all(model, examples[begin:])
    for read in read_features(examples[begin:]):
        progress(read)
        if read.features is not None:
            model.learn(read.features, read.example.is_spam)
    spam = sum(held_out.is_spam)
    return measure(held_out.rows()) if min(spam, len(held_out.is_spam) - spam) >= _ENOUGH else None


def score_all(model: Model, examples: Sequence[Example]) -> Scored:
    """Return the scores of the examples that can be read, without learning."""
    scored, threshold = Scored(), model.threshold()
    for read in read_features(examples):
        if read.features is not None:
            score = model.score(read.features)
            scored.add(read.example.is_spam, threshold.classify(score), score)
    return scored
