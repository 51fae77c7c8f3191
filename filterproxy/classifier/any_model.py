"""Models of either kind: the filter's own, and those of scikit-learn's classifiers.

The rule: whoever only scores need not know which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from filterproxy.classifier.explain import Reason, strongest_of
from filterproxy.classifier.features import Features
from filterproxy.classifier.learner import Examples
from filterproxy.classifier.linear_model import BITS, WORD_VIEWS, LinearModel, columns_of, is_linear, load_linear
from filterproxy.classifier.model_file import StoredModel, load
from filterproxy.classifier.site_model import Evidence, open_site_model
from filterproxy.classifier.threshold import Threshold
from filterproxy.classifier.word_views import WordViews


class ScoringModel(Protocol):
    """What a scan needs of a model."""

    is_current: Callable[[], bool]
    base: Examples

    def missing_for(self, evidence: float) -> tuple[int, int]:
        """Return how many more spam and ham messages must be learned here for that much evidence."""

    def score(self, features: Features) -> float:
        """Return the log-odds of spam."""

    def threshold(self) -> Threshold:
        """Return what decides between spam and ham."""

    def evidence(self, personal: Iterable[Examples] = ()) -> float:
        """Return between 0 and 1 how far the model may be believed."""

    def reasons(self, features: Features, words: WordViews, count: int) -> tuple[list[Reason], list[Reason]]:
        """Return the strongest reasons for spam and for ham."""

    @property
    def learned(self) -> Examples:
        """Return how many messages were learned on this site."""


class ForeignModel(Evidence):
    """A model of scikit-learn, which learns nothing on the site."""

    def __init__(self, model: LinearModel) -> None:
        super().__init__(model.trust, model.examples)
        self._model = model
        self.is_current: Callable[[], bool] = lambda: True

    def score(self, features: Features) -> float:
        """Return the log-odds of spam."""
        return self._model.score(features)

    def threshold(self) -> Threshold:
        """Return what decides between spam and ham."""
        return self._model.threshold()

    def missing_for(self, evidence: float) -> tuple[int, int]:
        """Return that nothing is missing: what is learned here does not help."""
        return 0, 0

    def reasons(self, features: Features, words: WordViews, count: int) -> tuple[list[Reason], list[Reason]]:
        """Return the strongest reasons for spam and for ham; slots that share a column share its weight."""
        found = {view: columns_of(features, view) for view in WORD_VIEWS}
        shared = np.bincount(np.concatenate(list(found.values())), minlength=1 << BITS)
        weights = {view: self._model.weights[places] / shared[places] for view, places in found.items()}
        return strongest_of(weights, features, words, count)


def load_any(path: Path) -> StoredModel | LinearModel:
    """Return the model of a file or folder, of either kind; raise ConfigError that says what is wrong."""
    return load_linear(path) if is_linear(path) else load(path)


def open_any(path: Path, state_dir: Path, warn: Callable[[str], None]) -> ScoringModel:
    """Return a model for scoring, our own with what was learned here; raise ConfigError when it is unusable."""
    return ForeignModel(load_linear(path)) if is_linear(path) else open_site_model(path, state_dir, warn)
