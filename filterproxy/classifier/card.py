"""A model's folder: the model file, a card that says what it is, and checksums.

The rule: every figure on a card was measured on messages the model had not learned when they were scored.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filterproxy.classifier.any_model import load_any
from filterproxy.classifier.linear_model import LinearModel, save_linear
from filterproxy.classifier.metrics import Measures
from filterproxy.classifier.model import Model
from filterproxy.classifier.model_file import FILE_NAME, Encoding, StoredModel, save, write_atomically
from filterproxy.core.errors import ConfigError

CARD_NAME = "card.md"
SUMS_NAME = "SHA256SUMS"

# A new model may be this much worse than the old one's figure, in percent, before it is refused: figures of different
# held-out mail differ by chance.
_FACTOR, _MARGIN = 1.5, 0.05


@dataclass(frozen=True, slots=True)
class Description:
    """What the trainer says about a model."""

    data: str = ""
    trust: float = 1.0
    compact: bool = False


def write_model(folder: Path, model: Model | LinearModel, measures: Measures | None, description: Description) -> None:
    """Write model file, card and checksums into a folder, made when it is not there; raises ConfigError."""
    now = datetime.now(UTC).strftime("%Y-%m-%d")
    info: dict[str, str | int | float] = {"created": now, "data": description.data or "not described"}
    if measures is not None and measures.roca is not None and measures.lam is not None:
        info |= {"roca": measures.roca, "lam": measures.lam, "held_out": measures.spam + measures.ham}
    encoding: Encoding = "compact" if description.compact else "exact"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(model, LinearModel):
            save_linear(folder / FILE_NAME, model, info, trust=description.trust)
        else:
            save(folder / FILE_NAME, model, info, encoding=encoding, trust=description.trust)
        write_atomically(folder / CARD_NAME, card(folder.name, model, measures, description, now).encode())
        sums = "".join(f"{_sha256(folder / name)}  {name}\n" for name in (CARD_NAME, FILE_NAME))
        write_atomically(folder / SUMS_NAME, sums.encode())
    except OSError as error:
        raise ConfigError(f"cannot write the model: {error.strerror}", file=str(error.filename or folder)) from error


def worse_than_existing(folder: Path, measures: Measures | None) -> str:
    """Return why a new model should not replace the one in a folder, empty when nothing speaks against it."""
    if not (folder / FILE_NAME).exists():
        return ""
    try:
        old = _figure(load_any(folder))
    except ConfigError:
        return ""
    if old is None:
        return ""
    if measures is None or measures.roca is None:
        return "too few messages were held out to compare the new model with it"
    if measures.roca > _FACTOR * old + _MARGIN:
        return f"the new model is worse, (1-ROCA)% {measures.roca:.4f} on the mail held out against {old:.4f}"
    return ""


def card(name: str, model: Model | LinearModel, measures: Measures | None, description: Description, date: str) -> str:
    """Return the text of a model's card."""
    rows = [
        ("data", description.data or "not described"),
        ("learned", f"{model.examples.spam} spam, {model.examples.ham} ham"),
        ("date", date),
        ("method", _method(model)),
        ("trust", f"{description.trust:g} (what one of its examples counts beside one learned on the site)"),
        ("file", "compact: features seen once dropped, numbers rounded" if description.compact else "exact"),
    ]  # fmt: skip
    lines = [f"# Model `{name}`", "", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows), ""]
    return "\n".join((*lines, *_figures(measures), "", *_LIMITS, ""))


_LIMITS = (
    "## Limits",
    "",
    "Mail differs from site to site and from year to year, and no model carries over well: scores of a model that was",
    "trained elsewhere are a modest beginning. What makes the difference is learning the site's own mail",
    "(`filterproxy learn`).",
)


def _method(model: Model | LinearModel) -> str:
    if isinstance(model, LinearModel):
        return f"{model.classifier} of scikit-learn on the words, one pass in order of time"
    return (
        "weighted mean of five views (byte 5-grams of header and of body, 5-grams of the visible text, words of header "
        "and of body with sparse pairs and structure), each naive Bayes corrected by AdaGrad logistic regression, one "
        "pass in order of time; of the whole, or of the header with the stretch of the body that is most like spam"
    )


def _figures(measures: Measures | None) -> list[str]:
    if measures is None or measures.roca is None:
        return ["## Figures", "", "None: too few messages to hold any out."]
    return [
        f"## Figures, on the newest fifth ({measures.spam} spam, {measures.ham} ham), learned after it was scored",
        "",
        "| measure | % |",
        "|---|---|",
        f"| (1-ROCA)% | {measures.roca:.4f} |",
        f"| lam% | {measures.lam:.4f} |",
        f"| ham called spam | {measures.hm:.4f} |",
        f"| spam not called spam | {measures.sm:.4f} |",
        *(
            f"| spam missed when {share} of the ham is lost | {missed:.4f} |"
            for share, missed in measures.sm_at.items()
        ),
    ]


def _figure(stored: StoredModel | LinearModel) -> float | None:
    value = stored.info.get("roca")
    return float(value) if isinstance(value, int | float) else None


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
