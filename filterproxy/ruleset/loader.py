"""Load rules files: read, validate, compile, and say everything that is wrong at once.

The rule: a ruleset is taken whole or not at all.
"""

from __future__ import annotations

import difflib
import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from filterproxy.config.paths import installed_data, resolve_data
from filterproxy.config.problems import describe
from filterproxy.config.yaml_loader import KeyPath, YamlDocument, read_yaml
from filterproxy.core.action import Action
from filterproxy.core.composite import Composite
from filterproxy.core.errors import ConfigError, ConfigErrors
from filterproxy.core.symbol import Symbol
from filterproxy.ruleset import composites, senders
from filterproxy.ruleset.facts import DEFAULT_LIMITS, TextLimits
from filterproxy.ruleset.lists import ListFile
from filterproxy.ruleset.matchers import Compiler
from filterproxy.ruleset.nodes import Node, Rule
from filterproxy.ruleset.ruleset import RuleSet, Tested
from filterproxy.ruleset.schema import CompositeModel, GroupModel, ListModel, Named, RuleFile, RuleModel
from filterproxy.ruleset.when import WhenNode


def find_files(patterns: Sequence[str], base_dir: Path) -> list[Path]:
    """Return the files that the patterns (`rules/*.yml`) stand for, each once, sorted within a pattern.

    A relative pattern starts at `base_dir`; what ships under `rules/` is found in the installed package when the
    folder has no such file. Raises ConfigError for a pattern that stands for no file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        place = resolve_data(pattern, base_dir).absolute()
        paths = sorted(Path(place.anchor).glob(str(place.relative_to(place.anchor))))
        files = [path for path in paths if path.is_file()]
        if not files:
            raise ConfigError(f"no rules file: {place}", key="checks.rules.files", hint=_similar(place))
        found.update(dict.fromkeys(files))
    return list(found)


def load(files: Sequence[Path], base_dir: Path, limits: TextLimits = DEFAULT_LIMITS) -> RuleSet:
    """Return the ruleset of some files together; raise ConfigErrors with everything that is wrong.

    `base_dir` is the configuration's folder: list files that it holds replace those that ship with the rules.
    """
    loading = _Loading(base_dir)
    with _no_collection():
        for file in files:
            loading.read(file)
        return loading.finish(limits)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Let no garbage collection look at the many objects that are made here and stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Loading:
    """One run over the files; collects errors instead of stopping at the first."""

    def __init__(self, base_dir: Path) -> None:
        self._base_dir = base_dir
        self._errors: list[ConfigError] = []
        self._places: dict[str, str] = {}
        self._envelope_lists: list[Rule] = []
        self._lists: dict[tuple[Path, bool], ListFile] = {}
        self._compiler = Compiler(self._open_list)
        self._rules: list[Rule] = []
        self._parts: list[Rule] = []
        self._symbols: list[Symbol] = []
        self._composites: list[Composite] = []
        self._forced: dict[str, Action] = {}
        self._references: list[composites.Reference] = []
        self._tests: list[Tested] = []
        self._group_limits: dict[str, float] = {}
        self._group_places: dict[str, str] = {}

    def read(self, file: Path) -> None:
        """Add what a file says."""
        try:
            document = read_yaml(file)
        except ConfigError as error:
            self._errors.append(error)
            return
        model = self._validate(document)
        if model is None:
            return
        for number, item in self._enabled(model.rules, document, "rules"):
            self._rule(item, document, ("rules", number))
        for number, entry in self._enabled(model.lists, document, "lists"):
            self._list(entry, document, ("lists", number))
        for number, composite in self._enabled(model.composites, document, "composites"):
            self._composite(composite, document, ("composites", number))
        for number, group in enumerate(model.groups):
            self._group(group, document, ("groups", number, "name"))

    def finish(self, limits: TextLimits) -> RuleSet:
        """Return the ruleset, or raise ConfigErrors."""
        errors = [*self._errors, *self._compiler.errors, *self._compiler.named.problems()]
        ordered: tuple[Composite, ...] = ()
        try:
            ordered = composites.in_order(self._composites, self._references)
        except ConfigError as error:
            errors.append(error)
        if errors:
            raise ConfigErrors(sorted(errors, key=lambda error: (error.file, error.line, error.column)))
        return RuleSet(
            rules=tuple(self._rules), parts=tuple(self._parts), symbols=tuple(self._symbols), composites=ordered,
            forced_actions=self._forced,
            list_files=tuple(self._lists.values()), references=tuple(self._references), tests=tuple(self._tests),
            limits=limits, patterns=tuple(self._compiler.patterns), notes=tuple(self._compiler.notes),
            group_limits=self._group_limits, envelope_lists=tuple(self._envelope_lists),
        )  # fmt: skip

    def _validate(self, document: YamlDocument) -> RuleFile | None:
        data = {} if document.data is None else document.data
        try:
            return RuleFile.model_validate(data)
        except ValidationError as error:
            details = _plain_words(error.errors(include_url=False))
            self._errors += describe(details, data, RuleFile.model_json_schema(), (), document.error)
            return None

    def _enabled(self, items: Sequence[Any], document: YamlDocument, section: str) -> Iterator[tuple[int, Any]]:
        """Yield the enabled items whose name is new; note the others."""
        for number, item in enumerate(items):
            path = (section, number, "name")
            place = self._places.get(item.name)
            if place is not None:
                self._errors.append(
                    document.error(path, f"{item.name} exists already: {place}", hint="choose another name")
                )
                continue
            self._places[item.name] = f"{document.file}:{document.mark(path).line}"
            if item.enabled:
                yield number, item

    def _group(self, model: GroupModel, document: YamlDocument, path: KeyPath) -> None:
        place = self._group_places.get(model.name)
        if place is not None:
            reason = f"the group {model.name} has a limit already: {place}"
            self._errors.append(document.error(path, reason, hint="a group is limited once"))
            return
        self._group_places[model.name] = f"{document.file}:{document.mark(path).line}"
        self._group_limits[model.name] = model.max_score

    def _rule(self, model: RuleModel, document: YamlDocument, path: KeyPath) -> None:
        self._compiler.compiling = model.name
        node = self._compiler.match(model.match, document, (*path, "match"))
        node = self._compiler.when(model.when, node, document, (*path, "when"))
        self._compiler.named.nodes[model.name] = node
        if model.name.startswith("_"):
            self._part(model, document, path)
            self._parts.append(Rule(model.name, node))
            return
        self._declare(model, node, model.description or f"The rule {model.name}")
        self._tests.append(Tested(model.name, model.match, model.tests, document, (*path, "tests")))

    def _part(self, model: RuleModel, document: YamlDocument, path: KeyPath) -> None:
        """Note what a part cannot have: it is read by rules and never seen by itself."""
        for key in ("action", "tests"):
            if key in model.model_fields_set:
                hint = "give the rule a name without _ in front"
                self._errors.append(document.error((*path, key), f"a part has no `{key}:`", hint=hint))

    def _list(self, model: ListModel, document: YamlDocument, path: KeyPath) -> None:
        try:
            file = self._open(model.file, Path(document.file), senders_only=True)
        except ConfigError as error:
            placed = document.error((*path, "file"), f"{error.file}: {error.reason}", hint=error.hint)
            self._errors.append(error if error.line else placed)
            return
        node = self._compiler.when(model.when, senders.list_node(model, file), document, (*path, "when"))
        self._declare(model, node, model.description or f"Listed in {model.file}")
        known = tuple(target for target in model.of if target in senders.ENVELOPE)
        if known:
            early: Node = senders.list_node(model.model_copy(update={"of": known}), file)
            early = WhenNode(node.circumstances, early) if isinstance(node, WhenNode) else early
            self._envelope_lists.append(Rule(model.name, early))

    def _composite(self, model: CompositeModel, document: YamlDocument, path: KeyPath) -> None:
        self._composites.append(composites.build(model, document, path))
        self._references += composites.references(model, document, path)
        self._force(model)

    def _declare(self, model: Named, node: Node, description: str) -> None:
        self._rules.append(Rule(model.name, node))
        self._symbols.append(Symbol(model.name, model.score, description, model.group))
        self._force(model)

    def _force(self, model: Named) -> None:
        if model.action is not None:
            self._forced[model.name] = model.action

    def _open_list(self, name: str, rules_file: Path) -> ListFile:
        return self._open(name, rules_file, senders_only=False)

    def _open(self, name: str, rules_file: Path, *, senders_only: bool) -> ListFile:
        """Return a list file, opened once; what ships with the rules may be replaced beside the configuration."""
        path = rules_file.parent / name
        shipped = installed_data() / "rules"
        if rules_file.parent == shipped:
            path = resolve_data(f"rules/{name}", self._base_dir)
        key = (path, senders_only)
        if key not in self._lists:
            if not path.is_file():
                raise ConfigError("no such list file", file=str(path), hint=_similar(path))
            self._lists[key] = ListFile(path, senders=senders_only)
        return self._lists[key]


def _similar(path: Path) -> str:
    """Return a hint: the file of that folder that is named most like this one."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    close = difflib.get_close_matches(path.name, [other.name for other in folder.iterdir()], n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def _plain_words(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Return the errors without those that only follow from others, in words that know no Python."""
    places = [detail["loc"] for detail in details]
    kept = [detail for detail in details if detail["type"] != "too_short" or not _has_inner(detail["loc"], places)]
    for detail in kept:
        detail["msg"] = _message(detail)
        hint = _nearest_value(detail) if detail["type"] == "literal_error" else ""
        if hint:
            detail["type"], detail["ctx"] = "value_error", {"error": f"unknown value {detail['input']!r}; {hint}"}
    return kept


def _has_inner(outer: tuple[int | str, ...], places: list[tuple[int | str, ...]]) -> bool:
    return any(len(place) > len(outer) and place[: len(outer)] == outer for place in places)


def _message(detail: ErrorDetails) -> str:
    if detail["type"] == "too_short":
        return "must not be empty"
    if str(detail.get("ctx", {}).get("class_name", "")).endswith(
        ("Text", "TextCondition", "BodyMatch", "HeadersMatch")
    ):
        return "must say how it compares: {contains: …}, {equals: …} or {regex: …}"
    return re.sub(r" or instance of \w+$", "", detail["msg"])


def _nearest_value(detail: ErrorDetails) -> str:
    valid = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
    close = difflib.get_close_matches(str(detail["input"]), valid, n=1)
    return f"did you mean {close[0]!r}?" if close else ""
