"""The trained classifier's opinion: how likely the message is spam, by what this site and its model have learned.

The rule: the weight of its symbols shrinks with the evidence; a model of a few messages, or of another site's mail,
never decides alone. docs/training.md explains the numbers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from filterproxy.classifier.any_model import ScoringModel, open_any
from filterproxy.classifier.autolearn import AutolearnConfig, choose
from filterproxy.classifier.background import BackgroundLearner
from filterproxy.classifier.features import extract_with_words
from filterproxy.classifier.feedback import Feedback, Outcome
from filterproxy.classifier.learner import Examples, probability
from filterproxy.classifier.personal import Owners, PersonalModel, PersonalModels, total
from filterproxy.classifier.selection import Selection
from filterproxy.classifier.site_files import SiteFiles
from filterproxy.classifier.threshold import BASE
from filterproxy.config.paths import resolve_data
from filterproxy.core.check import CheckConfig, CheckContext, Evidence, LearningCheck
from filterproxy.core.errors import CheckError, ConfigError
from filterproxy.core.scan_result import Autolearn, ScanResult
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.core.values import Seconds, Size
from filterproxy.message import Message


class BayesConfig(CheckConfig):
    """Keys of `checks.bayes`."""

    model: str = Field("models/default", description="Folder of the model, relative to the configuration's folder.")
    reasons: int = Field(3, ge=0, le=20, description="How many of the strongest words for and against are shown.")
    refresh: Seconds = Field(1.0, gt=0, description="How often to look whether `models use` chose another model.")
    pool_size: Size = Field(64 * 1024, ge=0, description="Messages larger than this are scored off the event loop.")
    per_domain: bool = Field(
        False, description="Use what was learned with `learn --domain`, when all recipients are of that domain."
    )
    per_recipient: bool = Field(
        False, description="Use what was learned with `learn --recipient`, when a message has that recipient alone."
    )
    recipient_delimiter: str = Field(
        "+", max_length=1, description="What follows it in a recipient's local part names no other mailbox."
    )
    max_personal_models: int = Field(
        1000, ge=1, description="Most models of domains and recipients together; each takes at most 1.1 MB on disk."
    )
    autolearn: AutolearnConfig = Field(
        AutolearnConfig(), description="Learning without anybody's label, by what the other checks say; off by default."
    )

    @property
    def owners(self) -> Owners:
        """Return who may have a personal model."""
        return Owners(self.per_domain, self.per_recipient, self.recipient_delimiter)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the classifier says: probability of spam, weight of the symbol (0 to 1), and its options."""

    symbol: str
    weight: float
    options: tuple[str, ...]


class BayesCheck(LearningCheck[BayesConfig]):
    """Fires BAYES_SPAM or BAYES_HAM with a weight by probability and evidence, else BAYES_UNSURE."""

    name = "bayes"
    immediate = True
    symbols = (
        Symbol("BAYES_SPAM", 5.1, "The classifier takes the message for spam"),
        Symbol("BAYES_HAM", -3.0, "The classifier takes the message for ham"),
        Symbol("BAYES_UNSURE", 0.0, "The classifier cannot tell spam from ham here"),
    )
    config_type = BayesConfig

    def __init__(self, config: BayesConfig, context: CheckContext) -> None:
        super().__init__(config, context)
        site = context.site
        self._selection = Selection(resolve_data(config.model, site.base_dir).absolute(), site.state_dir)
        self._path = self._selection.configured
        self._model: ScoringModel | None = None
        self._looked = context.clock.monotonic()
        self._owners = config.owners
        self._personal = PersonalModels(SiteFiles.of(site.state_dir).folder) if self._owners else None
        self._learner = BackgroundLearner(
            lambda: self._path, site.state_dir, context.scan_pool, context.log, config.autolearn.max_waiting
        )

    async def start(self) -> None:
        """Map the model; raise ConfigError when it is missing or unusable."""
        try:
            self._path = self._selection.current()
            self._model = self._open(self._path)
        except ConfigError as error:
            error.key = error.key or "checks.bayes.model"
            raise

    @property
    def model(self) -> tuple[Path, ScoringModel] | None:
        """Return the model in use and where it is, None before the start."""
        return (self._path, self._model) if self._model is not None else None

    @property
    def learned(self) -> tuple[int, int]:
        """Return how many spam and ham messages this site has learned, those it learned by itself included."""
        examples = self._model.learned if self._model is not None else Examples()
        return examples.spam, examples.ham

    async def close(self) -> None:
        """Learn what still waits, and let the model go."""
        await self._learner.close()
        if self._personal is not None:
            self._personal.close()
        self._model = None

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return the one symbol that fits, with the probability and the strongest words as options."""
        await self._follow_selection()
        if self._model is None:
            raise CheckError("the model is not loaded")
        message = transaction.require_message()
        personal = self._find_personal(transaction)
        if message.size > self.config.pool_size:
            opinion = await self.context.scan_pool.run(judge, self._model, message, self.config.reasons, personal)
        else:
            opinion = judge(self._model, message, self.config.reasons, personal)
        return [SymbolResult(opinion.symbol, opinion.weight, opinion.options)]

    def _find_personal(self, transaction: Transaction) -> Sequence[PersonalModel]:
        """Return the personal models for the recipients; none when they cannot be read, which is told."""
        if self._personal is None:
            return ()
        try:
            return self._personal.find(self._owners.of(transaction.envelope.rcpt_to))
        except (OSError, sqlite3.Error) as error:
            self._warn(f"the personal models cannot be read: {error}")
            return ()

    async def _follow_selection(self) -> None:
        """Look, at most once in `refresh` seconds, whether another model was chosen; keep the old one if it is bad."""
        now = self.context.clock.monotonic()
        if self._model is None or now - self._looked < self.config.refresh:
            return
        self._looked = now
        try:
            path = self._selection.current()
            if path == self._path and self._model.is_current():
                return
            is_new = path != self._path
            self._path = path
            model = await self.context.scan_pool.run(self._open, path)
        except ConfigError as error:
            self._warn(f"the model stays as it is: {error}")
            return
        if self._path == path:
            self._model = model
            if is_new:
                self.context.log.info("using the model %s", path)

    @property
    def autolearns(self) -> bool:
        """Tell whether `autolearn` is enabled."""
        return self.config.autolearn.enabled

    def choose_class(self, transaction: Transaction, result: ScanResult, evidence: Sequence[Evidence]) -> Autolearn:
        """Return as what the message is to be learned; see filterproxy.classifier.autolearn."""
        config, message = self.config.autolearn, transaction.message
        if message is None or message.truncated or self._model is None or result.forced_by or result.failed_by:
            return Autolearn.NO
        if (transaction.user and not config.authenticated) or (transaction.local and not config.local):
            return Autolearn.NO
        chosen = choose(config, evidence, (symbol.name for symbol in result.symbols), self._model.learned)
        if chosen is not Autolearn.NO and self._learner.is_full:
            return Autolearn.FAILED
        return chosen

    def learn_later(self, transaction: Transaction, chosen: Autolearn) -> None:
        """Queue the message; it is learned in the scan pool."""
        self._learner.add(transaction.require_message().raw, chosen is Autolearn.SPAM)

    async def teach(self, raw: bytes, label: str) -> bool:
        """Learn or forget a message as `filterproxy learn` and `forget` do."""
        return await self.context.scan_pool.run(teach, self._path, self.context.site.state_dir, raw, label)

    def _open(self, path: Path) -> ScoringModel:
        return open_any(path, self.context.site.state_dir, self._warn)

    def _warn(self, text: str) -> None:
        self.context.log.warning("%s", text)


def teach(model: Path, state_dir: Path, raw: bytes, label: str) -> bool:
    """Learn or forget a message on top of a model; tell whether that changed anything. Raises FeedbackError."""
    with Feedback(model, state_dir) as feedback:
        outcome = feedback.forget(raw) if label == "forget" else feedback.learn(raw, label == "spam")
    return outcome not in (Outcome.ALREADY, Outcome.UNKNOWN)


def judge(model: ScoringModel, message: Message, reasons: int, personal: Sequence[PersonalModel] = ()) -> Opinion:
    """Return the model's opinion on a message, with that of the recipients' own models on top of it."""
    features, words = extract_with_words(message)
    slots = features.all_words() if personal else features.words
    score, threshold = model.score(features) + total(personal, slots), model.threshold()
    for_spam, for_ham = model.reasons(features, words, reasons)
    own = [f"for {item.owner} {item.score(slots):+.2f}" for item in personal]
    options = (f"p={probability(score):.4f}", *own, *map(str, for_spam), *map(str, for_ham))
    if not threshold.informed:
        return Opinion("BAYES_UNSURE", 1.0, options)
    # Measured from the threshold: a score just above it counts as the probability that the threshold stands for.
    certainty = 2 * probability(score - threshold.value + BASE) - 1
    weight = abs(certainty) * model.evidence(item.examples for item in personal)
    if threshold.classify(score) == "spam":
        return Opinion("BAYES_SPAM", weight, options)
    if score < -BASE:
        return Opinion("BAYES_HAM", weight, options)
    return Opinion("BAYES_UNSURE", 1.0, options)
