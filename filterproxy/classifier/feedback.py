"""Learning and forgetting single messages on a running site.

A log beside the tables knows every message that was learned, by its digest: none is learned twice the same way, the
other class corrects, and forgetting takes away exactly what was counted.

The rule: one message is one change, under the lock. What it will overwrite goes to a journal first; a process that dies
in the middle leaves the journal, and the next one puts everything back before it does anything else.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import TracebackType

from filterproxy.classifier.features import VIEWS, Features
from filterproxy.classifier.journal import Journal, SiteArrays
from filterproxy.classifier.learn_log import LearnLog, Row
from filterproxy.classifier.learner import Examples, Floats, Learner
from filterproxy.classifier.model import Model
from filterproxy.classifier.model_file import load
from filterproxy.classifier.reading import features_of
from filterproxy.classifier.site_files import LayeredState, SiteFiles
from filterproxy.core.errors import FilterproxyError
from filterproxy.message import message_digest

LOG_NAME = "learned.db"


class Outcome(StrEnum):
    """What became of a message."""

    LEARNED = "learned"
    CORRECTED = "corrected"
    ALREADY = "already learned"
    FORGOTTEN = "forgotten"
    UNKNOWN = "never learned"


class FeedbackError(FilterproxyError):
    """What was learned on this site cannot be read or written."""


class Feedback:
    """Learns on top of one model; a context manager. Several processes may each have one.

    Raises ConfigError when the model is unusable, FeedbackError when the state folder is.
    """

    def __init__(self, model: Path, state_dir: Path, now: Callable[[], float] = time.time) -> None:
        self._stored, self._files, self._now = load(model), SiteFiles.of(state_dir), now
        with _state_errors(state_dir):
            tables = self._files.tables(self._stored, writable=True)
            with self._files.locked():
                layers = {view: self._layer(view) for view in VIEWS}
                self._arrays = SiteArrays(tables, layers, self._files.counts(writable=True))
                self._log = LearnLog(self._files.folder / LOG_NAME)
                self._journal = Journal(self._files.folder / "journal")
                self._recover()
        self._model = self._make_model()

    def __enter__(self) -> Feedback:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def learn(self, raw: bytes, is_spam: bool) -> Outcome:
        """Learn a message as spam or ham, unless that is already so; correct it when it was learned as the other."""
        digest, features = message_digest(raw), features_of(raw)
        with self._change() as counts:
            row = self._log.find(digest)
            if row is not None and row.is_spam == is_spam:
                return Outcome.ALREADY
            with self._journaled(f"{digest} {int(is_spam)}", features):
                if row is not None:
                    self._model.forget(features, row.is_spam, row.gradients)
                    counts.count(row.is_spam, -1)
                learned = self._model.learn(features, is_spam)
                counts.count(is_spam)
                self._arrays.counts.set(counts, self._model.ham_scores.count)
                self._log.put(digest, Row(is_spam, self._now(), learned.gradients))
        return Outcome.LEARNED if row is None else Outcome.CORRECTED

    def forget(self, raw: bytes) -> Outcome:
        """Undo the learning of a message."""
        digest, features = message_digest(raw), features_of(raw)
        with self._change() as counts:
            row = self._log.find(digest)
            if row is None:
                return Outcome.UNKNOWN
            with self._journaled(f"{digest} -", features):
                self._model.forget(features, row.is_spam, row.gradients)
                counts.count(row.is_spam, -1)
                self._arrays.counts.set(counts, self._model.ham_scores.count)
                self._log.remove(digest)
        return Outcome.FORGOTTEN

    @contextmanager
    def _change(self) -> Iterator[Examples]:
        """Hold the lock, with the numbers as other processes left them; the caller changes what it is given."""
        with _state_errors(self._files.folder), self._files.locked():
            self._recover()
            self._files.drop_other_tables(self._stored)
            counts, base = self._arrays.counts.learned(), self._stored.examples
            self._model.examples.spam, self._model.examples.ham = base.spam + counts.spam, base.ham + counts.ham
            self._model.ham_scores.count = self._arrays.counts.scores()
            yield counts

    @contextmanager
    def _journaled(self, intent: str, features: Features) -> Iterator[None]:
        self._journal.write(f"{self._stored.checksum} {intent}", features, self._arrays)
        yield
        self._journal.end()

    def _recover(self) -> None:
        """Put back what a process that died had half written; its change is done if the log says so."""
        intent = self._journal.intent()
        if intent is None:
            return
        checksum, digest, wanted = intent.split(" ")
        row = self._log.find(digest)
        if (str(int(row.is_spam)) if row else "-") == wanted:
            self._journal.end()
        else:
            self._journal.undo(self._arrays, tables=checksum == self._stored.checksum)

    def _layer(self, view: str) -> Floats:
        layer = self._files.layer(view, writable=True)
        assert layer is not None
        return layer

    def _make_model(self) -> Model:
        learners = {
            view: Learner(
                self._stored.options,
                self._arrays.tables[view],
                LayeredState(self._stored.tables[view], self._arrays.layers[view]),
            )
            for view in VIEWS
        }
        return Model(learners, Examples(), self._arrays.counts.ham_scores())


@contextmanager
def _state_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FeedbackError(f"cannot write what was learned: {error.filename or folder}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise FeedbackError(f"cannot write the learn log in {folder}: {error}") from error
