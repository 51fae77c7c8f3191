"""scikit-learn's classifiers as data: they score as they did, and files that are not sound are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from filterproxy.classifier.any_model import load_any, open_any
from filterproxy.classifier.comparison import PEERS, PeerModel
from filterproxy.classifier.feedback import Feedback
from filterproxy.classifier.linear_model import LinearModel, load_linear, save_linear
from filterproxy.classifier.model_file import FILE_NAME
from filterproxy.classifier.reading import features_of
from filterproxy.core.errors import ConfigError
from tests.unit.classifier.mail import make_mail


@pytest.fixture(scope="module")
def peers() -> dict[str, PeerModel]:
    models = {name: PeerModel(name) for name in PEERS}
    for model in models.values():
        for number in range(60):
            model.learn(features_of(make_mail(number, number % 3 == 0)), number % 3 == 0)
    return models


@pytest.fixture
def file(peers: dict[str, PeerModel], tmp_path: Path) -> Path:
    save_linear(tmp_path / FILE_NAME, peers["sgd"].export(), {"data": "generated"}, trust=0.5)
    return tmp_path / FILE_NAME


@pytest.mark.parametrize("name", PEERS)
def test_the_file_scores_as_the_classifier_does(peers: dict[str, PeerModel], name: str, tmp_path: Path) -> None:
    save_linear(tmp_path / FILE_NAME, peers[name].export(), {})
    model = open_any(tmp_path, tmp_path, pytest.fail)
    scores = []
    for number in range(100, 120):
        features = features_of(make_mail(number, number % 2 == 0))
        scores.append(model.score(features))
        assert scores[-1] == pytest.approx(peers[name].score(features), rel=1e-4, abs=1e-3)
    assert min(scores[::2]) > max(scores[1::2])


def test_what_it_is_stays_known(file: Path) -> None:
    model = load_any(file.parent)
    assert isinstance(model, LinearModel)
    assert (model.classifier, model.trust, model.info) == ("sgd", 0.5, {"data": "generated"})
    assert (model.examples.spam, model.examples.ham) == (20, 40)


def test_it_learns_nothing_and_says_so(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a classifier of scikit-learn scores mail and cannot learn on"):
        Feedback(file, tmp_path)


def test_files_that_are_not_sound(file: Path) -> None:
    content = file.read_bytes()
    for number in range(8, len(content), len(content) // 50):
        changed = bytearray(content)
        changed[number] ^= 1
        file.write_bytes(changed)
        with pytest.raises(ConfigError, match="no usable model: "):
            load_linear(file)
    for kept in (8, 15, 20, 200, -1):
        file.write_bytes(content[:kept])
        with pytest.raises(ConfigError, match="no usable model: "):
            load_linear(file)
    file.write_bytes(content[:8] + b"\x02" + content[9:])
    with pytest.raises(ConfigError, match="format 2 is newer"):
        load_linear(file)


def test_weights_that_are_not_finite(peers: dict[str, PeerModel], file: Path) -> None:
    model = peers["sgd"].export()
    weights = model.weights.copy()
    weights[5] = np.nan
    save_linear(file, replace(model, weights=weights), {})
    with pytest.raises(ConfigError, match="a weight is not finite"):
        load_linear(file)
