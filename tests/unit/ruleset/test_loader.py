"""Loading: every wrong file in tests/bad_configs/rules is explained; files, globs and lists are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from filterproxy.config.paths import installed_data
from filterproxy.core.action import Action
from filterproxy.core.errors import ConfigError, ConfigErrors
from filterproxy.ruleset import loader
from filterproxy.ruleset.schema import json_schema
from tests.unit.ruleset.loading import load_text

FOLDER = Path(__file__).parents[2] / "bad_configs" / "rules"
FILES = sorted(FOLDER.glob("*.yml"))


def test_there_are_files_and_each_has_its_expected_lines():
    assert len(FILES) >= 25
    assert {path.stem for path in FILES} == {path.stem for path in FOLDER.glob("*.expected")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bad_file_is_explained(path: Path):
    with pytest.raises(ConfigErrors) as caught:
        loader.load([path], FOLDER)
    lines = [str(error).replace(f"{FOLDER}/", "") for error in caught.value.errors]
    assert lines == path.with_suffix(".expected").read_text().splitlines()


def test_the_errors_of_all_files_are_told_at_once(tmp_path):
    with pytest.raises(ConfigErrors) as caught:
        loader.load([FOLDER / "unknown_key.yml", FOLDER / "not_yaml.yml", FOLDER / "bad_action.yml"], tmp_path)
    assert len(caught.value.errors) == 3


def test_a_name_is_taken_in_all_files(tmp_path):
    (tmp_path / "a.yml").write_text("rules: [{name: X, match: {body: {contains: a}}}]")
    (tmp_path / "b.yml").write_text("rules: [{name: X, match: {body: {contains: a}}}]")
    with pytest.raises(ConfigErrors, match=r"b\.yml:1:16: rules\[0\]\.name: X exists already: .*a\.yml:1"):
        loader.load([tmp_path / "a.yml", tmp_path / "b.yml"], tmp_path)


def test_what_is_declared(tmp_path):
    ruleset = load_text(
        tmp_path,
        """
        rules:
          - {name: A, score: 2.5, description: About a, group: phishing, action: soft_reject, match: {size: "> 1"}}
          - {name: B, match: {size: "> 1"}}
          - {name: C, enabled: false, match: {size: "> 1"}}
        lists: [{name: D, file: d.txt, of: client}]
        composites: [{name: E, all: [A], action: discard}]
        """,
        d_txt="",
    )
    symbols = {symbol.name: symbol for symbol in ruleset.symbols}
    assert set(symbols) == {"A", "B", "D"}
    assert (symbols["A"].score, symbols["A"].description, symbols["A"].group) == (2.5, "About a", "phishing")
    assert (symbols["B"].score, symbols["B"].description) == (1.0, "The rule B")
    assert (symbols["D"].score, symbols["D"].description) == (0.0, "Listed in d.txt")
    assert ruleset.forced_actions == {"A": Action.SOFT_REJECT, "E": Action.DISCARD}


def test_an_empty_file_holds_no_rules(tmp_path):
    assert load_text(tmp_path, "# nothing yet\n").rules == ()


def test_patterns_and_files_are_found(tmp_path):
    for name in ("b.yml", "a.yml", "c.txt"):
        (tmp_path / name).write_text("")
    assert loader.find_files(["*.yml"], tmp_path) == [tmp_path / "a.yml", tmp_path / "b.yml"]
    assert loader.find_files(["b.yml", "*.yml", str(tmp_path / "c.txt")], tmp_path) == [
        tmp_path / "b.yml",
        tmp_path / "a.yml",
        tmp_path / "c.txt",
    ]


@pytest.mark.parametrize(
    ("pattern", "hint"), [("a.yaml", "did you mean 'a.yml'?"), ("none/*.yml", "there is no folder"), ("*.cf", "")]
)
def test_a_pattern_without_files_is_an_error(tmp_path, pattern, hint):
    (tmp_path / "a.yml").write_text("")
    with pytest.raises(ConfigError, match="no rules file") as caught:
        loader.find_files([pattern], tmp_path)
    assert hint in caught.value.hint


def test_shipped_rules_are_found_from_anywhere_and_their_lists_can_be_replaced(tmp_path):
    files = loader.find_files(["rules/*.yml"], tmp_path)
    assert files
    assert all(file.parent == installed_data() / "rules" for file in files)
    shipped = {item.path for item in loader.load(files, tmp_path).list_files}
    assert installed_data() / "rules/lists/allow.txt" in shipped
    (tmp_path / "rules/lists").mkdir(parents=True)
    (tmp_path / "rules/lists/allow.txt").write_text("example.org\n")
    own = {item.path for item in loader.load(files, tmp_path).list_files}
    assert tmp_path / "rules/lists/allow.txt" in own
    assert installed_data() / "rules/lists/deny.txt" in own


def test_the_json_schema_knows_every_key_and_the_short_forms():
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["properties"]) == {"rules", "composites", "lists", "groups"}
    match = schema["$defs"]["Match"]["properties"]
    assert {"header", "body", "url", "attachment", "all", "any", "not", "at_least"} <= set(match)
    assert {"type": "string"} in schema["$defs"]["UrlMatch"]["properties"]["host"]["anyOf"]
    assert schema["$defs"]["Match"]["additionalProperties"] is False
    assert schema["$defs"]["RuleModel"]["properties"]["action"]["anyOf"][0]["enum"][0] == "no action"
