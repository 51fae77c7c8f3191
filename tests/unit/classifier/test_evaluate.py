"""Evaluation: every index line one result, decided before it is learned, in both protocols."""

from pathlib import Path

import numpy as np
import pytest

from filterproxy.classifier.evaluate import Order, Result, evaluate
from filterproxy.classifier.features import extract
from filterproxy.classifier.model import Model
from filterproxy.classifier.reading import from_index, from_paths
from filterproxy.message import Message
from tests.unit.classifier.mail import make_mail, write_corpus

COUNT = 60


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    index = write_corpus(tmp_path_factory.mktemp("corpus"), COUNT)
    (index.parent / "00031").unlink()
    return index


def run(index: Path, protocol: Order = "online", train_first: int | None = None) -> list[Result]:
    return list(evaluate(from_index(index), Model.empty(), protocol, train_first))


def test_online_scores_before_it_learns(index: Path) -> None:
    results = run(index)
    model = Model.empty()
    for number in range(10):
        features = extract(Message((index.parent / f"{number:05d}").read_bytes()))
        assert results[number].score == pytest.approx(model.score(features))
        model.learn(features, number % 2 == 0)


def test_every_line_in_order_and_unreadable_ones_unsure(index: Path) -> None:
    lines = [result.line() for result in run(index)]
    assert [line.split()[:2] for line in lines] == [line.split()[::-1] for line in index.read_text().splitlines()]
    assert lines[31] == "00031 ham unsure 0"


def test_the_score_is_not_rounded(index: Path) -> None:
    result = run(index)[40]
    assert float(result.line().split()[3]) == result.score


def test_the_first_messages_are_unsure(index: Path) -> None:
    assert [result.given for result in run(index)[:2]] == ["unsure", "unsure"]


def test_it_becomes_right(index: Path) -> None:
    late = [result for result in run(index)[40:] if not result.error]
    assert all((result.score > 0) == result.is_spam for result in late)


def test_train_first_online_learns_no_more(index: Path) -> None:
    results, model = run(index, train_first=20), Model.empty()
    assert len(results) == COUNT
    for number in range(20):
        model.learn(extract(Message((index.parent / f"{number:05d}").read_bytes())), number % 2 == 0)
    frozen = model.score(extract(Message((index.parent / "00059").read_bytes())))
    assert results[59].score == pytest.approx(frozen)


@pytest.mark.parametrize(("train_first", "written"), [(None, COUNT // 2), (10, COUNT - 10), (0, COUNT), (999, 0)])
def test_batch_writes_the_rest(index: Path, train_first: int | None, written: int) -> None:
    results = run(index, "batch", train_first)
    assert [result.path for result in results] == [f"{number:05d}" for number in range(COUNT - written, COUNT)]


def test_two_runs_agree_to_the_bit(index: Path) -> None:
    assert run(index) == run(index)


def test_paths_come_in_order_of_time(tmp_path: Path) -> None:
    for number in range(6):
        folder = tmp_path / ("spam" if number % 2 else "ham")
        folder.mkdir(exist_ok=True)
        (folder / f"{9 - number}").write_bytes(make_mail(number * 50, bool(number % 2)))
    examples = from_paths([tmp_path / "ham"], [tmp_path / "spam"])
    assert [example.source.name[-1] for example in examples] == ["9", "8", "7", "6", "5", "4"]
    assert [example.is_spam for example in examples] == [False, True] * 3


def test_without_dates_the_classes_alternate(tmp_path: Path) -> None:
    for kind in ("ham", "spam"):
        (tmp_path / kind).mkdir()
        for number in range(4):
            (tmp_path / kind / str(number)).write_bytes(b"Subject: x\n\nx\n")
    examples = from_paths([tmp_path / "ham"], [tmp_path / "spam"])
    assert np.diff([example.is_spam for example in examples]).all()
