"""Model files: what is written is read back, and whatever is wrong is said and nothing is used."""

import hashlib
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from filterproxy.classifier.features import VIEWS, extract
from filterproxy.classifier.learner import COLUMNS
from filterproxy.classifier.model import Model
from filterproxy.classifier.model_file import FILE_NAME, load, save
from filterproxy.core.errors import ConfigError
from filterproxy.message import Message
from tests.unit.classifier.mail import make_mail


@pytest.fixture(scope="module")
def model() -> Model:
    model = Model.empty()
    for number in range(40):
        model.learn(extract(Message(make_mail(number, number % 2 == 0))), number % 2 == 0)
    return model


@pytest.fixture(scope="module")
def content(model: Model, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("model") / FILE_NAME
    save(file, model, {"data": "generated"})
    return file.read_bytes()


def resealed(content: bytes) -> bytes:
    return content[:-32] + hashlib.sha256(content[:-32]).digest()


def with_header(content: bytes, **changes: object) -> bytes:
    size = struct.unpack_from("<I", content, 12)[0]
    header = json.loads(content[16 : 16 + size]) | changes
    text = json.dumps(header).encode()
    return resealed(content[:12] + struct.pack("<I", len(text)) + text + content[16 + size :])


def refused(tmp_path: Path, content: bytes) -> str:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    return str(caught.value)


def test_an_exact_file_keeps_every_bit(model: Model, tmp_path: Path) -> None:
    checksum = save(tmp_path / FILE_NAME, model, {"data": "generated"}, trust=0.5)
    stored = load(tmp_path)
    assert (stored.checksum, stored.trust, stored.info) == (checksum, 0.5, {"data": "generated"})
    again = stored.to_model()
    assert again.examples == model.examples
    assert again.ham_scores.latest().tolist() == model.ham_scores.latest().tolist()
    for view in VIEWS:
        np.testing.assert_array_equal(again.learners[view].values, model.learners[view].values)
        np.testing.assert_array_equal(again.learners[view].state.array, model.learners[view].state.array)


def test_a_compact_file_scores_nearly_the_same(model: Model, tmp_path: Path) -> None:
    save(tmp_path / "exact", model, {})
    save(tmp_path / "compact", model, {}, encoding="compact")
    assert (tmp_path / "compact").stat().st_size < 0.5 * (tmp_path / "exact").stat().st_size
    compact = load(tmp_path / "compact").to_model()
    for number in range(100, 110):
        features = extract(Message(make_mail(number, is_spam=number % 2 == 0)))
        assert compact.score(features) == pytest.approx(model.score(features), abs=1.0)
        assert (compact.score(features) > 0) == (number % 2 == 0)


def test_sparse_records_are_found(model: Model, tmp_path: Path) -> None:
    save(tmp_path / FILE_NAME, model, {})
    table = load(tmp_path).tables["words"]
    used = table.slots[::100]
    unused = np.setdiff1d(np.arange(1000, dtype=np.uint32), table.slots)
    np.testing.assert_array_equal(table.read(used), table.records[::100])
    assert not table.read(unused).any()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the model: No such file.*filterproxy train"):
        load(tmp_path)


@pytest.mark.parametrize("kept", [0, 7, 40, 1000, -1])
def test_truncated_file(tmp_path: Path, content: bytes, kept: int) -> None:
    message = refused(tmp_path, content[:kept])
    assert "no model file" in message or "checksum does not match" in message


def test_every_changed_byte_is_noticed(tmp_path: Path, content: bytes) -> None:
    for position in (20, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[position] ^= 1
        assert "checksum does not match" in refused(tmp_path, bytes(changed))


def test_other_files(tmp_path: Path) -> None:
    assert "this is no model file" in refused(tmp_path, b"\x80\x04\x95" + b"x" * 100)


def test_newer_format(tmp_path: Path, content: bytes) -> None:
    newer = content[:8] + struct.pack("<I", 2) + content[12:]
    assert "format 2 is newer" in refused(tmp_path, resealed(newer))


def test_other_features(tmp_path: Path, content: bytes) -> None:
    assert "made of other features (version 99" in refused(tmp_path, with_header(content, features=99))


@pytest.mark.parametrize(
    "changes",
    [{"spam": -1}, {"trust": 0}, {"extra": 1}, {"tables": {}}, {"options": {"evil": 1}}, {"ham_scores": 10**9}],
)
def test_bad_header(tmp_path: Path, content: bytes, changes: dict[str, object]) -> None:
    message = refused(tmp_path, with_header(content, **changes))
    assert "bad header" in message or "not those of this program" in message


def test_blocks_that_lie_about_their_size(tmp_path: Path, content: bytes) -> None:
    size = struct.unpack_from("<I", content, 12)[0]
    tables = json.loads(content[16 : 16 + size])["tables"]
    bomb = {**tables, "body": {**tables["body"], "entries": 3}}
    assert "as many entries" in refused(tmp_path, with_header(content, tables=bomb))
    outside = {**tables, "body": {**tables["body"], "blocks": [1 << 40] * 5}}
    assert "outside the file" in refused(tmp_path, with_header(content, tables=outside))


def test_values_that_are_not_finite(tmp_path: Path, model: Model) -> None:
    poisoned = load_copy(model, tmp_path)
    slot = np.flatnonzero(poisoned.learners["text"].values)[:1]
    poisoned.learners["text"].state.array[slot, 0] = np.nan
    save(tmp_path / FILE_NAME, poisoned, {})
    with pytest.raises(ConfigError, match="not finite"):
        load(tmp_path)


def load_copy(model: Model, folder: Path) -> Model:
    save(folder / "copy", model, {})
    return load(folder / "copy").to_model()


def test_a_failed_write_leaves_the_old_file(model: Model, tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    save(file, model, {})
    before = file.read_bytes()
    with pytest.raises(ValueError):
        save(file, model, {"bad": object()})  # type: ignore[dict-item]
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_the_format_is_as_documented(content: bytes) -> None:
    magic, version, size = struct.unpack_from("<8sII", content)
    assert (magic, version) == (b"FPMODEL\n", 1)
    header = json.loads(content[16 : 16 + size])
    position = 16 + size
    for view in VIEWS:
        table = header["tables"][view]
        sizes = [1 << table["bits"] >> 3, *(4 * table["entries"] for _ in COLUMNS)]
        for stored, plain in zip(table["blocks"], sizes, strict=True):
            assert len(zlib.decompress(content[position : position + stored])) == plain
            position += stored
    assert position + header["ham_scores_block"] + 32 == len(content)
