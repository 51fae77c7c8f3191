"""A folder of messages with the symbols that are expected of them: `expected.yml` beside the messages.

The rule: what an entry does not speak of is not tested; a file that is not there is an error, not a pass.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from filterproxy.config.problems import describe
from filterproxy.config.yaml_loader import KeyPath, YamlDocument, read_yaml
from filterproxy.core.errors import ConfigError, ConfigErrors
from filterproxy.ruleset.conditions import Model, Shorthand
from filterproxy.ruleset.ruleset import Hit, RuleSet
from filterproxy.ruleset.samples import NOW, message_transaction
from filterproxy.ruleset.schema import Sender, SymbolName

FILE_NAME = "expected.yml"
Names = Annotated[tuple[SymbolName, ...], Shorthand()]


class Expected(Sender):
    """What is expected of a message, or of all that a pattern names."""

    file: str = Field(min_length=1, description="A message file or a pattern (ham/*.eml), relative to this file.")
    match: Names = Field((), description="Rules and composites that must match.")
    no_match: Names = Field((), description="Rules and composites that must not match.")
    only: bool = Field(False, description="Whether nothing else may match.")
    max_score: float | None = Field(None, description="The most that all scores together may be.")
    min_score: float | None = Field(None, description="The least that all scores together must be.")


class ExpectedFile(Model):
    """A file of expectations."""

    messages: tuple[Expected, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many messages were tried, and what was not as expected."""

    messages: int
    errors: tuple[ConfigError, ...]


def run_messages(ruleset: RuleSet, folder: Path) -> Outcome:
    """Try the messages of a folder; raise ConfigError or ConfigErrors when its `expected.yml` is wrong."""
    document = read_yaml(folder / FILE_NAME)
    try:
        expectations = ExpectedFile.model_validate(document.data).messages
    except ValidationError as error:
        details = error.errors(include_url=False)
        schema = ExpectedFile.model_json_schema()
        raise ConfigErrors(list(describe(details, document.data, schema, (), document.error))) from error
    errors: list[ConfigError] = []
    number = 0
    for index, expected in enumerate(expectations):
        path = ("messages", index)
        errors += _unknown(ruleset, expected, document, path)
        files = sorted(file for file in folder.glob(expected.file) if file.is_file())
        if not files:
            hint = f"there is no {folder / expected.file}"
            errors.append(document.error((*path, "file"), f"no message: {expected.file}", hint=hint))
        for file in files:
            number += 1
            errors += _compare(ruleset, file, expected, document, path)
    return Outcome(number, tuple(errors))


def _known(ruleset: RuleSet) -> set[str]:
    return {symbol.name for symbol in ruleset.symbols} | {composite.name for composite in ruleset.composites}


def _unknown(ruleset: RuleSet, expected: Expected, document: YamlDocument, path: KeyPath) -> Iterator[ConfigError]:
    known = _known(ruleset)
    for key, names in (("match", expected.match), ("no_match", expected.no_match)):
        for name in names:
            if name not in known:
                yield document.error((*path, key), f"no rule is called {name}", hint=_nearest(name, known))


def _nearest(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def _compare(
    ruleset: RuleSet, file: Path, expected: Expected, document: YamlDocument, path: KeyPath
) -> Iterator[ConfigError]:
    try:
        raw = file.read_bytes()
    except OSError as error:
        yield document.error((*path, "file"), f"{file.name}: cannot read: {error.strerror}")
        return
    hits = {hit.name: hit for hit in ruleset.match(message_transaction(raw, expected), NOW)}
    for composite in ruleset.composites:
        if composite.expression.matches(hits):
            hits[composite.name] = Hit(composite.name, ())
    for key, reason in _differences(ruleset, expected, hits):
        yield document.error((*path, key) if key else path, f"{file.name}: {reason}")


def _differences(ruleset: RuleSet, expected: Expected, hits: dict[str, Hit]) -> Iterator[tuple[str, str]]:
    """Yield the key and the words of everything that is not as expected."""
    known = _known(ruleset)
    yield from (("match", f"{name} does not match") for name in expected.match if name in known and name not in hits)
    yield from (("no_match", _seen(hits[name])) for name in expected.no_match if name in hits)
    if expected.only:
        yield from (("only", _seen(hit)) for name, hit in hits.items() if name not in expected.match)
    scores = {symbol.name: symbol.score for symbol in ruleset.symbols}
    scores |= {composite.name: composite.score for composite in ruleset.composites}
    total = sum(scores.get(name, 0.0) for name in hits)
    if expected.max_score is not None and total > expected.max_score:
        yield "max_score", f"the scores add up to {total:g}: {', '.join(sorted(hits))}"
    if expected.min_score is not None and total < expected.min_score:
        yield "min_score", f"the scores add up to {total:g}: {', '.join(sorted(hits)) or 'nothing matches'}"


def _seen(hit: Hit) -> str:
    return f"{hit.name} matches" + (f": {', '.join(hit.evidence)}" if hit.evidence else "")
