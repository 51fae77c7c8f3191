"""`train`, `evaluate`, `learn` and `forget` from the command line: output, files and exit status."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from filterproxy.cli.main import app
from tests.unit.classifier.mail import make_mail, write_corpus


def run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `ham` and `spam` of 80 messages each."""
    root = tmp_path_factory.mktemp("mail")
    for number in range(160):
        folder = root / ("spam" if number % 2 == 0 else "ham")
        folder.mkdir(exist_ok=True)
        (folder / f"{number:05d}").write_bytes(make_mail(number, number % 2 == 0))
    return root


@pytest.fixture(scope="module")
def trained(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "own"
    result = run(
        "train", "--ham", folders / "ham", "--spam", folders / "spam", "--output", output, "--data", "generated"
    )
    assert result.exit_code == 0, result.output
    return output


@pytest.fixture
def config(trained: Path, tmp_path: Path) -> Path:
    file = tmp_path / "filterproxy.yml"
    file.write_text(f"store: sqlite:state/state.db\nchecks:\n  bayes: {{model: {trained}}}\n")
    return file


def test_train_writes_model_card_and_checksums(trained: Path) -> None:
    assert {file.name for file in trained.iterdir()} == {"model.fpm", "card.md", "SHA256SUMS"}
    card = (trained / "card.md").read_text()
    assert "| data | generated |" in card
    assert "| learned | 80 spam, 80 ham |" in card
    assert "(1-ROCA)% | 0.0000" in card


def test_options_take_several_paths(folders: Path, tmp_path: Path) -> None:
    ham, spam = sorted((folders / "ham").iterdir()), sorted((folders / "spam").iterdir())
    result = run("train", "--ham", *ham[:30], "--spam", *spam[:30], "--output", tmp_path / "m")
    assert result.exit_code == 0, result.output
    assert "30 spam and 30 ham" in result.stdout


def test_train_reads_archives(folders: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "ham.tar.gz", "w:gz") as archive:
        archive.add(folders / "ham", "ham")
    result = run("train", "--ham", tmp_path / "ham.tar.gz", "--spam", folders / "spam", "--output", tmp_path / "m")
    assert "80 spam and 80 ham" in result.stdout


def test_train_needs_both_classes(folders: Path, tmp_path: Path) -> None:
    result = run("train", "--ham", folders / "ham", "--output", tmp_path / "m")
    assert result.exit_code == 2
    assert "0 spam and 80 ham messages could be read (a model needs both)" in result.stderr
    assert not (tmp_path / "m").exists()


def test_train_needs_one_kind_of_source(folders: Path, tmp_path: Path) -> None:
    assert run("train", "--output", tmp_path / "m").exit_code == 2
    assert run("train", "--ham", folders, "--index", folders / "index", "--output", tmp_path / "m").exit_code == 2


def test_train_keeps_a_better_model(trained: Path, folders: Path, tmp_path: Path) -> None:
    before = (trained / "model.fpm").read_bytes()
    files = sorted(folders.glob("*/*"), key=lambda file: file.name)
    lines = [f"{'spam' if number % 3 else 'ham'} {file}\n" for number, file in enumerate(files)]
    (tmp_path / "index").write_text("".join(lines))
    arguments = ("train", "--index", tmp_path / "index", "--output", trained)
    result = run(*arguments)
    assert result.exit_code == 1
    assert "stays as it is: the new model is worse" in result.stderr
    assert (trained / "model.fpm").read_bytes() == before
    try:
        assert run(*arguments, "--force").exit_code == 0
        assert (trained / "model.fpm").read_bytes() != before
    finally:
        (trained / "model.fpm").write_bytes(before)


def test_unreadable_messages_are_told_and_counted(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "ham").mkdir()
    (tmp_path / "ham" / "gone").symlink_to(tmp_path / "nowhere")
    result = run(
        "train", "--ham", folders / "ham", tmp_path / "ham", "--spam", folders / "spam", "--output", tmp_path / "m"
    )
    assert result.exit_code == 0
    assert f"{tmp_path}/ham/gone: no such file or directory" in result.stderr
    assert "1 could not be read" in result.stderr


def test_evaluate_writes_every_line_and_prints_measures(tmp_path: Path) -> None:
    index = write_corpus(tmp_path / "corpus", 80)
    (tmp_path / "corpus" / "00010").unlink()
    result = run("evaluate", "--index", index, "--results", tmp_path / "results", "--json")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in (tmp_path / "results").read_text().splitlines()]
    assert [(path, judge) for path, judge, _, _ in lines] == [
        (f"{number:05d}", "spam" if number % 2 == 0 else "ham") for number in range(80)
    ]
    assert lines[10][2:] == ["unsure", "0"]
    measures = json.loads(result.stdout)
    assert (measures["spam"], measures["ham"], measures["unreadable"]) == (39, 40, 1)
    assert measures["roca"] < 5


def test_evaluate_from_a_model(trained: Path, tmp_path: Path) -> None:
    index = write_corpus(tmp_path / "corpus", 20, seed=7)
    result = run("evaluate", "--index", index, "--model", trained, "--train-first", 0)
    assert result.exit_code == 0, result.output
    assert "(1-ROCA)%" in result.stdout
    assert "0.0000" in result.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [("spam a\nmaybe b\n", "index:2: this is no line of an index"), ("spam\n", "index:1: this is no line of an index")],
)
def test_evaluate_refuses_a_wrong_index(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "index").write_text(text)
    result = run("evaluate", "--index", tmp_path / "index")
    assert result.exit_code == 2
    assert message in result.stderr


def test_evaluate_refuses_wrong_arguments(tmp_path: Path) -> None:
    assert run("evaluate", "--index", tmp_path / "none").exit_code == 2
    index = write_corpus(tmp_path / "corpus", 2)
    assert run("evaluate", "--index", index, "--protocol", "random").exit_code == 2
    assert run("evaluate", "--index", index, "--model", tmp_path / "none").exit_code == 2
    assert run("evaluate", "--index", index, "--results", tmp_path / "no" / "results").exit_code == 2


def test_learn_changes_what_scan_says(config: Path, tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(make_mail(900, is_spam=False))

    def symbol() -> str:
        result = run("scan", "--json", "--offline", "-c", config, tmp_path / "mail")
        return str(json.loads(result.stdout)["symbols"][0]["name"])

    assert symbol() == "BAYES_HAM"
    result = run("learn", "spam", "-c", config, tmp_path / "mail")
    assert (result.exit_code, result.stdout) == (0, "1 learned\n")
    assert symbol() != "BAYES_HAM"
    assert run("learn", "spam", "-c", config, tmp_path / "mail").stdout == "1 already learned\n"
    assert run("learn", "ham", "-c", config, tmp_path / "mail").stdout == "1 corrected\n"
    assert run("forget", "-c", config, tmp_path / "mail").stdout == "1 forgotten\n"
    assert symbol() == "BAYES_HAM"
    result = run("forget", "-c", config, tmp_path / "mail")
    assert (result.exit_code, result.stdout) == (1, "1 never learned\n")


def test_learn_from_standard_input(config: Path) -> None:
    result = run("learn", "ham", "-c", config, "-", stdin=make_mail(901, is_spam=False))
    assert (result.exit_code, result.stdout) == (0, "1 learned\n")


def test_learn_says_what_it_could_not_read(config: Path, tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(make_mail(902, is_spam=True))
    result = run("learn", "spam", "-c", config, tmp_path / "none", tmp_path / "mail")
    assert (result.exit_code, result.stdout) == (75, "1 learned\n")
    assert f"{tmp_path}/none: no such file or directory" in result.stderr


def test_learn_takes_two_classes_only(config: Path, tmp_path: Path) -> None:
    assert run("learn", "maybe", "-c", config, tmp_path).exit_code == 2


def test_learn_without_a_usable_state_folder(config: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    (tmp_path / "mail").write_bytes(make_mail(903, is_spam=True))
    result = run("learn", "spam", "-c", config, tmp_path / "mail")
    assert result.exit_code == 75
    assert "cannot write what was learned" in result.stderr


def test_evaluate_writes_a_report(tmp_path: Path) -> None:
    index = write_corpus(tmp_path / "corpus", 40)
    result = run("evaluate", "--index", index, "--report", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert run("evaluate", "--index", index, "--report", tmp_path / "no" / "report.html").exit_code == 2


def test_evaluate_compares_with_scikit_learn(tmp_path: Path) -> None:
    index = write_corpus(tmp_path / "corpus", 20)
    result = run("evaluate", "--index", index, "--classifier", "complement-nb", "--report", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    assert "<p>None.</p>" in (tmp_path / "report.html").read_text()
    assert run("evaluate", "--index", index, "--classifier", "oracle").exit_code == 2
    assert run("evaluate", "--index", index, "--classifier", "sgd", "--model", tmp_path).exit_code == 2


def test_models_are_listed_shown_chosen_and_taken_back(config: Path, trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "models" / "other"
    other.mkdir(parents=True)
    (other / "model.fpm").write_bytes((trained / "model.fpm").read_bytes())
    (tmp_path / "models" / "broken").mkdir()
    (tmp_path / "models" / "broken" / "model.fpm").write_bytes(b"junk")
    (tmp_path / "mail").write_bytes(make_mail(910, is_spam=True))
    run("learn", "spam", "-c", config, tmp_path / "mail")

    listed = run("models", "list", "-c", config).stdout.splitlines()
    assert any(line.startswith("* own ") for line in listed)
    assert any("broken" in line and "this is no model file" in line for line in listed)
    assert any(line.startswith("  default ") for line in listed)

    assert run("models", "use", "broken", "-c", config).exit_code == 2
    assert run("models", "use", "nothing", "-c", config).exit_code == 2
    assert run("models", "use", "other", "-c", config).stdout == f"using {other}\n"
    shown = run("models", "show", "-c", config).stdout
    assert f"model          {other}" in shown
    assert "learned here   1 spam, 0 ham" in shown
    assert "would help     99 more spam and 100 more ham, for an evidence of 0.9" in shown
    assert run("learn", "spam", "-c", config, tmp_path / "mail").stdout == "1 already learned\n"

    assert run("models", "rollback", "-c", config).stdout == f"using {trained}\n"
    result = run("models", "rollback", "-c", config)
    assert (result.exit_code, result.stdout) == (1, "")


def test_learning_for_a_recipient(config: Path, tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(make_mail(920, is_spam=True))
    arguments = ("learn", "ham", "-c", config, "--recipient", "Alice+x@example.org", tmp_path / "mail")
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert "checks.bayes.per_recipient: such models are not enabled" in refused.stderr
    config.write_text(config.read_text().replace("bayes: {", "bayes: {per_recipient: true, per_domain: true, "))
    assert run(*arguments).stdout == "1 learned\n"
    assert run("learn", "ham", "-c", config, "--domain", "example.org", tmp_path / "mail").stdout == "1 learned\n"
    shown = run("models", "show", "-c", config).stdout
    assert "learned here   0 spam, 0 ham" in shown
    assert "alice@example.org: 0 spam, 1 ham" in shown
    assert "@example.org: 0 spam, 1 ham" in shown
    result = run("scan", "--json", "--offline", "-c", config, "--rcpt", "alice@example.org", tmp_path / "mail")
    options = json.loads(result.stdout)["symbols"][0]["options"]
    assert any(option.startswith("for alice@example.org ") for option in options)
    assert run("forget", "-c", config, "--recipient", "alice@example.org", tmp_path / "mail").stdout == "1 forgotten\n"
    assert run("learn", "ham", "-c", config, "--recipient", "alice", tmp_path / "mail").exit_code == 2
    both = ("--recipient", "a@b.example", "--domain", "b.example")
    assert run("learn", "ham", "-c", config, *both, tmp_path / "mail").exit_code == 2


@pytest.fixture
def awkward(tmp_path: Path) -> Path:
    """A folder with 20 messages of each class and, among the ham, 7 more that are awkward to read."""
    folder = tmp_path / "awkward"
    for name in ("ham", "spam"):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            (folder / name / f"{number:02d}").write_bytes(make_mail(number, name == "spam", seed=5))
    header, parts = b"From: a@example.org\nContent-Type: multipart/mixed; boundary=b0\n\n", []
    for level in range(10_000):
        parts.append(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (level, level + 1))
    awkward = {
        b"empty": b"",
        b"binary": bytes(range(256)) * 400,
        b"deep": header + b"".join(parts) + b"--b10000\n\nhi\n",
        b"mixed": b"From: a@b.example\r\nSubject: x\nTo: c@d.example\r\r\n\none\rtwo\r\nthree\n",
        b"caf\xe9": b"Subject: x\n\nmeeting\n",
        b"line\nbreak": b"Subject: x\n\nagenda\n",
        b"large": b"Subject: x\n\n" + b"meeting agenda review\n" * 400_000,
    }
    for name, raw in awkward.items():
        with open(os.path.join(os.fsencode(folder / "ham"), name), "wb") as file:
            file.write(raw)
    os.mkfifo(folder / "ham" / "fifo")
    (folder / "ham" / "gone").symlink_to("nowhere")
    return folder


def complaints(result: Result) -> list[str]:
    assert "Traceback" not in result.output
    return [line for line in result.stderr.splitlines() if line.startswith("filterproxy: ")]


def test_awkward_mail_is_counted_right_everywhere(config: Path, awkward: Path, tmp_path: Path) -> None:
    expected = ["fifo: not a regular file", "gone: no such file or directory", "2 could not be read"]
    folders = ("--ham", awkward / "ham", "--spam", awkward / "spam")
    result = run("train", *folders, "--output", tmp_path / "m", "--jobs", 1)
    assert result.stdout.startswith(f"{tmp_path}/m: a model of 20 spam and 27 ham messages\n")
    assert [line.endswith(end) for line, end in zip(complaints(result), expected, strict=True)] == [True] * 3
    result = run("learn", "ham", "-c", config, awkward / "ham")
    assert (result.exit_code, result.stdout) == (75, "27 learned\n")
    assert len(complaints(result)) == 3
    assert run("forget", "-c", config, awkward / "ham").stdout == "27 forgotten\n"


def test_an_index_of_awkward_lines_gives_one_result_each(awkward: Path, tmp_path: Path) -> None:
    names = [b"ham/00", b"ham/missing", b"ham/empty", b"ham/deep", b"ham/fifo", b"ham", b"ham/caf\xe9", b"ham/a b"]
    (awkward / "ham" / "a b").write_bytes(make_mail(50, False))
    lines = [b"spam spam/00", *(b"ham " + name for name in names)]
    (awkward / "index").write_bytes(b"\r\n".join([*lines, b"", b""]))
    result = run("evaluate", "--index", awkward / "index", "--results", tmp_path / "results")
    assert result.exit_code == 0
    rows = [line.rsplit(b" ", 3) for line in (tmp_path / "results").read_bytes().splitlines()]
    assert [judge + b" " + path for path, judge, _, _ in rows] == lines
    assert [number for number, row in enumerate(rows) if row[2:] == [b"unsure", b"0"]] == [2, 5, 6]
    assert [line.rpartition(": ")[2] for line in complaints(result)] == [
        "no such file or directory", "not a regular file", "not a regular file", "3 could not be read",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["multinomial-nb", "complement-nb", "sgd"])
def test_a_classifier_of_scikit_learn_is_trained_chosen_and_scans(
    name: str, config: Path, folders: Path, tmp_path: Path
) -> None:
    output = tmp_path / "models" / name
    arguments = ("train", "--ham", folders / "ham", "--spam", folders / "spam", "--output", output)
    result = run(*arguments, "--classifier", name)
    assert result.exit_code == 0, result.output
    assert f"{name} of scikit-learn" in (output / "card.md").read_text()
    assert run("models", "use", name, "-c", config).exit_code == 0
    assert f"classifier     {name} of scikit-learn: learns nothing here" in run("models", "show", "-c", config).stdout
    assert any(line.startswith(f"* {name}") for line in run("models", "list", "-c", config).stdout.splitlines())
    for is_spam in (True, False):
        (tmp_path / "mail").write_bytes(make_mail(930, is_spam))
        result = run("scan", "--json", "--offline", "-c", config, tmp_path / "mail")
        (symbol,) = json.loads(result.stdout)["symbols"]
        assert symbol["name"] == ("BAYES_SPAM" if is_spam else "BAYES_HAM")
        assert len(symbol["options"]) > 1
    result = run("learn", "ham", "-c", config, tmp_path / "mail")
    assert result.exit_code == 2
    assert "cannot learn on" in result.stderr
    assert run(*arguments, "--classifier", "oracle").exit_code == 2
