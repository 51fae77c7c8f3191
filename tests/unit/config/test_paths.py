"""Where files are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from filterproxy.config import paths
from filterproxy.config.paths import find_config, installed_data, resolve_data
from filterproxy.config.store_url import parse_store
from filterproxy.core.errors import ConfigError


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FILTERPROXY_CONFIG", raising=False)
    monkeypatch.setattr(paths, "SYSTEM_FILE", tmp_path / "etc" / "filterproxy.yml")
    return tmp_path


def test_the_order_of_places(here, monkeypatch):
    assert find_config(None) is None
    (here / "etc").mkdir()
    (here / "etc/filterproxy.yml").touch()
    assert find_config(None) == here / "etc/filterproxy.yml"
    (here / "filterproxy.yml").touch()
    assert find_config(None) == Path("filterproxy.yml")
    (here / "named.yml").touch()
    monkeypatch.setenv("FILTERPROXY_CONFIG", str(here / "named.yml"))
    assert find_config(None) == here / "named.yml"
    (here / "explicit.yml").touch()
    assert find_config(Path("explicit.yml")) == Path("explicit.yml")


def test_a_file_asked_for_by_name_must_be_there(here, monkeypatch):
    (here / "filterproxy.yml").touch()
    with pytest.raises(ConfigError, match=r"missing.yml: no such file"):
        find_config(Path("missing.yml"))
    monkeypatch.setenv("FILTERPROXY_CONFIG", "gone.yml")
    with pytest.raises(ConfigError, match=r"gone.yml: no such file \(the file that FILTERPROXY_CONFIG names\)"):
        find_config(None)


def test_data_beside_the_configuration_wins(tmp_path):
    (tmp_path / "models/default").mkdir(parents=True)
    assert resolve_data("models/default", tmp_path) == tmp_path / "models/default"
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/a.yml").touch()
    assert resolve_data("rules/*.yml", tmp_path) == tmp_path / "rules/*.yml"


def test_shipped_data_is_found_in_the_package(tmp_path):
    assert resolve_data("models/default", tmp_path) == installed_data() / "models/default"
    assert (installed_data() / "models/default").is_dir()


def test_only_shipped_names_are_found_in_the_package(tmp_path):
    assert resolve_data("models/other", tmp_path) == tmp_path / "models/other"
    assert resolve_data("rules/../pyproject.toml", tmp_path) == tmp_path / "rules/../pyproject.toml"
    assert resolve_data("rulesets", tmp_path) == tmp_path / "rulesets"
    assert resolve_data("/models/default", tmp_path) == Path("/models/default")


def test_the_wheel_has_its_data_inside(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "filterproxy")
    assert installed_data() == tmp_path
    (tmp_path / "filterproxy/_data").mkdir(parents=True)
    assert installed_data() == tmp_path / "filterproxy/_data"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:////var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:/var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:var/x.db", "/base/var/x.db"),
        ("sqlite:x.db", "/base/x.db"),
    ],
)
def test_store_urls(url, path):
    assert parse_store(url, Path("/base")) == Path(path)


@pytest.mark.parametrize("url", ["", "x.db", "sqlite:", "sqlite://", "sqlite:///", "sqlite://host/x", "mysql:///x"])
def test_wrong_store_urls(url):
    with pytest.raises(ValueError, match="write sqlite:///absolute/path or sqlite:relative/path"):
        parse_store(url, Path("/base"))
