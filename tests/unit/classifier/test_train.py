"""Training: the same model by any number of processes and after an interruption, and a report on what was held out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from filterproxy.classifier import parallel
from filterproxy.classifier.checkpoint import NAME, Checkpoint
from filterproxy.classifier.features import VIEWS
from filterproxy.classifier.model import Model
from filterproxy.classifier.reading import Example, Read, from_index
from filterproxy.classifier.train import How, train
from tests.unit.classifier.mail import write_corpus

COUNT = 120


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    index = write_corpus(tmp_path_factory.mktemp("corpus"), COUNT)
    (index.parent / "00007").unlink()
    return from_index(index)


@pytest.fixture(scope="module")
def plain(examples: list[Example]) -> Model:
    return train(examples, lambda _: None)[0]


def assert_same(first: Model, second: Model) -> None:
    assert first.examples == second.examples
    np.testing.assert_array_equal(first.ham_scores.latest(), second.ham_scores.latest())
    for view in VIEWS:
        np.testing.assert_array_equal(first.learners[view].values, second.learners[view].values)


def test_everything_is_learned_and_told_once(examples: list[Example], plain: Model) -> None:
    told: list[Read] = []
    _, measures = train(examples, told.append)
    assert [read.example for read in told] == examples
    assert [read.error for read in told if read.features is None] == ["no such file or directory"]
    assert (plain.examples.spam, plain.examples.ham) == (60, 59)
    assert measures is not None
    assert (measures.spam, measures.ham) == (12, 12)
    assert measures.roca == 0


def test_too_little_is_held_out_for_a_report(examples: list[Example]) -> None:
    assert train(examples[:40], lambda _: None)[1] is None


def test_several_processes_make_the_same_model(
    examples: list[Example], plain: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_WORTH_IT", 0)
    monkeypatch.setattr(parallel, "_BATCH", 7)
    assert_same(train(examples, lambda _: None, How(jobs=2))[0], plain)


class Interrupted(Exception):
    pass


def interrupted_after(count: int) -> Iterator[None]:
    for _ in range(count):
        yield
    raise Interrupted


def test_an_interrupted_training_goes_on_from_its_checkpoint(
    examples: list[Example], plain: Model, tmp_path: Path
) -> None:
    how, steps = How(checkpoint=Checkpoint.of(tmp_path, examples), every=20), interrupted_after(50)
    with pytest.raises(Interrupted):
        train(examples, lambda _: next(steps), how)
    assert (tmp_path / NAME).exists()
    told: list[Read] = []
    assert_same(train(examples, told.append, how)[0], plain)
    assert len(told) == COUNT - 40
    assert not (tmp_path / NAME).exists()


def test_a_checkpoint_of_other_mail_is_not_used(examples: list[Example], plain: Model, tmp_path: Path) -> None:
    Checkpoint.of(tmp_path, examples[:50]).save(plain, 50)
    assert Checkpoint.of(tmp_path, examples).load() is None
    (tmp_path / NAME).write_bytes(b"junk")
    assert Checkpoint.of(tmp_path, examples[:50]).load() is None
