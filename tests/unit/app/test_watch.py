"""Watched files: a change is told once, when it has settled; new and removed files are changes too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from filterproxy.app.compose import load_config
from filterproxy.app.watch import Watch, watched_files
from filterproxy.config.loader import Loaded


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    (tmp_path / "filterproxy.yml").write_text("checks: {rules: {files: [local/*.yml]}, gtube: {}}")
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "a.yml").write_text("rules: []")
    return load_config(tmp_path / "filterproxy.yml")


def changes(watch: Watch, loaded: Loaded) -> list[str]:
    assert watch.changed(loaded) == []  # never at the first look: it may still be written
    found = [path.name for path in watch.changed(loaded)]
    assert watch.changed(loaded) == []
    return found


def test_only_what_checks_name_is_watched(loaded: Loaded) -> None:
    assert [path.name for path in watched_files(loaded)] == ["a.yml"]


def test_changes_are_told_once(loaded: Loaded, tmp_path: Path) -> None:
    watch = Watch(loaded)
    assert changes(watch, loaded) == []
    (tmp_path / "local" / "a.yml").write_text("rules: [ ]")
    assert changes(watch, loaded) == ["a.yml"]
    (tmp_path / "local" / "b.yml").write_text("")
    (tmp_path / "local" / "other.txt").write_text("")
    assert changes(watch, loaded) == ["b.yml"]
    (tmp_path / "local" / "a.yml").unlink()
    assert changes(watch, loaded) == ["a.yml"]


def test_a_file_that_is_replaced_by_one_of_the_same_size_and_time_has_changed(loaded: Loaded, tmp_path: Path) -> None:
    watch = Watch(loaded)
    old = tmp_path / "local" / "a.yml"
    new = tmp_path / "local" / "a.new"
    new.write_text("rules: ()")
    os.utime(new, ns=(old.stat().st_atime_ns, old.stat().st_mtime_ns))
    new.replace(old)
    assert changes(watch, loaded) == ["a.yml"]


def test_a_file_that_is_still_written_is_left_alone(loaded: Loaded, tmp_path: Path) -> None:
    watch = Watch(loaded)
    for size in range(3):
        (tmp_path / "local" / "a.yml").write_text("#" * (size + 1))
        assert watch.changed(loaded) == []
    assert [path.name for path in watch.changed(loaded)] == ["a.yml"]


def test_what_is_noted_is_no_change_and_another_list_of_files_is_none(loaded: Loaded, tmp_path: Path) -> None:
    watch = Watch(loaded)
    (tmp_path / "local" / "a.yml").write_text("rules: [ ]")
    (tmp_path / "c.yml").write_text("")
    (tmp_path / "filterproxy.yml").write_text("checks: {rules: {files: [c.yml]}}")
    other = load_config(tmp_path / "filterproxy.yml")
    watch.note(loaded)
    watch.note(other)
    assert changes(watch, loaded) == []
    watch.keep_only(other)
    assert changes(watch, other) == []
    (tmp_path / "local" / "a.yml").unlink()
    assert changes(watch, other) == []


def test_rules_that_are_gone_leave_nothing_to_watch_and_say_nothing(loaded: Loaded, tmp_path: Path) -> None:
    watch = Watch(loaded)
    (tmp_path / "local" / "a.yml").rename(tmp_path / "a.yml")
    assert changes(watch, loaded) == ["a.yml"]
