"""Every file in tests/bad_configs is refused with the lines of the `.expected` file beside it, in that order."""

from __future__ import annotations

from pathlib import Path

import pytest

from filterproxy.config.loader import load
from filterproxy.config.models import DEFAULT_CHECKS
from filterproxy.core.check import CheckConfig
from filterproxy.core.errors import ConfigError, ConfigErrors

FOLDER = Path(__file__).parents[2] / "bad_configs"
FILES = sorted(FOLDER.glob("*.yml"))
TYPES = dict.fromkeys((*DEFAULT_CHECKS, "dnslists"), CheckConfig)


def test_there_are_files_and_each_has_its_expected_lines():
    assert FILES
    assert {path.stem for path in FILES} == {path.stem for path in FOLDER.glob("*.expected")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bad_configuration_is_explained(path: Path):
    expected = path.with_suffix(".expected").read_text().splitlines()
    with pytest.raises(ConfigError) as caught:
        load(path, TYPES)
    errors = caught.value.errors if isinstance(caught.value, ConfigErrors) else (caught.value,)
    lines = [str(error).removeprefix(f"{FOLDER}/") for error in errors]
    for number, line in enumerate(expected):
        assert line in lines[number], "\n".join(lines)
