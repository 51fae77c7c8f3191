"""The model in use on a site, for scoring: a model from a file plus what was learned here.

The rule: scoring reads mapped tables and takes no lock, so that what one process learns all others score by at once;
when the site's files cannot be used, the model alone is, and somebody is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

from filterproxy.classifier.explain import Reason, strongest
from filterproxy.classifier.features import VIEWS, Features
from filterproxy.classifier.learner import Examples, Learner
from filterproxy.classifier.model import Model
from filterproxy.classifier.model_file import StoredModel, load
from filterproxy.classifier.site_files import Counts, SiteFiles, fold_table, folder_id
from filterproxy.classifier.threshold import HamScores, Threshold
from filterproxy.classifier.word_views import WordViews

# So many examples of the rarer class make half a certainty.
HALF_EVIDENCE = 20.0


class Evidence:
    """How far a model may be believed: so far as it has examples, of the rarer class."""

    def __init__(self, trust: float, base: Examples) -> None:
        self.trust, self.base = trust, base

    @property
    def learned(self) -> Examples:
        """Return how many messages were learned on this site."""
        return Examples()

    def evidence(self, personal: Iterable[Examples] = ()) -> float:
        """Return between 0 and 1 how far the model may be believed: it grows with the examples of the rarer class.

        An example of a model that was trained elsewhere counts as little as its `trust` says; those of personal models
        count like the site's own.
        """
        spam, ham = self._examples()
        for examples in personal:
            spam, ham = spam + examples.spam, ham + examples.ham
        rarer = min(spam, ham)
        return rarer / (rarer + HALF_EVIDENCE)

    def missing_for(self, evidence: float) -> tuple[int, int]:
        """Return how many more spam and ham messages must be learned here for that much evidence."""
        wanted = HALF_EVIDENCE * evidence / (1 - evidence)
        spam, ham = (max(0, math.ceil(wanted - have - 1e-6)) for have in self._examples())
        return spam, ham

    def _examples(self) -> tuple[float, float]:
        learned = self.learned
        return self.trust * self.base.spam + learned.spam, self.trust * self.base.ham + learned.ham


class SiteModel(Evidence):
    """A model for scoring; what it says follows what other processes learn.

    `is_current` tells whether its files are still those of the site: they are not when they were removed and made anew.
    """

    def __init__(
        self, stored: StoredModel, model: Model, counts: Counts | None, is_current: Callable[[], bool] = lambda: True
    ) -> None:
        super().__init__(stored.trust, stored.examples)
        self.model = model
        self.checksum = stored.checksum
        self._counts = counts
        self.is_current = is_current

    def score(self, features: Features) -> float:
        """Return the log-odds of spam by what is known now."""
        self._refresh()
        return self.model.score(features)

    def threshold(self) -> Threshold:
        """Return what decides between spam and ham now."""
        self._refresh()
        return self.model.threshold()

    @property
    def learned(self) -> Examples:
        """Return how many messages were learned on this site."""
        return self._counts.learned() if self._counts is not None else Examples()

    def reasons(self, features: Features, words: WordViews, count: int) -> tuple[list[Reason], list[Reason]]:
        """Return the strongest reasons for spam and for ham."""
        return strongest(self.model, features, words, count)

    def _refresh(self) -> None:
        if self._counts is not None:
            learned, examples = self._counts.learned(), self.model.examples
            examples.spam, examples.ham = self.base.spam + learned.spam, self.base.ham + learned.ham
            self.model.ham_scores.count = self._counts.scores()


def open_site_model(path: Path, state_dir: Path, warn: Callable[[str], None]) -> SiteModel:
    """Return the model of a file or folder with what was learned here; raise ConfigError when it is unusable.

    When the state folder cannot be used, the model alone is taken into this process's memory and `warn` is told.
    """
    stored, files = load(path), SiteFiles.of(state_dir)
    counts: Counts | None = None
    found: tuple[int, int] | None = None
    try:
        tables = files.tables(stored, writable=False)
        counts = files.counts(writable=False)
        found = files.tables_id(stored)
    except OSError as error:
        warn(f"using the model without what was learned here: {error.filename or state_dir}: {error.strerror}")
        tables = {view: fold_table(stored, view) for view in VIEWS}
    learners = {view: Learner(stored.options, tables[view], None) for view in VIEWS}
    ham_scores = counts.ham_scores() if counts else HamScores()
    model = Model(learners, Examples(stored.examples.spam, stored.examples.ham), ham_scores)
    # Only the name is kept: the model's records are not needed for scoring.
    folder = files.tables_folder(stored)
    return SiteModel(stored, model, counts, lambda: found is None or folder_id(folder) == found)
