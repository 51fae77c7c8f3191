"""Which model the configured site uses: what commands around the classifier share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filterproxy.checks.bayes import BayesConfig
    from filterproxy.classifier.selection import Selection
    from filterproxy.config.loader import Loaded


def selection_of(config: Path | None) -> tuple[Selection, Loaded]:
    """Return the site's selection of a model, and its configuration; raises ConfigError."""
    from filterproxy.app.compose import load_config
    from filterproxy.classifier.selection import Selection
    from filterproxy.config.paths import resolve_data

    loaded = load_config(config)
    settings = bayes_settings(loaded)
    return Selection(resolve_data(settings.model, loaded.base_dir).absolute(), loaded.state_dir), loaded


def bayes_settings(loaded: Loaded) -> BayesConfig:
    """Return the settings of the bayes check, the defaults when it is not enabled."""
    from filterproxy.checks.bayes import BayesConfig

    bayes = loaded.checks.get("bayes")
    return bayes if isinstance(bayes, BayesConfig) else BayesConfig()
