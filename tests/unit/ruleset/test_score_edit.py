"""Scores written into YAML: the numbers change and nothing else does, whatever the file looks like."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from filterproxy.config.paths import installed_data
from filterproxy.config.yaml_loader import load_yaml
from filterproxy.core.errors import ConfigError
from filterproxy.ruleset.score_edit import edit_config, edit_rules, formatted, where_written, write_all

LONG = "a very long expression that no dumper should wrap, whatever it thinks of 80 columns" * 2
RULES = """\
# Über Dinge   \t

# another
rules:
  - name: "A"      # quoted
    score:   2.50   # a comment, 2.50 as well
    description: |
      score: 2.50
        kept   \n
    match: {subject: {regex: 'LONG.{1,9}'}}
  - {name: B, score: -1, match: {subject: {contains: [ x,y ,  "z"]}}, description: two
      lines}
  -   name: 'C'
      match:
          body: &anchor {regex: "\\x41"}
  - {name: D, match: {body: *anchor}}
  - score: 3
    name: E
    match: {subject: {contains: "😀 é"}}
composites:
- {score: .5, name: F, all: [A, B]}
- name: G
  all:
  - A
  - C
lists:
  - {name: H, file: allow.txt, of: client}
""".replace("LONG", LONG)
SCORE = re.compile(r"^[^#]*\bscore:")
NEW = {"A": 3.0, "B": -1.5, "C": 1.2, "D": 0.4, "E": 2.0, "F": 0.25, "G": 2.0, "H": -0.5}
EXPECTED = {
    "score:   2.50   # a": "score:   3   # a",
    "score: -1,": "score: -1.5,",
    "name: 'C'\n      match": "name: 'C'\n      score: 1.2\n      match",
    "{name: D, match": "{name: D, score: 0.4, match",
    "- score: 3\n": "- score: 2\n",
    "{score: .5,": "{score: 0.25,",
    "name: G\n  all:": "name: G\n  score: 2\n  all:",
    "{name: H, file": "{name: H, score: -0.5, file",
}


def expected(text: str) -> str:
    for old, new in EXPECTED.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n# the end", "\n...\n"])
@pytest.mark.parametrize("begin", ["", "---\n", "\ufeff"])
def test_only_the_numbers_change(tmp_path, line_end, end, begin):
    path = tmp_path / "rules.yml"
    before = begin + RULES.rstrip("\n") + end
    path.write_bytes(before.replace("\n", line_end).encode())
    edit_rules(path, NEW).write()
    assert path.read_bytes().decode() == (begin + expected(RULES).rstrip("\n") + end).replace("\n", line_end)


def test_another_reader_agrees(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(RULES)
    before = YAML(typ="safe").load(RULES)
    edit_rules(path, NEW).write()
    after = YAML(typ="safe").load(path.read_text())
    for section in ("rules", "composites", "lists"):
        for old, new in zip(before[section], after[section], strict=True):
            assert new == old | {"score": NEW[old["name"]]}


def test_every_shipped_file_keeps_its_bytes(tmp_path):
    files = sorted((installed_data() / "rules").glob("*.yml"))
    for file in files:
        path = tmp_path / file.name
        path.write_bytes(file.read_bytes())
        names = where_written([path])
        edit_rules(path, dict.fromkeys(names, 0.123)).write()
        old, new = file.read_text().splitlines(), path.read_text().splitlines()
        unchanged = [line for line in new if "score: 0.123" not in line]
        assert unchanged == [line for line in old if not SCORE.search(line)]


def test_nothing_new_is_nothing_changed(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(RULES)
    edit_rules(path, {}).write()
    assert path.read_text() == RULES


def test_a_quoted_score_stays_quoted(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text("rules: [{name: A, score: '2.5', match: {size: 1}}]")
    assert edit_rules(path, {"A": 1.0}).after == "rules: [{name: A, score: '1', match: {size: 1}}]"


def test_an_alias_gives_way_and_its_anchor_does_not(tmp_path):
    path = tmp_path / "rules.yml"
    text = "rules:\n- {name: A, score: &s 2, match: {size: 1}}\n- {name: B, score: *s, match: {size: 1}}\n"
    path.write_text(text)
    assert edit_rules(path, {"B": 3.0}).after == text.replace("*s", "3")
    with pytest.raises(ConfigError, match="shared with something else by an anchor"):
        edit_rules(path, {"A": 3.0})
    assert edit_rules(path, {"A": 3.0, "B": 1.0}).after == text.replace("&s 2", "&s 3").replace("*s", "1")


def test_an_anchor_that_nobody_uses_does_not_matter(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text("rules:\n- name: A\n  score: &s 2 # x\n  match: {size: 1}\n")
    assert edit_rules(path, {"A": 3.0}).after == "rules:\n- name: A\n  score: &s 3 # x\n  match: {size: 1}\n"


CONFIGS = [
    ("", "scores:\n  X: 1\n  Y: -2\n"),
    ("# nothing\n", "# nothing\nscores:\n  X: 1\n  Y: -2\n"),
    ("hostname: a  # x\n", "hostname: a  # x\nscores:\n  X: 1\n  Y: -2\n"),
    ("hostname: a", "scores:\n  X: 1\n  Y: -2\nhostname: a"),
    ("subject: |-\n  spam", "scores:\n  X: 1\n  Y: -2\nsubject: |-\n  spam"),
    ("a: 1\r\n", "a: 1\r\nscores:\r\n  X: 1\r\n  Y: -2\r\n"),
    ("{hostname: a}\n", "{scores: {X: 1, Y: -2}, hostname: a}\n"),
    ("{}\n", "{scores: {X: 1, Y: -2}}\n"),
    ("scores:\nb: 1\n", "scores: {X: 1, Y: -2}\nb: 1\n"),
    ("scores: {}  # x\nb: 1\n", "scores: {X: 1, Y: -2}  # x\nb: 1\n"),
    ("scores: {X: 7}\n", "scores: {Y: -2, X: 1}\n"),
    ("scores:\n  # why\n  X: 7.5   # b\n  Z: 1\n", "scores:\n  # why\n  Y: -2\n  X: 1   # b\n  Z: 1\n"),
    ("scores:\n    'X': 7\n    Y: 2", "scores:\n    'X': 1\n    Y: -2"),
    ("---\na: 1\n...\n", "---\na: 1\nscores:\n  X: 1\n  Y: -2\n...\n"),
]


@pytest.mark.parametrize(("before", "after"), CONFIGS)
def test_scores_of_the_configuration(tmp_path, before, after):
    path = tmp_path / "filterproxy.yml"
    path.write_bytes(before.encode())
    edit_config(path, {"X": 1.0, "Y": -2.0}).write()
    assert path.read_bytes().decode() == after


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640, 0o664])
def test_the_mode_stays_and_nothing_is_left_behind(tmp_path, mode):
    path = tmp_path / "filterproxy.yml"
    path.write_text("scores: {X: 2}\n")
    path.chmod(mode)
    assert [edit.path for edit in write_all([edit_config(path, {"X": 1.0})])] == [path]
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert os.listdir(tmp_path) == ["filterproxy.yml"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.yml").write_text("scores: {X: 2}\n")
    link = tmp_path / "filterproxy.yml"
    link.symlink_to("real.yml")
    edit_config(link, {"X": 1.0}).write()
    assert link.is_symlink()
    assert (tmp_path / "real.yml").read_text() == "scores: {X: 1}\n"


def test_a_read_only_file_is_refused(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(RULES)
    path.chmod(0o444)
    with pytest.raises(ConfigError) as caught:
        edit_rules(path, NEW)
    assert str(caught.value) == f"{path}: the file is read-only (chmod u+w, or --write config)"


def test_a_file_that_changed_in_the_meantime_is_left_alone(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(RULES)
    edit = edit_rules(path, NEW)
    path.write_text(RULES + "# mine\n")
    with pytest.raises(ConfigError, match="changed in the meantime"):
        edit.write()
    assert path.read_text() == RULES + "# mine\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"rules: [", "not YAML"),
        (b"rules: [{name: A, score: \xff}]", "not YAML"),
        (b"rules: [{name: B, match: {size: 1}}]", "there is no rule A any more"),
    ],
)
def test_what_cannot_be_edited(tmp_path, content, reason):
    path = tmp_path / "rules.yml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        edit_rules(path, {"A": 1.0})


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        edit_rules(tmp_path / "none.yml", {"A": 1.0})


def test_the_diff_shows_the_lines(tmp_path):
    path = tmp_path / "filterproxy.yml"
    path.write_text("scores:\n  X: 2\n")
    assert (
        edit_config(path, {"X": 1.5}).diff()
        == f"--- {path}\n+++ {path}\n@@ -1,2 +1,2 @@\n scores:\n-  X: 2\n+  X: 1.5\n"
    )


@pytest.mark.parametrize(
    ("score", "text"), [(2.0, "2"), (-0.5, "-0.5"), (0.0, "0"), (-0.0, "0"), (1.25, "1.25"), (0.1 + 0.2, "0.3")]
)
def test_numbers_as_people_write_them(score, text):
    assert formatted(score) == text
    assert load_yaml(text, "x").data == pytest.approx(score)


def test_where_rules_are_written(tmp_path: Path):
    (tmp_path / "a.yml").write_text("rules: [{name: A, match: {size: 1}}]")
    (tmp_path / "b.yml").write_text("composites: [{name: B, all: [A]}]")
    (tmp_path / "c.yml").write_text("")
    files = sorted(tmp_path.glob("*.yml"))
    assert where_written(files) == {"A": tmp_path / "a.yml", "B": tmp_path / "b.yml"}
