"""Feedback: learned once, corrected, forgotten, visible to other processes at once, and safe when one dies."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from filterproxy.classifier.features import VIEWS, extract
from filterproxy.classifier.feedback import Feedback, FeedbackError, Outcome, learned_automatically
from filterproxy.classifier.journal import Journal
from filterproxy.classifier.learn_log import LearnLog
from filterproxy.classifier.model import Model
from filterproxy.classifier.model_file import FILE_NAME, load, save
from filterproxy.classifier.site_files import SiteFiles
from filterproxy.classifier.site_model import SiteModel, open_site_model
from filterproxy.core.errors import ConfigError
from filterproxy.message import Message
from tests.unit.classifier.mail import make_mail


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model = Model.empty()
    for number in range(20):
        model.learn(extract(Message(make_mail(number, number % 2 == 0))), number % 2 == 0)
    save(folder / FILE_NAME, model, {})
    return folder


@pytest.fixture
def site(model: Path, tmp_path: Path) -> Iterator[tuple[Feedback, SiteModel]]:
    scoring = open_site_model(model, tmp_path, pytest.fail)
    with Feedback(model, tmp_path) as feedback:
        yield feedback, scoring


def score(scoring: SiteModel, number: int, is_spam: bool) -> float:
    return scoring.score(extract(Message(make_mail(number, is_spam))))


def test_scores_follow_at_once(site: tuple[Feedback, SiteModel]) -> None:
    feedback, scoring = site
    before = score(scoring, 50, False)
    assert feedback.learn(make_mail(50, False), is_spam=True) is Outcome.LEARNED
    assert score(scoring, 50, False) > before + 1
    assert (scoring.learned.spam, scoring.learned.ham) == (1, 0)


def test_a_message_is_never_learned_twice_the_same_way(site: tuple[Feedback, SiteModel]) -> None:
    feedback, scoring = site
    feedback.learn(make_mail(50, True), is_spam=True)
    before = score(scoring, 51, True)
    marked = b"X-Spam-Status: Yes\r\n" + make_mail(50, True).replace(b"\n", b"\r\n")
    assert feedback.learn(marked, is_spam=True) is Outcome.ALREADY
    assert score(scoring, 51, True) == before
    assert scoring.learned.spam == 1


def test_the_other_class_corrects(site: tuple[Feedback, SiteModel]) -> None:
    feedback, scoring = site
    feedback.learn(make_mail(50, False), is_spam=True)
    wrong = score(scoring, 50, False)
    assert feedback.learn(make_mail(50, False), is_spam=False) is Outcome.CORRECTED
    assert score(scoring, 50, False) < wrong - 1
    assert (scoring.learned.spam, scoring.learned.ham) == (0, 1)


def test_forgetting_restores_counts_exactly_and_scores_nearly(site: tuple[Feedback, SiteModel], tmp_path: Path) -> None:
    feedback, scoring = site
    probes = [score(scoring, number, number % 2 == 0) for number in range(60, 80)]
    for number in range(30, 40):
        feedback.learn(make_mail(number, number % 3 == 0), number % 3 == 0)
    moved = [score(scoring, number, number % 2 == 0) for number in range(60, 80)]
    for number in range(30, 40):
        assert feedback.forget(make_mail(number, number % 3 == 0)) is Outcome.FORGOTTEN
    after = [score(scoring, number, number % 2 == 0) for number in range(60, 80)]
    assert np.abs(np.subtract(moved, probes)).max() > 0.5
    assert np.abs(np.subtract(after, probes)).max() < 0.3
    layers = [SiteFiles.of(tmp_path).layer(view, writable=False) for view in VIEWS]
    assert not any(layer[:, 2:].any() for layer in layers)
    assert (scoring.learned.spam, scoring.learned.ham) == (0, 0)


def test_forgetting_the_unknown(site: tuple[Feedback, SiteModel]) -> None:
    assert site[0].forget(make_mail(99, True)) is Outcome.UNKNOWN


def test_what_was_learned_stays_with_a_new_model(site: tuple[Feedback, SiteModel], model: Path, tmp_path: Path) -> None:
    site[0].learn(make_mail(50, False), is_spam=True)
    other = tmp_path / "other"
    other.mkdir()
    save(other / FILE_NAME, Model.empty(), {})
    scoring = open_site_model(other, tmp_path, pytest.fail)
    assert scoring.learned.spam == 1
    assert score(scoring, 50, False) > 1


def test_tables_of_other_models_do_not_go_stale(site: tuple[Feedback, SiteModel], model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    save(other / FILE_NAME, Model.empty(), {"name": "other"})
    before = score(open_site_model(other, tmp_path, pytest.fail), 50, False)
    site[0].learn(make_mail(50, False), is_spam=True)
    assert score(open_site_model(other, tmp_path, pytest.fail), 50, False) > before + 1


def test_evidence_grows_with_the_rarer_class(tmp_path: Path) -> None:
    save(tmp_path / FILE_NAME, Model.empty(), {})
    scoring = open_site_model(tmp_path, tmp_path, pytest.fail)
    seen = [scoring.evidence()]
    with Feedback(tmp_path, tmp_path) as feedback:
        for number in range(6):
            feedback.learn(make_mail(number, number != 5), is_spam=number != 5)
            seen.append(scoring.evidence())
    assert seen[:6] == [0] * 6
    assert 0 < seen[6] < 0.1


def _learn_some(model: Path, state: Path, first: int) -> None:
    with Feedback(model, state) as feedback:
        for number in range(first, first + 8):
            feedback.learn(make_mail(number, number % 2 == 0), number % 2 == 0)


def test_concurrent_learners_lose_nothing(model: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_learn_some, args=(model, tmp_path, first)) for first in (100, 200, 300)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    files = SiteFiles.of(tmp_path)
    assert files.counts(writable=False).learned().spam == 12
    # Every message has its sender's header in common: no update was lost.
    layer = files.layer("words", writable=False)
    assert layer[:, 2].max() == 12
    assert layer[:, 3].max() == 12


def _die_while_learning(model: Path, state: Path) -> None:
    feedback = Feedback(model, state)
    LearnLog.put = lambda *_, **__: signal.raise_signal(signal.SIGKILL)  # type: ignore[method-assign]
    feedback.learn(make_mail(500, False), is_spam=True)


def test_a_learner_that_dies_leaves_no_half_learned_message(model: Path, tmp_path: Path) -> None:
    with Feedback(model, tmp_path) as feedback:
        feedback.learn(make_mail(400, True), is_spam=True)
    scoring = open_site_model(model, tmp_path, pytest.fail)
    before = score(scoring, 500, False)
    process = multiprocessing.get_context("spawn").Process(target=_die_while_learning, args=(model, tmp_path))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert score(scoring, 500, False) != before
    with Feedback(model, tmp_path):
        assert score(scoring, 500, False) == before
        assert scoring.learned.spam == 1
    assert Journal(SiteFiles.of(tmp_path).folder / "journal").intent() is None


def test_state_that_cannot_be_written(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bayes").write_text("in the way")
    with pytest.raises(FeedbackError, match="cannot write what was learned"):
        Feedback(model, tmp_path)
    warnings: list[str] = []
    scoring = open_site_model(model, tmp_path, warnings.append)
    assert score(scoring, 50, True) > score(scoring, 50, False)
    assert "without what was learned here" in warnings[0]


def test_damaged_state(model: Path, tmp_path: Path) -> None:
    with Feedback(model, tmp_path) as feedback:
        feedback.learn(make_mail(1, True), is_spam=True)
    (SiteFiles.of(tmp_path).folder / "learned-body.f4").write_bytes(b"short")
    with pytest.raises(FeedbackError, match="damaged"):
        Feedback(model, tmp_path)


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the model"):
        Feedback(tmp_path / "none", tmp_path)


DELIVERED = b"Return-Path: <a@example.org>\nDelivered-To: me@home.example\nReceived: from mx by store; now\n"


def test_what_was_learned_automatically_is_corrected_as_it_was_delivered(
    site: tuple[Feedback, SiteModel], tmp_path: Path
) -> None:
    feedback, scoring = site
    raw = make_mail(50, False)
    assert feedback.learn(raw, is_spam=True, automatic=True) is Outcome.LEARNED
    assert learned_automatically(tmp_path).spam == 1
    assert feedback.learn(DELIVERED + raw, is_spam=False) is Outcome.CORRECTED
    assert (scoring.learned.spam, scoring.learned.ham) == (0, 1)
    assert learned_automatically(tmp_path).spam == 0
    layer = SiteFiles.of(tmp_path).layer("words", writable=False)
    assert not layer[:, 2].any()


def test_a_label_for_what_was_learned_automatically_is_no_second_example(site: tuple[Feedback, SiteModel]) -> None:
    feedback, scoring = site
    feedback.learn(make_mail(50, True), is_spam=True, automatic=True)
    assert feedback.learn(DELIVERED + make_mail(50, True), is_spam=True) is Outcome.ALREADY
    assert (scoring.learned.spam, scoring.learned.ham) == (1, 0)
    assert feedback.forget(DELIVERED + make_mail(50, True)) is Outcome.FORGOTTEN
    assert (scoring.learned.spam, scoring.learned.ham) == (0, 0)


def test_what_somebody_labelled_is_never_changed_automatically(site: tuple[Feedback, SiteModel]) -> None:
    feedback, scoring = site
    feedback.learn(make_mail(50, False), is_spam=False)
    assert feedback.learn(make_mail(50, False), is_spam=True, automatic=True) is Outcome.ALREADY
    assert (scoring.learned.spam, scoring.learned.ham) == (0, 1)


def test_a_learner_follows_tables_that_were_made_anew(model: Path, tmp_path: Path) -> None:
    with Feedback(model, tmp_path) as feedback:
        feedback.learn(make_mail(50, False), is_spam=True)
        (tmp_path / "other").mkdir()
        save(tmp_path / "other" / FILE_NAME, Model.empty(), {})
        with Feedback(tmp_path / "other", tmp_path) as other:
            other.learn(make_mail(51, True), is_spam=True)
        scoring = open_site_model(model, tmp_path, pytest.fail)
        before = score(scoring, 52, False)
        feedback.learn(make_mail(52, False), is_spam=True)
        assert score(scoring, 52, False) > before + 1
        assert scoring.learned.spam == 3


def test_what_root_makes_belongs_to_the_owner_of_the_state_folder(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: set[str] = set()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.add(Path(path).name) if uid == uid_of else None)
    uid_of = tmp_path.stat().st_uid
    with Feedback(model, tmp_path) as feedback:
        feedback.learn(make_mail(1, True), is_spam=True)
        made = {file.name for file in (tmp_path / "bayes").rglob("*")} | {"bayes"}
    # SQLite itself gives these to the owner of the database.
    made -= {"learned.db-wal", "learned.db-shm"}
    folder = SiteFiles.of(tmp_path).tables_folder(load(model))
    assert {name for name in given if not name.startswith(".building")} | {folder.name} == made
