"""The learner as scikit-learn estimators, for pipelines, cross-validation, calibration and comparison.

    make_pipeline(MessageVectorizer("words"), BayesLogisticClassifier())     one view
    MessageClassifier()                                                     the whole classifier

The rule: nothing here computes anything of its own: a score is the one that Learner or Model gives. This module imports
scikit-learn and is imported to train, evaluate and experiment only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from filterproxy.classifier.features import TABLE_BITS, VIEWS
from filterproxy.classifier.learner import DenseState, Examples, Learner, Options
from filterproxy.classifier.model import Model
from filterproxy.classifier.reading import features_of

Labels = NDArray[Any]
Scores = NDArray[np.float64]


class _Binary(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What both classifiers share: two classes, the second of them (in sort order) is spam."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def predict(self, X: Any) -> Labels:
        """Return the likelier class of each row."""
        scores = self.decision_function(X)
        labels: Labels = self.classes_[(scores > 0).astype(int)]
        return labels

    def predict_proba(self, X: Any) -> Scores:
        """Return the probabilities of both classes, shape (n, 2)."""
        positive = 1 / (1 + np.exp(-np.clip(self.decision_function(X), -700, 700)))
        return np.column_stack((1 - positive, positive))

    def _learn_classes(self, y: Labels, classes: ArrayLike | None) -> None:
        """Set `classes_` from the first batch, and refuse what does not fit it."""
        check_classification_targets(y)
        if not hasattr(self, "classes_"):
            found = unique_labels(classes if classes is not None else y)
            if len(found) > 2:
                raise ValueError(f"Only binary classification is supported. The type of the target has {len(found)}.")
            if len(found) < 2:
                raise ValueError(f"{type(self).__name__} needs 2 classes, got {len(found)} class")
            self.classes_ = found
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(f"y has labels that are not among the classes: {unknown[:5]}")


class BayesLogisticClassifier(_Binary):
    """Naive Bayes corrected by AdaGrad logistic regression, on rows of features that are there or not.

    A feature is there when its value is above `binarize`. Rows are learned in order, each once a fit.
    """

    def __init__(
        self, *, bayes: float = 0.1, smoothing: float = 0.1, class_smoothing: float = 5.0, step: float = 0.5,
        first_squares: float = 1e-6, binarize: float = 0.0,
    ) -> None:  # fmt: skip
        self.bayes = bayes
        self.smoothing = smoothing
        self.class_smoothing = class_smoothing
        self.step = step
        self.first_squares = first_squares
        self.binarize = binarize

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Forget everything and learn the rows."""
        for name in ("learner_", "classes_", "examples_"):
            self.__dict__.pop(name, None)
        return self.partial_fit(X, y)

    def partial_fit(self, X: Any, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Learn the rows on top of what is known; `classes` is needed when the first rows lack one of them."""
        first = not hasattr(self, "learner_")
        X, labels = validate_data(self, X, y, accept_sparse="csr", reset=first, dtype=np.float64)
        self._learn_classes(labels, classes)
        if first:
            size = X.shape[1]
            options = Options(self.bayes, self.smoothing, self.class_smoothing, self.step, self.first_squares)
            state = DenseState(np.zeros((size, 4), np.float32))
            self.learner_ = Learner(options, np.zeros(size, np.float32), state)
            self.examples_ = Examples()
        for slots, label in zip(self._rows(X), labels, strict=True):
            positive = bool(label == self.classes_[1])
            self.learner_.learn(slots, positive, self.learner_.score(slots, self.examples_))
            self.examples_.count(positive)
        return self

    def decision_function(self, X: Any) -> Scores:
        """Return the log-odds of the second class for each row."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False, dtype=np.float64)
        return np.asarray([self.learner_.score(slots, self.examples_) for slots in self._rows(X)], np.float64)

    def _rows(self, values: Any) -> Iterable[NDArray[np.uint32]]:
        matrix = sparse.csr_matrix(values > self.binarize)
        for begin, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
            yield np.sort(matrix.indices[begin:end]).astype(np.uint32)


class MessageVectorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns raw messages (bytes) into rows of one view's features, shape (n, 2^bits), binary."""

    def __init__(self, view: str = "words") -> None:
        self.view = view

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        return tags

    def fit(self, X: Sequence[bytes], y: Any = None) -> Self:
        """Do nothing: hashing has no vocabulary."""
        if self.view not in VIEWS:
            raise ValueError(f"view must be one of {VIEWS}, not {self.view!r}")
        return self

    def transform(self, X: Sequence[bytes]) -> sparse.csr_matrix:
        """Return the features of each message."""
        rows = [features_of(raw).view(self.view) for raw in X]
        indices = np.concatenate(rows) if rows else np.zeros(0, np.uint32)
        indptr = np.concatenate(([0], np.cumsum([row.size for row in rows]))).astype(np.int64)
        shape = (len(rows), 1 << TABLE_BITS[self.view])
        return sparse.csr_matrix((np.ones(indices.size, np.int8), indices.astype(np.int64), indptr), shape=shape)


class MessageClassifier(_Binary):
    """The whole classifier on raw messages (bytes): the weighted mean of the views."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    def fit(self, X: Sequence[bytes], y: ArrayLike) -> Self:
        """Forget everything and learn the messages in order."""
        for name in ("model_", "classes_"):
            self.__dict__.pop(name, None)
        return self.partial_fit(X, y)

    def partial_fit(self, X: Sequence[bytes], y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Learn the messages on top of what is known."""
        labels = np.asarray(y)
        if len(X) != len(labels):
            raise ValueError(f"{len(X)} messages but {len(labels)} labels")
        self._learn_classes(labels, classes)
        if not hasattr(self, "model_"):
            self.model_ = Model.empty()
        for raw, label in zip(X, labels, strict=True):
            self.model_.learn(features_of(raw), bool(label == self.classes_[1]))
        return self

    def decision_function(self, X: Sequence[bytes]) -> Scores:
        """Return the log-odds of spam of each message."""
        check_is_fitted(self)
        return np.asarray([self.model_.score(features_of(raw)) for raw in X], np.float64)
