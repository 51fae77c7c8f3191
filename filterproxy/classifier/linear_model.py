"""A linear classifier of scikit-learn as data: weights of words, for scoring mail without scikit-learn.

    8 bytes   magic `FPLINEAR`
    4 bytes   format version, little-endian      4 bytes   length of the header
    header    JSON (see Header)
    block     zlib stream of 2^bits weights, little-endian float32
    32 bytes  SHA-256 of everything before

The rule: it scores and learns nothing; the file is checked like a model's, and holds numbers alone.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from filterproxy.classifier.features import TABLE_BITS, Features
from filterproxy.classifier.hashing import FEATURE_VERSION, Slots
from filterproxy.classifier.learner import Examples, Floats
from filterproxy.classifier.model_file import LINEAR_MAGIC, read_model, write_atomically
from filterproxy.classifier.threshold import HamScores, Threshold
from filterproxy.core.errors import ConfigError

BITS = 18
WORD_VIEWS = ("fields", "words")
FORMAT_VERSION = 1
_PREFIX = struct.Struct("<8sII")
_DIGEST = 32

Info = Mapping[str, str | int | float]


class Header(BaseModel):
    """The JSON header: which classifier of scikit-learn it was, its constant term, and what a model's says."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    features: int
    classifier: str = Field(max_length=40)
    intercept: float
    spam: int = Field(ge=0, le=1 << 24)
    ham: int = Field(ge=0, le=1 << 24)
    trust: float = Field(gt=0, le=1)
    info: dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class LinearModel:
    """A linear classifier: log-odds = intercept + the sum of the weights of a message's columns."""

    classifier: str
    weights: Floats
    intercept: float
    examples: Examples
    trust: float = 1.0
    info: Info = field(default_factory=dict)
    checksum: str = ""

    def score(self, features: Features) -> float:
        """Return the log-odds of spam."""
        return self.intercept + float(self.weights[columns(features)].sum(dtype=np.float64))

    def threshold(self) -> Threshold:
        """Return what decides between spam and ham."""
        return Threshold.of(self.examples, HamScores())


def columns(features: Features) -> Slots:
    """Return the columns of a message, distinct and ascending, for the words of its header and body."""
    return np.unique(np.concatenate([columns_of(features, view) for view in WORD_VIEWS]))


def columns_of(features: Features, view: str) -> Slots:
    """Return the column of each slot of a view of words."""
    return features.view(view) >> np.uint32(TABLE_BITS[view] - BITS)


def save_linear(path: Path, model: LinearModel, info: Info, *, trust: float = 1.0) -> None:
    """Write the file, atomically."""
    header = Header(
        features=FEATURE_VERSION, classifier=model.classifier, intercept=model.intercept, spam=model.examples.spam,
        ham=model.examples.ham, trust=trust, info=dict(info),
    ).model_dump_json().encode()  # fmt: skip
    block = zlib.compress(model.weights.astype("<f4").tobytes(), 6)
    content = b"".join((_PREFIX.pack(LINEAR_MAGIC, FORMAT_VERSION, len(header)), header, block))
    write_atomically(path, content + hashlib.sha256(content).digest())


def is_linear(path: Path) -> bool:
    """Tell whether a file, or the model of a folder, is one of these; raise ConfigError when it cannot be read."""
    return read_model(path)[1].startswith(LINEAR_MAGIC)


def load_linear(path: Path) -> LinearModel:
    """Return the model of a file or folder; raise ConfigError that says what is wrong."""
    file, content = read_model(path)
    try:
        return _parse(content)
    except (ValueError, struct.error, zlib.error) as error:
        reason = "bad header" if isinstance(error, ValidationError) else str(error)
        raise ConfigError(f"no usable model: {reason}", file=str(file), hint="restore it, or train again") from error


def _parse(content: bytes) -> LinearModel:
    magic, version, size = _PREFIX.unpack_from(content)
    if magic != LINEAR_MAGIC:
        raise ValueError("this is no linear model")
    if version > FORMAT_VERSION:
        raise ValueError(f"format {version} is newer than this program knows ({FORMAT_VERSION})")
    digest = hashlib.sha256(content[:-_DIGEST])
    if digest.digest() != content[-_DIGEST:]:
        raise ValueError("the checksum does not match: truncated or changed")
    header = Header.model_validate_json(content[_PREFIX.size : _PREFIX.size + size])
    if header.features != FEATURE_VERSION:
        raise ValueError(f"made of other features (version {header.features}, not {FEATURE_VERSION})")
    block = zlib.decompressobj().decompress(content[_PREFIX.size + size : -_DIGEST], 4 * (1 << BITS) + 1)
    if len(block) != 4 * (1 << BITS):
        raise ValueError("the weights have the wrong size")
    weights = np.frombuffer(block, "<f4").astype(np.float32)
    if not np.isfinite(weights).all():
        raise ValueError("a weight is not finite")
    examples = Examples(header.spam, header.ham)
    return LinearModel(
        header.classifier, weights, header.intercept, examples, header.trust, header.info, digest.hexdigest()
    )
