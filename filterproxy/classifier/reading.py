"""Reading labelled messages for training and evaluation: where they lie, in which order, and their features.

The rule: a message is read when it is needed and dropped at once, so memory does not grow with the corpus; one that
cannot be read is an error of its own and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filterproxy.classifier.features import Features, extract
from filterproxy.message import Limits, Message
from filterproxy.services.corpus import Locator, locate_messages, read_index, received_time

# The classifier looks at the beginning of a message only: less is parsed than for a scan.
READING = Limits(text=200_000, html=400_000, html_tags=5_000, urls=200, charset_detections=2)
MAX_BYTES = 2_000_000
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled message: where it lies, its class, and when it was received as far as that was looked up."""

    source: Locator
    is_spam: bool
    received: datetime | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """An example after reading: its features, or why there are none."""

    example: Example
    features: Features | None
    error: str = ""


def from_paths(ham: Iterable[str | Path], spam: Iterable[str | Path], room: Path | None = None) -> list[Example]:
    """Return the messages of the paths in order of time; without any date the classes alternate.

    Archives and standard input are unpacked into `room`. Raises OSError when that cannot be written.
    """
    keyed = []
    for is_spam, paths in ((False, ham), (True, spam)):
        found = list(locate_messages(paths, room / ("spam" if is_spam else "ham") if room else None))
        for number, source in enumerate(found):
            received = received_time(source.read_start())
            keyed.append((received or _NEVER, number / len(found), Example(source, is_spam, received)))
    return [example for _, _, example in sorted(keyed, key=lambda entry: entry[:2])]


def from_index(index: Path) -> list[Example]:
    """Return the messages of an index in its order, which is that of delivery; raises ConfigError."""
    return [Example(Locator(line.path, str(line.file)), line.judge == "spam") for line in read_index(index)]


def read_features(examples: Sequence[Example]) -> Iterator[Read]:
    """Yield each example with its features, in order."""
    for example in examples:
        item = example.source.read()
        if item.raw is None:
            yield Read(example, None, item.error)
        else:
            yield Read(example, features_of(item.raw))


def features_of(raw: bytes) -> Features:
    """Return the features of a message to learn; of a huge one, those of its first part."""
    return extract(message_to_learn(raw))


def message_to_learn(raw: bytes) -> Message:
    """Return what is parsed of a message to learn or to measure."""
    return Message(raw[:MAX_BYTES], limits=READING, truncated=len(raw) > MAX_BYTES)
