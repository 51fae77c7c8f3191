"""Building a model from a corpus: every message is learned once, in order of time, and the newest part reports.

The rule: the newest fifth is scored by a model that has seen none of it before it is learned too; what that gave is
what the model's card says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from filterproxy.classifier.checkpoint import Checkpoint
from filterproxy.classifier.evaluate import Classifier
from filterproxy.classifier.metrics import Measures, measure
from filterproxy.classifier.model import Model
from filterproxy.classifier.parallel import read_in_parallel
from filterproxy.classifier.reading import Example, Read
from filterproxy.classifier.rows import Scored

HELD_OUT = 0.2
# Fewer messages of a class say nothing.
_ENOUGH = 10

Progress = Callable[[Read], None]


@dataclass(frozen=True, slots=True)
class How:
    """How a training is run: processes that read (0: one a core), and where it is checkpointed (None: nowhere)."""

    jobs: int = 1
    checkpoint: Checkpoint | None = None
    every: int = 10_000


def train(examples: Sequence[Example], progress: Progress, how: How | None = None) -> tuple[Model, Measures | None]:
    """Learn the examples in order; return the model, and the measures of the part held out unless it is too small.

    `progress` is told of every message that was read for the last time, with its error if there is one. A training that
    was interrupted goes on from its checkpoint. Raises OSError when that cannot be written.
    """
    how = how or How()
    resumed = how.checkpoint.load() if how.checkpoint else None
    model, position = resumed or (Model.empty(), 0)

    def after(number: int) -> None:
        if how.checkpoint and number % how.every == 0:
            how.checkpoint.save(model, number)

    measures = _run(model, examples, position, progress, how.jobs, after)
    if how.checkpoint:
        how.checkpoint.remove()
    return model, measures


def train_other(examples: Sequence[Example], model: Classifier, progress: Progress, jobs: int = 1) -> Measures | None:
    """Have any classifier learn the examples in order; return the measures of the part held out."""
    return _run(model, examples, 0, progress, jobs, lambda _: None)


def _run(
    model: Classifier,
    examples: Sequence[Example],
    position: int,
    progress: Progress,
    jobs: int,
    after: Callable[[int], None],
) -> Measures | None:
    begin = len(examples) - int(HELD_OUT * len(examples))
    for number, read in enumerate(read_in_parallel(examples[position:begin], jobs), position + 1):
        _learn(model, read, progress)
        after(number)
    held_out = score_all(model, examples[begin:], jobs)
    for read in read_in_parallel(examples[begin:], jobs):
        _learn(model, read, progress)
    spam = sum(held_out.is_spam)
    enough = min(spam, len(held_out.is_spam) - spam) >= _ENOUGH
    return measure(held_out.rows()) if enough else None


def score_all(model: Classifier, examples: Sequence[Example], jobs: int = 1) -> Scored:
    """Return the scores of the examples that can be read, without learning."""
    scored, threshold = Scored(), model.threshold()
    for read in read_in_parallel(examples, jobs):
        if read.features is not None:
            score = model.score(read.features)
            scored.add(read.example.is_spam, threshold.classify(score), score)
    return scored


def _learn(model: Classifier, read: Read, progress: Progress) -> None:
    progress(read)
    if read.features is not None:
        model.learn(read.features, read.example.is_spam)
