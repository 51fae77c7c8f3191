"""The choice of a model: newest word first, back step by step, and never from a damaged file."""

from pathlib import Path

import pytest

from filterproxy.classifier.selection import Selection
from filterproxy.core.errors import ConfigError


def selection(state: Path, configured: str = "/models/own") -> Selection:
    return Selection(Path(configured), state)


def test_the_configured_model_unless_another_was_chosen(tmp_path: Path) -> None:
    assert selection(tmp_path).current() == Path("/models/own")
    selection(tmp_path).use(Path("/models/new"))
    assert selection(tmp_path).current() == Path("/models/new")


def test_back_step_by_step(tmp_path: Path) -> None:
    chosen = selection(tmp_path)
    chosen.use(Path("/models/a"))
    chosen.use(Path("/models/b"))
    assert [chosen.rollback(), chosen.rollback(), chosen.rollback()] == [Path("/models/a"), Path("/models/own"), None]


def test_a_newer_configuration_voids_the_choice(tmp_path: Path) -> None:
    selection(tmp_path).use(Path("/models/new"))
    assert selection(tmp_path, "/models/other").current() == Path("/models/other")
    assert selection(tmp_path, "/models/other").rollback() is None


@pytest.mark.parametrize("content", ["", "{}", '{"configured": 1, "chosen": []}', "\0"])
def test_a_damaged_choice_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "bayes").mkdir()
    (tmp_path / "bayes" / "model.json").write_text(content)
    with pytest.raises(ConfigError, match="this is no choice of a model"):
        selection(tmp_path).current()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "bayes").write_text("in the way")
    assert selection(tmp_path).current() == Path("/models/own")
    with pytest.raises(ConfigError, match="cannot write"):
        selection(tmp_path).use(Path("/models/new"))
