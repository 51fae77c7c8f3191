"""YAML reading: places of keys and values, and everything that is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.config.yaml_loader import MAX_ALIASED, MAX_BYTES, MAX_DEPTH, Mark, format_path, load_yaml, read_yaml
from filterproxy.core.errors import ConfigError

TEXT = """\
# a comment
hostname: mx.example.org
listeners:
  - type: smtp
    address: "127.0.0.1:10025"
  - {type: milter, address: 'unix:/x'}
scores: {A: 1, B: -2.5}
"""


def test_data_and_positions():
    document = load_yaml(TEXT, "f.yml")
    assert document.data == {
        "hostname": "mx.example.org",
        "listeners": [
            {"type": "smtp", "address": "127.0.0.1:10025"},
            {"type": "milter", "address": "unix:/x"},
        ],
        "scores": {"A": 1, "B": -2.5},
    }
    assert document.mark(("hostname",)) == Mark(2, 11)
    assert document.mark(("hostname",), of_key=True) == Mark(2, 1)
    assert document.mark(("listeners", 0, "address")) == Mark(5, 14)
    assert document.mark(("listeners", 1, "type"), of_key=True) == Mark(6, 6)
    assert document.mark(("scores", "B")) == Mark(7, 19)


def test_a_path_that_is_not_there_is_placed_at_its_parent():
    document = load_yaml(TEXT, "f.yml")
    assert document.mark(("listeners", 0, "mode", "x")) == Mark(4, 5)
    assert document.mark(("nothing",), of_key=True) == Mark(2, 1)


def test_error_says_file_line_column_key_and_hint():
    error = load_yaml(TEXT, "f.yml").error(("listeners", 0, "address"), "is wrong", hint="write it right")
    assert str(error) == "f.yml:5:14: listeners[0].address: is wrong (write it right)"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("017", 17),
        ("0o17", 15),
        ("0xff", 255),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        (".nan", ".nan"),
        ("1_000", "1_000"),
        ('"5"', "5"),
        ("!!str 5", "5"),
        ("'true'", "true"),
    ],
)
def test_scalars_follow_the_core_schema(text, value):
    assert load_yaml(f"a: {text}\n", "f").data == {"a": value}


def test_huge_numbers_stay_text():
    assert load_yaml("a: " + "9" * 5000, "f").data == {"a": "9" * 5000}


def test_keys_are_text():
    assert load_yaml("{2: a, true: b, 127.0.0.2: c}", "f").data == {"2": "a", "true": "b", "127.0.0.2": "c"}


def test_aliases_repeat_values():
    assert load_yaml("a: &x [1, 2]\nb: *x\n", "f").data == {"a": [1, 2], "b": [1, 2]}


def test_an_empty_file_is_no_data():
    assert load_yaml("", "f").data is None
    assert load_yaml("# only a comment\n", "f").data is None


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3:1: duplicate key 'a'; it is in line 1 already"),
        ("a: {b: 1, b: 2}", "f:1:11: duplicate key 'b'"),
        ("a: !!python/object/apply:os.system ['true']\n", "f:1:4: tag"),
        ("a: !!python/name:os.system x\n", "f:1:4: tag"),
        ("a: !!timestamp 2024-01-01\n", "is not allowed: a file is plain data"),
        ("a: &a [*a]\n", "f:1:8: alias *a names no anchor"),
        ("a: *b\n", "alias *b names no anchor"),
        (BOMB, f"aliases repeat more than {MAX_ALIASED} values"),
        ("[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
        ("{[1]: 2}", "f:1:2: a key must be plain text"),
        ("a: &x {b: 1}\nc: {<<: *x}\n", "merge keys ('<<') are not supported"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document"),
        ("a: [1\nb: 2\n", "not YAML"),
        ("a: b: c", "f:1:5: not YAML: mapping values are not allowed"),
        ("a: 1\nb: \x07\n", "f:2: not YAML: control characters are not allowed"),
        (b"a: 1\n\nb: \xff\n", "f:3: not YAML: invalid leading UTF-8 octet"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ConfigError) as caught:
        load_yaml(text, "f")
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read: No such file"):
        read_yaml(tmp_path / "missing.yml")
    with pytest.raises(ConfigError, match="cannot read: Is a directory"):
        read_yaml(tmp_path)


def test_a_file_that_is_too_large(tmp_path: Path):
    large = tmp_path / "large.yml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read_yaml(large)


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200), st.text("[]{}:,&*a- \n!<|>'\"#", max_size=200)))
def test_any_text_gives_data_or_a_config_error(text):
    try:
        document = load_yaml(text, "f")
    except ConfigError as error:
        assert str(error).startswith("f:")
    else:
        assert () in document.values


def test_format_path():
    assert format_path(()) == ""
    assert format_path(("a", 0, "b", 1)) == "a[0].b[1]"
