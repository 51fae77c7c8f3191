"""A model on disk: data only, checked before it is used. docs/training.md describes the format byte by byte.

    8 bytes   magic `FPMODEL\\n`
    4 bytes   format version, little-endian      4 bytes   length of the header
    header    JSON (see Header)
    blocks    zlib streams in the header's order: for each view a bitmap of its used slots and one array a column,
              then the latest ham scores
    32 bytes  SHA-256 of everything before

The rule: nothing is allocated by what the file claims before the checksum has been seen to hold, and no value that is
not finite gets in. An exact file keeps every bit; a compact one drops slots seen once and rounds.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from filterproxy.classifier.features import TABLE_BITS, VIEWS
from filterproxy.classifier.hashing import FEATURE_VERSION, Slots
from filterproxy.classifier.learner import (
    COLUMNS,
    HAM,
    SPAM,
    SQUARES,
    WEIGHT,
    DenseState,
    Examples,
    Floats,
    Learner,
    Options,
    fold,
)
from filterproxy.classifier.model import Model
from filterproxy.classifier.threshold import WINDOW, HamScores
from filterproxy.core.errors import ConfigError

FILE_NAME = "model.fpm"
FORMAT_VERSION = 1

_MAGIC = b"FPMODEL\n"
# Files of filterproxy.classifier.linear_model have the same name.
LINEAR_MAGIC = b"FPLINEAR"
_PREFIX = struct.Struct("<8sII")
_DIGEST = 32
_LARGEST_FILE = 4 << 30
_LARGEST_HEADER = 1 << 20

# Compact: weights in 64ths, squares on a logarithmic scale of 16 steps an octave, counts up to 65,535.
_WEIGHT_STEP = 1 / 64
_SQUARE_UNIT, _SQUARE_STEPS = 1e-9, 16
_EXACT = {"weight": "<f4", "squares": "<f4", "spam": "<u4", "ham": "<u4"}
_COMPACT = {"weight": "<i2", "squares": "<u2", "spam": "<u2", "ham": "<u2"}

Info = Mapping[str, str | int | float]
Encoding = Literal["exact", "compact"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TableHeader(_Strict):
    """One view's table: its size, and the compressed sizes in bytes of its blocks (slots, then COLUMNS)."""

    bits: int = Field(ge=4, le=26)
    entries: int = Field(ge=0)
    blocks: tuple[int, ...] = Field(min_length=1 + len(COLUMNS), max_length=1 + len(COLUMNS))


class Header(_Strict):
    """The JSON header of a model file.

    `trust` is what one of its examples counts as evidence beside one learned on the site itself: 1 for a model of the
    site's own mail, little for one trained on others'. `info` is for people: data, date, method, figures.
    """

    features: int
    encoding: Encoding
    options: dict[str, float]
    spam: int = Field(ge=0, le=1 << 24)
    ham: int = Field(ge=0, le=1 << 24)
    trust: float = Field(gt=0, le=1)
    tables: dict[str, TableHeader]
    ham_scores: int = Field(ge=0, le=WINDOW)
    ham_scores_block: int = Field(ge=0)
    info: dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class SparseTable:
    """The used slots of a table, ascending, and their records, shape (n, 4)."""

    bits: int
    slots: Slots
    records: Floats

    def read(self, slots: Slots) -> Floats:
        """Return the records of any slots as a copy; zeros for those that are not used."""
        records = np.zeros((slots.size, len(COLUMNS)), np.float32)
        if self.slots.size:
            places = np.minimum(np.searchsorted(self.slots, slots), self.slots.size - 1)
            found = self.slots[places] == slots
            records[found] = self.records[places[found]]
        return records

    def dense(self) -> Floats:
        """Return all records in one array of shape (slots, 4)."""
        array = np.zeros((1 << self.bits, len(COLUMNS)), np.float32)
        array[self.slots] = self.records
        return array


@dataclass(frozen=True, slots=True)
class StoredModel:
    """The contents of a model file; `checksum` (hex) tells one model from every other."""

    tables: Mapping[str, SparseTable]
    options: Options
    examples: Examples
    ham_scores: Floats
    trust: float
    info: Info
    checksum: str

    def to_model(self) -> Model:
        """Return a model in memory that scores and learns on."""
        learners = {}
        for view, table in self.tables.items():
            state = table.dense()
            learners[view] = Learner(self.options, fold(self.options, state), DenseState(state))
        scores = HamScores()
        for score in self.ham_scores:
            scores.add(float(score))
        return Model(learners, Examples(self.examples.spam, self.examples.ham), scores)


def save(path: Path, model: Model, info: Info, *, encoding: Encoding = "exact", trust: float = 1.0) -> str:
    """Write a model file (atomically) and return the SHA-256 that it ends with."""
    tables, blocks = {}, []
    for view in VIEWS:
        learner = model.learners[view]
        bits = learner.values.size.bit_length() - 1
        used, records = _used(learner, encoding)
        own = [zlib.compress(block, 6) for block in _encode(used, records, bits, encoding)]
        tables[view] = TableHeader(bits=bits, entries=used.size, blocks=tuple(map(len, own)))
        blocks += own
    scores = model.ham_scores.latest().astype("<f4")
    blocks.append(zlib.compress(scores.tobytes()))
    header = Header(
        features=FEATURE_VERSION, encoding=encoding, options=asdict(next(iter(model.learners.values())).options),
        spam=model.examples.spam, ham=model.examples.ham, trust=trust, tables=tables, ham_scores=scores.size,
        ham_scores_block=len(blocks[-1]), info=dict(info),
    ).model_dump_json().encode()  # fmt: skip
    content = b"".join((_PREFIX.pack(_MAGIC, FORMAT_VERSION, len(header)), header, *blocks))
    digest = hashlib.sha256(content)
    write_atomically(path, content + digest.digest())
    return digest.hexdigest()


def load(path: Path) -> StoredModel:
    """Return the contents of a model file, or of the one in a folder; raise ConfigError that says what is wrong."""
    file, content = read_model(path)
    try:
        return _parse(content)
    except _Broken as error:
        raise ConfigError(f"no usable model: {error}", file=str(file), hint="restore it, or train again") from error


def read_model(path: Path) -> tuple[Path, bytes]:
    """Return the file of a model, which a folder may hold, and its bytes; raise ConfigError."""
    file = path if path.is_file() else path / FILE_NAME
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise ConfigError("too large to be a model", file=str(file))
        content = file.read_bytes()
    except OSError as error:
        hint = "make one with: filterproxy train" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"cannot read the model: {error.strerror}", file=str(file), hint=hint) from error
    return file, content


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file such that readers find the old one or the new one, whole, even after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _Broken(Exception):
    """What makes a model file unusable."""


def _used(learner: Learner, encoding: Encoding) -> tuple[Slots, Floats]:
    if learner.state is None:
        raise TypeError("a model for scoring only cannot be saved")
    used = np.flatnonzero(learner.values).astype(np.uint32)
    records = learner.state.read(used)
    if encoding == "compact":
        keep = records[:, SPAM] + records[:, HAM] >= 2
        used, records = used[keep], records[keep]
    return used, records


def _encode(slots: Slots, records: Floats, bits: int, encoding: Encoding) -> Iterator[bytes]:
    bitmap = np.zeros(1 << bits, np.bool_)
    bitmap[slots] = True
    yield np.packbits(bitmap).tobytes()
    columns: list[NDArray[Any]] = [records[:, number] for number in range(len(COLUMNS))]
    if encoding == "compact":
        columns[WEIGHT] = np.clip(np.rint(columns[WEIGHT] / _WEIGHT_STEP), -32767, 32767)
        octaves = np.log2(np.maximum(columns[SQUARES], _SQUARE_UNIT) / _SQUARE_UNIT)
        columns[SQUARES] = np.clip(np.rint(octaves * _SQUARE_STEPS), 0, 65535)
        columns[SPAM], columns[HAM] = (np.minimum(columns[number], 65535) for number in (SPAM, HAM))
    dtypes = _EXACT if encoding == "exact" else _COMPACT
    for name, column in zip(COLUMNS, columns, strict=True):
        yield column.astype(dtypes[name]).tobytes()


def _parse(content: bytes) -> StoredModel:
    if content.startswith(LINEAR_MAGIC):
        raise _Broken("a classifier of scikit-learn scores mail and cannot learn on")
    if len(content) < _PREFIX.size + _DIGEST or content[: len(_MAGIC)] != _MAGIC:
        raise _Broken("this is no model file")
    _, version, header_size = _PREFIX.unpack_from(content)
    if version > FORMAT_VERSION:
        raise _Broken(f"format {version} is newer than this program knows ({FORMAT_VERSION})")
    digest = hashlib.sha256(content[:-_DIGEST])
    if digest.digest() != content[-_DIGEST:]:
        raise _Broken("the checksum does not match: truncated or changed")
    if version != FORMAT_VERSION or header_size > _LARGEST_HEADER:
        raise _Broken(f"unknown format {version}")
    try:
        header = Header.model_validate_json(content[_PREFIX.size : _PREFIX.size + header_size])
        options = Options(**header.options)
    except (ValidationError, TypeError) as error:
        raise _Broken(f"bad header: {error}") from error
    if header.features != FEATURE_VERSION:
        raise _Broken(f"made of other features (version {header.features}, not {FEATURE_VERSION})")
    if {view: table.bits for view, table in header.tables.items()} != TABLE_BITS:
        raise _Broken("its tables are not those of this program")
    reader = _Blocks(content, _PREFIX.size + header_size, len(content) - _DIGEST)
    tables = {view: _decode(reader, header.tables[view], header.encoding) for view in VIEWS}
    scores = np.frombuffer(reader.next(header.ham_scores_block, 4 * header.ham_scores), "<f4").copy()
    if not np.isfinite(scores).all():
        raise _Broken("a score is not finite")
    return StoredModel(
        tables, options, Examples(header.spam, header.ham), scores, header.trust, header.info, digest.hexdigest()
    )


class _Blocks:
    """Reads compressed blocks one after another, each to exactly the size it must have."""

    def __init__(self, content: bytes, start: int, end: int) -> None:
        self._content, self._position, self._end = content, start, end

    def next(self, stored: int, size: int) -> bytes:
        begin = self._position
        if not 0 <= stored <= self._end - begin:
            raise _Broken("a block lies outside the file")
        self._position += stored
        decompressor = zlib.decompressobj()
        try:
            data = decompressor.decompress(self._content[begin : begin + stored], size + 1)
        except zlib.error as error:
            raise _Broken(f"a block cannot be unpacked: {error}") from error
        if len(data) != size:
            raise _Broken("a block has the wrong size")
        return data


def _decode(reader: _Blocks, table: TableHeader, encoding: Encoding) -> SparseTable:
    bitmap = np.frombuffer(reader.next(table.blocks[0], 1 << table.bits >> 3), np.uint8)
    slots = np.flatnonzero(np.unpackbits(bitmap)).astype(np.uint32)
    if slots.size != table.entries:
        raise _Broken("a table does not have as many entries as it says")
    dtypes = _EXACT if encoding == "exact" else _COMPACT
    records = np.empty((slots.size, len(COLUMNS)), np.float32)
    for number, name in enumerate(COLUMNS):
        dtype = np.dtype(dtypes[name])
        data = reader.next(table.blocks[1 + number], dtype.itemsize * slots.size)
        records[:, number] = np.frombuffer(data, dtype)
    if encoding == "compact":
        records[:, WEIGHT] *= _WEIGHT_STEP
        records[:, SQUARES] = _SQUARE_UNIT * np.exp2(records[:, SQUARES] / _SQUARE_STEPS)
    if not np.isfinite(records).all() or (records[:, SQUARES:] < 0).any():
        raise _Broken("a value is not finite, or negative")
    return SparseTable(table.bits, slots, records)
