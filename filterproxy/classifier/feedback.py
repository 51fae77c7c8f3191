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
from contextlib import closing, contextmanager
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
from filterproxy.message import earlier_forms, message_digest

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
            self._files.tables(self._stored, writable=True)
            with self._files.locked():
                self._map()
                self._log = LearnLog(self._files.folder / LOG_NAME)
                self._files.adopt(self._files.folder / LOG_NAME)
                self._journal = Journal(self._files.folder / "journal")
                self._recover()

    def __enter__(self) -> Feedback:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the log; what was learned is on disk already."""
        self._log.close()

    def learn(self, raw: bytes, is_spam: bool, *, automatic: bool = False) -> Outcome:
        """Learn a message as spam or ham, unless that is already so; correct it when it was learned as the other.

        `automatic` says that nobody labelled it: such a message never corrects, and is corrected also when later hops
        have put their trace fields on top of it.
        """
        earlier = None if automatic else self._forget_automatic(raw)
        outcome = self._learn(raw, is_spam, automatic)
        if earlier is None or outcome is not Outcome.LEARNED:
            return outcome
        return Outcome.ALREADY if earlier == is_spam else Outcome.CORRECTED

    def _learn(self, raw: bytes, is_spam: bool, automatic: bool) -> Outcome:
        digest, features = message_digest(raw), features_of(raw)
        with self._change() as counts:
            row = self._log.find(digest)
            if row is not None and (automatic or row.is_spam == is_spam):
                return Outcome.ALREADY
            with self._journaled(f"{digest} {int(is_spam)}", features):
                if row is not None:
                    self._model.forget(features, row.is_spam, row.gradients, row.taught)
                    counts.count(row.is_spam, -1)
                learned = self._model.learn(features, is_spam)
                counts.count(is_spam)
                self._arrays.counts.set(counts, self._model.ham_scores.count)
                row_now = Row(is_spam, self._now(), learned.gradients, learned.taught)
                self._log.put(digest, row_now, automatic=automatic)
        return Outcome.LEARNED if row is None else Outcome.CORRECTED

    def forget(self, raw: bytes) -> Outcome:
        """Undo the learning of a message."""
        automatic = self._forget_automatic(raw)
        outcome = self._forget(raw)
        return outcome if automatic is None else Outcome.FORGOTTEN

    def _forget_automatic(self, raw: bytes) -> bool | None:
        """Forget the message as it was scanned, if it was learned then; return whether that was as spam."""
        if not self._log.has_automatic():
            return None
        for form in (raw, *earlier_forms(raw)):
            digest = message_digest(form)
            if self._log.is_automatic(digest):
                row = self._log.find(digest)
                self._forget(form)
                return row.is_spam if row else None
        return None

    def _forget(self, raw: bytes) -> Outcome:
        digest, features = message_digest(raw), features_of(raw)
        with self._change() as counts:
            row = self._log.find(digest)
            if row is None:
                return Outcome.UNKNOWN
            with self._journaled(f"{digest} -", features):
                self._model.forget(features, row.is_spam, row.gradients, row.taught)
                counts.count(row.is_spam, -1)
                self._arrays.counts.set(counts, self._model.ham_scores.count)
                self._log.remove(digest)
        return Outcome.FORGOTTEN

    @contextmanager
    def _change(self) -> Iterator[Examples]:
        """Hold the lock, with the numbers as other processes left them; the caller changes what it is given."""
        with _state_errors(self._files.folder), self._files.locked():
            if self._files.tables_id(self._stored) != self._tables_id:
                self._files.build(self._stored)
                self._map()
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

    def _map(self) -> None:
        """Map the files under the lock; another process may have removed the tables since, or everything."""
        layers = {view: self._layer(view) for view in VIEWS}
        tables = self._files.map_tables(self._stored, writable=True)
        self._arrays = SiteArrays(tables, layers, self._files.counts(writable=True))
        self._tables_id = self._files.tables_id(self._stored)
        self._model = self._make_model()

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


def learned_automatically(state_dir: Path) -> Examples:
    """Return how many messages are learned that nobody labelled; raises FeedbackError."""
    file = SiteFiles.of(state_dir).folder / LOG_NAME
    if not file.exists():
        return Examples()
    with _state_errors(state_dir), closing(LearnLog(file)) as log:
        return log.automatic_counts()


@contextmanager
def _state_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FeedbackError(f"cannot write what was learned: {error.filename or folder}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise FeedbackError(f"cannot write the learn log in {folder}: {error}") from error
