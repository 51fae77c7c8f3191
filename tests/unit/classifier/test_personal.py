"""Models of domains and recipients: whose they are, what they move and how far, and that they go with their mail."""

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from filterproxy.classifier.feedback import FeedbackError, Outcome
from filterproxy.classifier.learner import Examples
from filterproxy.classifier.model import Model
from filterproxy.classifier.model_file import FILE_NAME, save
from filterproxy.classifier.personal import Owners, PersonalModels, total
from filterproxy.classifier.personal_feedback import PersonalFeedback, learned_personally
from filterproxy.classifier.reading import features_of
from filterproxy.classifier.site_files import SiteFiles
from tests.unit.classifier.mail import make_mail

ALICE = "alice@example.org"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, model = tmp_path_factory.mktemp("model"), Model.empty()
    for number in range(60):
        model.learn(features_of(make_mail(number, number % 2 == 0)), number % 2 == 0)
    save(folder / FILE_NAME, model, {})
    return folder


def personal(model: Path, state: Path, *owners: str, maximum: int = 10) -> PersonalFeedback:
    return PersonalFeedback(model, state, owners or (ALICE,), maximum, pytest.fail)


def moved(models: PersonalModels, owner: str, raw: bytes) -> float:
    return total(models.find([owner]), features_of(raw).all_words())


@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        (["Alice@Example.ORG"], ("@example.org", ALICE)),
        (["alice+shop@example.org", "alice@example.org."], ("@example.org", ALICE)),
        (["alice@example.org", "bob@example.org"], ("@example.org",)),
        (["alice@example.org", "alice@example.net"], ()),
        (["+odd@example.org"], ("@example.org", "+odd@example.org")),
        (["root"], ("root",)),
        (["root", "alice@example.org"], ()),
        ([], ()),
    ],
)
def test_whose_models_apply(recipients: list[str], expected: tuple[str, ...]) -> None:
    assert Owners(domains=True, recipients=True).of(recipients) == expected


def test_one_kind_may_be_on_alone() -> None:
    assert Owners(domains=True).of([ALICE]) == ("@example.org",)
    assert Owners(recipients=True, delimiter="").of(["alice+x@example.org"]) == ("alice+x@example.org",)
    assert not Owners()


def test_what_is_learned_counts_for_its_owner_alone_and_at_once(model: Path, tmp_path: Path) -> None:
    models = PersonalModels(SiteFiles.of(tmp_path).folder)
    assert models.find([ALICE]) == []
    with personal(model, tmp_path) as feedback:
        for number in range(100, 110):
            feedback.learn(make_mail(number, number % 2 == 0), is_spam=number % 2 != 0)
            assert models.find([ALICE])[0].examples.spam == (number - 99) // 2
    assert moved(models, ALICE, make_mail(200, True)) < -1
    assert moved(models, ALICE, make_mail(201, False)) > 0.6
    assert models.find(["bob@example.org", "@example.org"]) == []
    models.close()


def test_one_class_alone_moves_little(model: Path, tmp_path: Path) -> None:
    models = PersonalModels(SiteFiles.of(tmp_path).folder)
    with personal(model, tmp_path) as feedback:
        for number in range(101, 141, 2):
            feedback.learn(make_mail(number, False), is_spam=True)
    assert moved(models, ALICE, make_mail(201, False)) == 1.5
    with personal(model, tmp_path) as feedback:
        feedback.learn(make_mail(301, False), is_spam=False)
    assert -3 <= moved(models, ALICE, make_mail(201, False)) <= 3
    models.close()


def test_learned_once_corrected_and_forgotten(model: Path, tmp_path: Path) -> None:
    models, raw = PersonalModels(SiteFiles.of(tmp_path).folder), make_mail(100, True)
    with personal(model, tmp_path) as feedback:
        assert feedback.forget(raw) is Outcome.UNKNOWN
        assert feedback.learn(raw, is_spam=False) is Outcome.LEARNED
        assert feedback.learn(raw, is_spam=False) is Outcome.ALREADY
        assert feedback.learn(raw, is_spam=True) is Outcome.CORRECTED
        assert learned_personally(tmp_path) == {ALICE: Examples(1, 0)}
        assert feedback.forget(raw) is Outcome.FORGOTTEN
    assert learned_personally(tmp_path) == {}
    assert models.find([ALICE]) == []
    models.close()


def test_forgetting_the_latest_restores_the_score(model: Path, tmp_path: Path) -> None:
    models = PersonalModels(SiteFiles.of(tmp_path).folder)
    with personal(model, tmp_path) as feedback:
        for number in range(100, 106):
            feedback.learn(make_mail(number, number % 2 == 0), is_spam=number % 2 != 0)
        before = moved(models, ALICE, make_mail(200, True))
        feedback.learn(make_mail(107, False), is_spam=True)
        assert moved(models, ALICE, make_mail(200, True)) != before
        feedback.forget(make_mail(107, False))
        assert moved(models, ALICE, make_mail(200, True)) == pytest.approx(before, abs=0.01)
    models.close()


def test_a_recipient_learns_on_top_of_the_domain(model: Path, tmp_path: Path) -> None:
    probe = make_mail(200, True)
    with personal(model, tmp_path, "@example.org") as feedback:
        for number in range(100, 120):
            feedback.learn(make_mail(number, number % 2 == 0), is_spam=number % 2 != 0)
    for owners in (("@example.org", ALICE), ("bob@example.org",)):
        with personal(model, tmp_path, *owners) as feedback:
            for number in range(100, 120):
                feedback.learn(make_mail(number, number % 2 == 0), is_spam=number % 2 != 0)
    models = PersonalModels(SiteFiles.of(tmp_path).folder)
    assert abs(moved(models, ALICE, probe)) < abs(moved(models, "bob@example.org", probe))
    models.close()


def test_their_number_is_bounded(model: Path, tmp_path: Path) -> None:
    for owner in (ALICE, "bob@example.org"):
        with personal(model, tmp_path, owner, maximum=2) as feedback:
            feedback.learn(make_mail(100, True), is_spam=True)
    with (
        personal(model, tmp_path, "eve@example.org", maximum=2) as feedback,
        pytest.raises(FeedbackError, match=r"eve@example\.org gets no model: there are 2"),
    ):
        feedback.learn(make_mail(100, True), is_spam=True)
    assert list(learned_personally(tmp_path)) == [ALICE, "bob@example.org"]


def test_a_damaged_file_is_said(model: Path, tmp_path: Path) -> None:
    with personal(model, tmp_path) as feedback:
        feedback.learn(make_mail(100, True), is_spam=True)
    folder = SiteFiles.of(tmp_path).folder
    connection = sqlite3.connect(folder / "personal.db")
    connection.execute("UPDATE models SET version = 1, weights = ?", (b"junk",))
    connection.commit()
    models = PersonalModels(folder)
    with pytest.raises(sqlite3.DatabaseError, match="damaged"):
        models.find([ALICE])
    models.close()
    (folder / "personal.db").write_bytes(b"no database" * 100)
    with pytest.raises(FeedbackError):
        learned_personally(tmp_path)


def _learn_some(model: Path, state: Path, first: int) -> None:
    with personal(model, state) as feedback:
        for number in range(first, first + 8):
            feedback.learn(make_mail(number, number % 2 == 0), number % 2 == 0)


def test_concurrent_learners_lose_nothing(model: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_learn_some, args=(model, tmp_path, first)) for first in (100, 200)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert learned_personally(tmp_path) == {ALICE: Examples(8, 8)}
