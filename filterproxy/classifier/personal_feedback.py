"""Learning and forgetting single messages for one domain or recipient alone.

The rule: the shared model is read and never changed here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType

from filterproxy.classifier.features import Features
from filterproxy.classifier.feedback import FeedbackError, Outcome
from filterproxy.classifier.learner import Examples
from filterproxy.classifier.personal import FILE_NAME, PersonalModels, PersonalStore, TooManyModelsError, total
from filterproxy.classifier.reading import features_of
from filterproxy.classifier.site_files import SiteFiles
from filterproxy.classifier.site_model import open_site_model
from filterproxy.message import message_digest


class PersonalFeedback:
    """Learns for the last of `owners`, on top of the shared model and of those before it; a context manager.

    Raises ConfigError when the shared model is unusable, FeedbackError when the state folder is.
    """

    def __init__(
        self, model: Path, state_dir: Path, owners: tuple[str, ...], max_models: int, warn: Callable[[str], None]
    ) -> None:
        self._shared = open_site_model(model, state_dir, warn)
        self._before, self._owner, self._max_models = owners[:-1], owners[-1], max_models
        files = SiteFiles.of(state_dir)
        self._folder = files.folder
        with self._errors():
            self._models = PersonalModels(files.folder)
            self._store = PersonalStore(files.folder, max_models)
            files.adopt(self._store.file)

    def __enter__(self) -> PersonalFeedback:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._models.close()
        self._store.close()

    def learn(self, raw: bytes, is_spam: bool) -> Outcome:
        """Learn a message as spam or ham for the owner, or correct it."""
        features = features_of(raw)
        with self._errors():
            before = self._store.learn(
                self._owner, message_digest(raw), features.all_words(), is_spam, self._score(features)
            )
        if before is None:
            return Outcome.LEARNED
        return Outcome.ALREADY if before == is_spam else Outcome.CORRECTED

    def forget(self, raw: bytes) -> Outcome:
        """Undo the learning of a message for the owner."""
        with self._errors():
            known = self._store.forget(self._owner, message_digest(raw), features_of(raw).all_words())
        return Outcome.FORGOTTEN if known else Outcome.UNKNOWN

    def _score(self, features: Features) -> float:
        return self._shared.score(features) + total(self._models.find(self._before), features.all_words())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except TooManyModelsError as error:
            text = f"{self._owner} gets no model: there are {self._max_models} (checks.bayes.max_personal_models)"
            raise FeedbackError(text) from error
        except (OSError, sqlite3.Error) as error:
            raise FeedbackError(f"cannot write the personal models in {self._folder}: {error}") from error


def learned_personally(state_dir: Path) -> dict[str, Examples]:
    """Return how many messages were learned for each domain (`@example.org`) and recipient; raises FeedbackError."""
    folder = SiteFiles.of(state_dir).folder
    if not (folder / FILE_NAME).exists():
        return {}
    try:
        with closing(PersonalStore(folder, max_models=0)) as store:
            return store.counts()
    except sqlite3.Error as error:
        raise FeedbackError(f"cannot read the personal models in {folder}: {error}") from error
