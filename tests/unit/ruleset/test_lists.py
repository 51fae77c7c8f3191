"""List files: what an entry means, and reading them again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from filterproxy.core.errors import ConfigError
from filterproxy.ruleset.lists import ListFile

TEXT = """\
# senders
Friend@Example.org      # a comment
example.com
.example.net
münchen.example
192.0.2.0/24
2001:db8::/32
198.51.100.7
"""


def _write(path: Path, text: str, when: int = 0) -> Path:
    path.write_text(text)
    os.utime(path, ns=(when, when))
    return path


@pytest.fixture
def listed(tmp_path):
    return ListFile(_write(tmp_path / "list.txt", TEXT), senders=True)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("friend@example.org", True),
        ("FRIEND@EXAMPLE.ORG", True),
        ("other@example.org", False),
        ("example.com", True),
        ("sub.example.com", False),
        ("example.net", True),
        ("a.b.example.net", True),
        ("notexample.net", False),
        ("xn--mnchen-3ya.example", True),
        ("", False),
        ("#", False),
    ],
)
def test_words(listed, word, found):
    assert listed.entries.has_word(word) is found


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("192.0.2.200", True),
        ("192.0.3.1", False),
        ("198.51.100.7", True),
        ("198.51.100.8", False),
        ("2001:db8:1::1", True),
        ("2001:db9::1", False),
        ("::ffff:192.0.2.1", True),
        ("", False),
        ("example.com", False),
    ],
)
def test_networks(listed, address, found):
    assert listed.entries.has_address(address) is found


@pytest.mark.parametrize("entry", ["two words", "*.example.org", "a@.example.org", "localhost", "@", "192.0.2.0/40"])
def test_a_list_of_senders_takes_nothing_else(tmp_path, entry):
    path = _write(tmp_path / "list.txt", f"example.org\n{entry}\n")
    with pytest.raises(ConfigError) as caught:
        ListFile(path, senders=True)
    assert (caught.value.line, caught.value.file) == (2, str(path))
    assert ".example.org (with all names below it)" in caught.value.hint


def test_other_lists_take_any_words(tmp_path):
    path = _write(tmp_path / "list.txt", "two words\nexe\n")
    assert ListFile(path).entries.has_word("Two Words")


def test_it_is_read_again_when_it_changes_and_only_then(tmp_path):
    path = _write(tmp_path / "list.txt", "example.org\n", when=1)
    file = ListFile(path)
    assert not file.refresh()
    _write(path, "example.com\n", when=2)
    assert file.refresh()
    assert file.entries.has_word("example.com")
    assert not file.entries.has_word("example.org")


def test_a_list_that_cannot_be_read_any_more_keeps_its_entries(tmp_path):
    path = _write(tmp_path / "list.txt", "example.org\n", when=1)
    file = ListFile(path, senders=True)
    _write(path, "not a domain\n", when=2)
    with pytest.raises(ConfigError):
        file.refresh()
    assert file.entries.has_word("example.org")
    assert not file.refresh()
    path.unlink()
    with pytest.raises(ConfigError, match="cannot read the list"):
        file.refresh()
    assert file.entries.has_word("example.org")
    _write(path, "example.com\n", when=3)
    assert file.refresh()
    assert file.entries.has_word("example.com")


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        ListFile(path)
