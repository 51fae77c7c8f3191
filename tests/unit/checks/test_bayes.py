"""The bayes check: which symbol, with how much weight and which reasons, and what a bad model does."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from filterproxy.checks.bayes import BayesCheck, BayesConfig
from filterproxy.classifier.features import extract
from filterproxy.classifier.feedback import Feedback, learned_automatically
from filterproxy.classifier.learner import Examples
from filterproxy.classifier.model import Model
from filterproxy.classifier.model_file import FILE_NAME, save
from filterproxy.classifier.personal_feedback import PersonalFeedback
from filterproxy.classifier.selection import Selection
from filterproxy.classifier.site_files import SiteFiles
from filterproxy.core.action import Action
from filterproxy.core.check import Evidence
from filterproxy.core.errors import CheckError, ConfigError
from filterproxy.core.scan_result import Autolearn, ScanResult
from filterproxy.core.symbol import ScoredSymbol, SymbolResult
from filterproxy.message import Message
from filterproxy.testing import (
    FakeClock,
    RecordingLog,
    assert_check_contract,
    make_context,
    make_site,
    make_transaction,
)
from tests.unit.classifier.mail import SPAM_WORDS, make_mail

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of this site's mail (`own`), the same as another site's (`foreign`), and an empty one."""
    folder, model = tmp_path_factory.mktemp("models"), Model.empty()
    for name in ("own", "foreign", "empty"):
        (folder / name).mkdir()
    save(folder / "empty" / FILE_NAME, model, {})
    for number in range(100):
        model.learn(extract(Message(make_mail(number, number % 2 == 0))), number % 2 == 0)
    save(folder / "own" / FILE_NAME, model, {})
    save(folder / "foreign" / FILE_NAME, model, {}, trust=0.02)
    return folder


def make_check(model: Path | str, state: Path, **config: object) -> BayesCheck:
    context = make_context(site=make_site(base_dir=ROOT, state_dir=state))
    return BayesCheck(BayesConfig(model=str(model), **config), context)


async def inspect(check: BayesCheck, raw: bytes) -> SymbolResult:
    results = await check.inspect(make_transaction(raw))
    assert len(results) == 1
    return results[0]


async def test_spam_and_ham(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "own", tmp_path)
    await check.start()
    spam, ham = await inspect(check, make_mail(200, True)), await inspect(check, make_mail(201, False))
    assert (spam.name, ham.name) == ("BAYES_SPAM", "BAYES_HAM")
    assert 0.5 < spam.weight < 1
    assert 0.5 < ham.weight < 1
    assert float(spam.options[0].removeprefix("p=")) > 0.9


async def test_the_strongest_words_are_shown_with_their_weight(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "own", tmp_path, reasons=4)
    await check.start()
    options = (await inspect(check, make_mail(200, True))).options[1:]
    assert any("bulk" in option or any(word in option for word in SPAM_WORDS) for option in options)
    weights = [float(option.rpartition(" ")[2]) for option in options]
    assert [weight > 0 for weight in weights[:4]] == [True] * 4
    assert weights[:4] == sorted(weights[:4], reverse=True)


async def test_another_sites_model_weighs_less(models: Path, tmp_path: Path) -> None:
    own, foreign = make_check(models / "own", tmp_path / "a"), make_check(models / "foreign", tmp_path / "b")
    for check in (own, foreign):
        await check.start()
    weights = [(await inspect(check, make_mail(200, True))).weight for check in (own, foreign)]
    assert weights[1] < 0.2 * weights[0]


async def test_an_empty_model_is_unsure(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "empty", tmp_path)
    await check.start()
    assert (await inspect(check, make_mail(200, True))).name == "BAYES_UNSURE"


async def test_what_another_process_learns_counts_at_once(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "empty", tmp_path)
    await check.start()
    with Feedback(models / "empty", tmp_path) as feedback:
        for number in range(30):
            feedback.learn(make_mail(number, number % 2 == 0), number % 2 == 0)
    assert (await inspect(check, make_mail(200, True))).name == "BAYES_SPAM"
    assert (await inspect(check, make_mail(201, False))).name == "BAYES_HAM"


async def test_a_large_message_is_scored_in_the_pool(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "own", tmp_path, pool_size=100)
    await check.start()
    assert (await inspect(check, make_mail(200, True))).name == "BAYES_SPAM"


async def test_a_missing_model_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        await make_check("models/none", tmp_path).start()
    assert caught.value.key == "checks.bayes.model"
    assert "models/none/model.fpm" in str(caught.value)


async def test_a_corrupt_model_stops_the_start(models: Path, tmp_path: Path) -> None:
    content = bytearray((models / "own" / FILE_NAME).read_bytes())
    content[1000] ^= 255
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigError, match="the checksum does not match"):
        await make_check(tmp_path, tmp_path).start()


async def test_a_model_that_goes_away_later_is_still_used(models: Path, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes((models / "own" / FILE_NAME).read_bytes())
    check = make_check(tmp_path, tmp_path)
    await check.start()
    (tmp_path / FILE_NAME).unlink()
    assert (await inspect(check, make_mail(200, True))).name == "BAYES_SPAM"


async def test_a_closed_check_fails_and_says_so(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "own", tmp_path)
    await check.start()
    await check.close()
    with pytest.raises(CheckError, match="not loaded"):
        await inspect(check, b"")


async def test_state_that_cannot_be_used_is_told(models: Path, tmp_path: Path) -> None:
    (tmp_path / "bayes").write_text("in the way")
    check = make_check(models / "own", tmp_path)
    await check.start()
    assert (await inspect(check, make_mail(200, True))).name == "BAYES_SPAM"
    log = check.context.log
    assert isinstance(log, RecordingLog)
    assert "without what was learned here" in log.lines[0]


def test_contract(tmp_path: Path) -> None:
    assert_check_contract(make_check("models/default", tmp_path))


async def test_the_shipped_model_is_modest(tmp_path: Path) -> None:
    check = make_check("models/default", tmp_path)
    await check.start()
    spam = await inspect(
        check,
        b"From: <winner@lottery.example>\nSubject: FREE MONEY!!! Click here\n\n"
        b"Dear friend, you have won $1,000,000 guaranteed! Click here to order now, 100% free, no obligation. "
        b"To be removed from our mailing list reply with remove in the subject.\n",
    )
    assert spam.name == "BAYES_SPAM"
    assert 0.3 < spam.weight < 0.7


def test_scanning_imports_no_scikit_learn() -> None:
    code = (
        "import sys, filterproxy.checks.bayes, filterproxy.classifier.feedback, filterproxy.cli.main;"
        "import filterproxy.app.compose;"
        "sys.exit(any(name.split('.')[0] in ('sklearn', 'scipy') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_it_follows_the_choice_of_another_model(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "empty", tmp_path)
    await check.start()
    clock, selection = check.context.clock, Selection(models / "empty", tmp_path)
    assert isinstance(clock, FakeClock)
    selection.use(models / "own")
    assert (await inspect(check, make_mail(200, True))).name == "BAYES_UNSURE"
    clock.advance(1)
    assert (await inspect(check, make_mail(200, True))).name == "BAYES_SPAM"
    selection.rollback()
    clock.advance(1)
    assert (await inspect(check, make_mail(200, True))).name == "BAYES_UNSURE"


async def test_it_keeps_its_model_when_the_chosen_one_is_bad(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "own", tmp_path)
    await check.start()
    clock, log = check.context.clock, check.context.log
    assert isinstance(clock, FakeClock)
    assert isinstance(log, RecordingLog)
    Selection(models / "own", tmp_path).use(tmp_path / "none")
    for _ in range(3):
        clock.advance(1)
        assert (await inspect(check, make_mail(200, True))).name == "BAYES_SPAM"
    assert len(log.lines) == 1
    assert "the model stays as it is" in log.lines[0]


AUTOLEARN = {"autolearn": {"enabled": True, "spam_score": 5, "spam_symbols": 1, "ham_symbols": 1, "min_checks": 1}}


def result_of(score: float, **more: object) -> tuple[ScanResult, list[Evidence]]:
    symbol = ScoredSymbol("X", score, (), "")
    result = ScanResult(Action.NO_ACTION, score, 6, 15, symbols=(symbol,), **more)
    return result, [Evidence(symbol, "rules")]


async def test_it_learns_by_itself_what_others_are_sure_about(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "empty", tmp_path, **AUTOLEARN)
    await check.start()
    for number in range(30):
        transaction = make_transaction(make_mail(number, number % 2 == 0))
        chosen = check.choose_class(transaction, *result_of(8 if number % 2 == 0 else -1))
        assert chosen is (Autolearn.SPAM if number % 2 == 0 else Autolearn.HAM)
        check.learn_later(transaction, chosen)
    await check.close()
    await check.start()
    assert (await inspect(check, make_mail(200, True))).name == "BAYES_SPAM"
    assert learned_automatically(tmp_path) == Examples(15, 15)
    await check.close()


@pytest.mark.parametrize(
    ("sender", "more"),
    [({"user": "alice"}, {}), ({"local": True}, {}), ({}, {"forced_by": "DENY"}), ({}, {"failed_by": "spf"})],
)
async def test_it_never_learns_own_users_mail_nor_forced_actions(
    models: Path, tmp_path: Path, sender: dict[str, object], more: dict[str, object]
) -> None:
    check = make_check(models / "own", tmp_path, **AUTOLEARN)
    await check.start()
    assert check.choose_class(make_transaction(b"", **sender), *result_of(8, **more)) is Autolearn.NO


async def test_a_full_queue_is_said(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "own", tmp_path, autolearn={**AUTOLEARN["autolearn"], "max_waiting": 1})
    await check.start()
    transaction = make_transaction(make_mail(200, True))
    check.learn_later(transaction, Autolearn.SPAM)
    assert check.choose_class(transaction, *result_of(8)) is Autolearn.FAILED
    await check.close()
    assert check.choose_class(transaction, *result_of(8)) is Autolearn.NO


async def test_what_cannot_be_learned_is_told_once(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "own", tmp_path, **AUTOLEARN)
    await check.start()
    (SiteFiles.of(tmp_path).folder / "learned-body.f4").write_bytes(b"short")
    for number in range(3):
        check.learn_later(make_transaction(make_mail(number, True)), Autolearn.SPAM)
    await check.close()
    log = check.context.log
    assert isinstance(log, RecordingLog)
    assert len(log.lines) == 1
    assert "a message could not be learned: " in log.lines[0]


async def test_it_follows_files_that_were_removed(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "own", tmp_path)
    await check.start()
    shutil.rmtree(tmp_path / "bayes")
    with Feedback(models / "own", tmp_path) as feedback:
        feedback.learn(make_mail(200, True), is_spam=False)
    clock = check.context.clock
    assert isinstance(clock, FakeClock)
    clock.advance(1)
    assert (await inspect(check, make_mail(200, True))).name != "BAYES_SPAM"


async def test_personal_models_count_when_all_recipients_share_one(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "own", tmp_path, per_recipient=True, per_domain=True)
    await check.start()
    owners = ("@example.org", "alice@example.org")
    with PersonalFeedback(models / "own", tmp_path, owners, 10, pytest.fail) as feedback:
        for number in range(300, 360):
            feedback.learn(make_mail(number, number % 2 == 0), number % 2 != 0)

    async def symbol(*rcpt_to: str) -> SymbolResult:
        return (await check.inspect(make_transaction(make_mail(200, True), rcpt_to=list(rcpt_to))))[0]

    mine = await symbol("Alice+news@example.org")
    assert mine.name != "BAYES_SPAM"
    assert any(option.startswith("for alice@example.org -") for option in mine.options)
    assert (await symbol("alice@example.org", "bob@example.org")).name == "BAYES_SPAM"
    assert (await symbol("bob@example.org")).name == "BAYES_SPAM"
    assert (await symbol()).name == "BAYES_SPAM"
    await check.close()


async def test_personal_models_are_not_touched_when_they_are_off(models: Path, tmp_path: Path) -> None:
    check = make_check(models / "own", tmp_path)
    await check.start()
    folder = SiteFiles.of(tmp_path).folder
    (folder / "personal.db").write_bytes(b"no database" * 100)
    transaction = make_transaction(make_mail(200, True), rcpt_to=["alice@example.org"])
    assert (await check.inspect(transaction))[0].name == "BAYES_SPAM"
    on = make_check(models / "own", tmp_path, per_recipient=True)
    await on.start()
    assert (await on.inspect(transaction))[0].name == "BAYES_SPAM"
    log = on.context.log
    assert isinstance(log, RecordingLog)
    assert "the personal models cannot be read" in log.lines[0]
    await on.close()
