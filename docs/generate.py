"""Write the reference pages (`PAGES` names them) from the code: `python docs/generate.py`.

The rule: what the program can say about itself is not written by hand; a test compares these pages with the code.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from filterproxy.app.compose import Services, load_config, make_pipeline, make_site
from filterproxy.app.empty_store import EmptyStore
from filterproxy.cli.main import app
from filterproxy.config.listeners import Listener
from filterproxy.config.loader import Loaded
from filterproxy.config.models import Settings
from filterproxy.config.next_hop import Hop
from filterproxy.config.show import to_plain
from filterproxy.core.check import Check, CheckConfig
from filterproxy.core.symbol import Symbol
from filterproxy.core.values import parse_seconds, parse_size
from filterproxy.observability.maillog import open_maillog
from filterproxy.observability.metrics import Metrics
from filterproxy.pipeline import CheckSet, discover
from filterproxy.pipeline.registry import outcome_symbols
from filterproxy.pipeline.symbol_names import BAYES_BANDS, TABLE, Theirs
from filterproxy.services.clock import SystemClock
from filterproxy.services.resolver import OfflineResolver
from filterproxy.services.scan_pool import ThreadScanPool

FOLDER = Path(__file__).parent
_NOTE = "<!-- Written by docs/generate.py from the code; edit the descriptions there. -->\n"


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


def configuration() -> str:
    """Return the page of all settings."""
    listeners = get_args(get_args(Listener)[0])
    sections = [
        f"# Configuration\n\n{_NOTE}\n{_CONFIGURATION}",
        _table("Top level", _settings(Settings, skip=("listeners",))),
        *(_table(f"Listener `{_tag(model)}`", _settings(model), inspect.getdoc(model)) for model in listeners),
        "Settings of checks are in [checks.md](checks.md).\n",
    ]
    return "\n".join(sections)


_CONFIGURATION = """\
The file is the one named with `-c`, else `$FILTERPROXY_CONFIG`, else `./filterproxy.yml`, else
`/etc/filterproxy/filterproxy.yml`; without any, the defaults apply. Every key is optional except one listener.
`filterproxy init` writes a commented file, `filterproxy check-config` lists everything that is wrong with one, and
`filterproxy config show --origin` shows every value in use and where it came from. `filterproxy config schema` prints
a JSON Schema for editors.

- **Merging**: defaults < the files under `include:` in order < the file itself. Maps are merged, lists and single
  values replaced. One exception: naming any check under `checks:` replaces the default set, so that exactly the
  checks you name run; `name: false` takes back one that an included file enabled.
- **Paths** are relative to the folder of the main file. `models/default` and `rules/…` that are not found there come
  with the program. `sqlite:///abs/path` is absolute, `sqlite:rel/path` relative.
- **Durations** are written `500ms`, `20s`, `5m`, `12h`, `30d` (a bare number is seconds), **sizes** `500KB`, `10MB`,
  `64MiB` (a bare number is octets).
- **Addresses** are written `127.0.0.1:25`, `"[::1]:25"` or `unix:/path`.
- The file is YAML 1.2: `yes` and `no` are text, a key may not appear twice, tags and merge keys are refused. A key
  without a value is as if it were not there, except under `checks`, where it enables the check with its defaults.
- After a change, SIGHUP has the running service take it up. A file that is wrong is refused and the old configuration
  stays in use. `listeners`, `workers`, `store` and `log` need a restart.
"""


def checks() -> str:
    """Return the page of all installed checks and their symbols."""
    types = discover()
    declared = _declared_symbols()
    sections = [
        f"# Checks and symbols\n\n{_NOTE}\n{_CHECKS}",
        _table("Settings every check has", _settings(CheckConfig, prefix="checks.NAME.")),
        *(_check(name, types[name], declared.get(name, [])) for name in types if _is_ours(types[name])),
        _symbols("Message structure", "What could not be read or was not scanned.", declared["message"]),
    ]
    return "\n".join(sections)


_CHECKS = """\
A check reports evidence as symbols; each symbol that fires adds its score, and the sum decides the action
(`actions:`). `scores:` gives a symbol another score, `force_actions:` makes it decide alone, and `filterproxy explain
SYMBOL` says where it comes from. A check that could not answer fires `NAME_FAILED` or `NAME_TIMED_OUT` (score 0): a
failure is never taken for a clean result.
"""


def _check(name: str, check: type[Check[Any]], symbols: list[Symbol]) -> str:
    own = [row for row in _settings(check.config_type, f"checks.{name}.") if not _is_common(row)]
    settings = _table("", own) if own else "No settings of its own.\n"
    ended = ", ".join(f"`{symbol.name}`" for symbol in outcome_symbols(name))
    about = f"{inspect.getdoc(check)}\n\nRuns from stage {check.stage.name} on" + (
        f", after {', '.join(sorted(check.after))}" if check.after else ""
    )
    return f"## `{name}`\n\n{about}. When it cannot answer: {ended}.\n\n{settings}\n{_symbol_table(symbols)}"


def _is_common(row: Row) -> bool:
    """Tell whether a setting is one that every check has, with the default that every check has."""
    common = {key.rpartition(".")[2]: default for key, _, default, _ in _settings(CheckConfig)}
    return common.get(row[0].split(".", 2)[2]) == row[2]


def _is_ours(check: type[Check[Any]]) -> bool:
    """Tell whether the check is a built-in one: plugins that happen to be installed have their own documentation."""
    return check.__module__.startswith("filterproxy.")


# What makes a check declare the symbols of what ships with it, beside its defaults.
_WITH_SHIPPED = {
    "dnslists": "{definitions: [rules/dnslists/*.yml, rules/dnslists/agreement/*.yml], "
    "keys: {spamhaus_dqs: none, abusix: none}}"
}


def _declared_symbols() -> dict[str, list[Symbol]]:
    """Return the symbols of each built-in check with the shipped rules and model; the parser's under `message`."""
    names = [name for name, check in discover().items() if _is_ours(check)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "filterproxy.yml")
        settings = "".join(f"  {name}: {_WITH_SHIPPED.get(name, '{}')}\n" for name in names)
        path.write_text(f"hostname: mx.example.org\nchecks:\n{settings}")
        built = _build(load_config(path))
    ended = {symbol.name for check in built.checks for symbol in outcome_symbols(check.name)}
    owners = {name: check.name for check in built.checks for name in built.declared[check.name]}
    owners |= {item.name: check.name for check in built.checks for item in check.composites()}
    found: dict[str, list[Symbol]] = {"message": []}
    for name, symbol in built.symbols.items():
        if name not in ended:
            found.setdefault(owners.get(name, "message"), []).append(symbol)
    return found


def _build(loaded: Loaded) -> CheckSet:
    """Return the checks of a configuration, made but not started: nothing is opened."""
    log = open_maillog("stderr")
    services = Services(SystemClock(), log, Metrics(), EmptyStore(), None, ThreadScanPool(1), OfflineResolver())
    return make_pipeline(loaded, make_site(loaded, offline=True), services).checks


def _symbols(title: str, about: str, symbols: list[Symbol]) -> str:
    return f"## {title}\n\n{about}\n\n{_symbol_table(symbols)}"


def _symbol_table(symbols: list[Symbol]) -> str:
    if not symbols:
        return "Its symbols come from the configuration.\n"
    rows = [f"| `{symbol.name}` | {symbol.score:g} | {_cell(symbol.description)} |" for symbol in symbols]
    return "\n".join(("| symbol | score | fires when |", "|---|---|---|", *rows)) + "\n"


def commands() -> str:
    """Return the page of all commands."""
    root = typer.main.get_command(app)
    sections = [_command(path, command) for path, command in _walk("filterproxy", root)]
    return "\n".join((f"# Commands\n\n{_NOTE}\n{_COMMANDS}", *sections))


_COMMANDS = """\
Exit status of every command: 0 fine, 1 the answer is no (spam, invalid, unhealthy), 2 wrong usage, 75 temporary
failure. PATH is a file, a folder, an mbox or a Maildir; `-` is standard input. `filterproxy --version` prints the
version.
"""


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    children: Mapping[str, click.Command] = getattr(command, "commands", {})
    for name in sorted(children):
        yield from _walk(f"{path} {name}", children[name])
    if not children:
        yield path, command


def _command(path: str, command: click.Command) -> str:
    arguments = " ".join(
        parameter.metavar or parameter.name.upper()
        for parameter in command.params
        if parameter.param_type_name == "argument" and parameter.name
    )
    rows = [
        f"| `{', '.join((*parameter.opts, *parameter.secondary_opts))}` | {_cell(parameter.help or '')} |"
        for parameter in command.params
        if isinstance(parameter, click.Option) or parameter.param_type_name == "option"
        if "--help" not in parameter.opts
    ]
    table = "\n".join(("| option | meaning |", "|---|---|", *rows)) + "\n" if rows else ""
    about = inspect.cleandoc(command.help or "")
    return f"## `{f'{path} {arguments}'.strip()}`\n\n{about}\n\n{table}"


def metrics() -> str:
    """Return the page of all metrics."""
    families = sorted(
        (family for family in Metrics().registry.collect() if family.name.startswith("filterproxy_")),
        key=lambda family: family.name,
    )
    rows = []
    for family in families:
        name = family.name + ("_total" if family.type == "counter" else "")
        rows.append(f"| `{name}` | {family.type} | {_cell(family.documentation)} |")
    return (
        "\n".join((f"# Metrics\n\n{_NOTE}\n{_METRICS}", "| metric | type | meaning |", "|---|---|---|", *rows)) + "\n"
    )


_METRICS = """\
An `http` listener serves them under `/metrics` in Prometheus' text format, summed over all workers. A histogram has
the series `_bucket`, `_sum` and `_count`. Labels come from the configuration only (listener, action, check, symbol),
never from a message.
"""


def symbol_names() -> str:
    """Return the page of symbols that have other names elsewhere."""
    rows = [
        f"| `{ours}` | {_names(theirs.rspamd)} | {_names(theirs.spamassassin)}{_sometimes(ours, theirs)} |"
        for ours, theirs in TABLE.items()
    ]
    bands = zip(BAYES_BANDS, (*(begin for begin, _ in BAYES_BANDS[1:]), 1.0), strict=True)
    bayes = [f"| {begin:g} to {end:g} | `{name}` |" for (begin, name), end in bands]
    bayes.append("| 0.999 to 1 | `BAYES_999` besides |")
    table = "\n".join(("| ours | rspamd | SpamAssassin |", "|---|---|---|", *rows))
    return (
        f"# Names of symbols elsewhere\n\n{_NOTE}\n{_SYMBOL_NAMES}\n{table}\n\n## The classifier's probability in "
        "SpamAssassin's names\n\n" + "\n".join(("| probability | name |", "|---|---|", *bayes)) + "\n"
    )


_SYMBOL_NAMES = """\
Scripts, Sieve rules and dashboards that look for `R_SPF_FAIL` or `BAYES_99` keep working when the listener that they
ask has

```yaml
listeners:
  - {type: http, address: "127.0.0.1:11333", compat: rspamd}
  - {type: spamd, address: "127.0.0.1:783", compat: spamassassin}
```

`compat` is a setting of the listeners `http`, `spamd`, `milter`, `smtp` and `lmtp`; without it symbols have our names.
It changes the names in what that listener answers (the symbols of a scan, `/symbols`, `/counters`, spamd's report) and
in the header fields that it adds (`tests=` in `X-Spam-Status`, `X-Spam-Report`, `X-Spamd-Result`). Rules, `scores:`,
`force_actions:`, the log, the metrics, the history (also `/history`) and `filterproxy explain` know our names alone.

A symbol is in the table when theirs means the same; all others, among them those of your own rules and lists, keep
their names. Scores stay ours and still sum up to the message's: where one of ours has several names the first one
carries the score and the others 0, and where several of ours share a name their scores are added. What is written in
brackets depends on the message: `DKIM_INVALID` comes when no signature is valid, `DKIM_VALID_AU` and `DKIM_VALID_EF`
when a valid one is the author's domain's or the envelope sender's.

`ALL_TRUSTED` has no counterpart: mail of our own users is told by its profile, not by a symbol.
"""


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _sometimes(ours: str, theirs: Theirs) -> str:
    if ours.startswith("BAYES_"):
        return "`BAYES_00` to `BAYES_999`, see below"
    return f" ({_names(theirs.sometimes)})" if theirs.sometimes else ""


Row = tuple[str, str, str, str]


def _settings(model: type[BaseModel], prefix: str = "", skip: tuple[str, ...] = ()) -> list[Row]:
    """Return key, type, default and meaning of each setting; those of an inner model follow with their own keys."""
    rows: list[Row] = []
    for name, field in model.model_fields.items():
        if name in skip:
            continue
        key = prefix + name
        inner, below = _inner_model(field.annotation)
        rows.append((key, _type(field), _default(field), field.description or ""))
        # Hops and routes inside a next hop have the same settings again.
        if inner is not None and not (issubclass(inner, Hop) and issubclass(model, Hop)):
            rows += _settings(inner, key + below)
    return rows


def _inner_model(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """Return the model a setting holds, and how the keys below it go on: directly, in a list, or in a map."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation, "."
    if origin is Annotated:
        return _inner_model(arguments[0])
    if origin in (Union, UnionType) and len(arguments) == 2 and type(None) in arguments:
        return _inner_model(next(argument for argument in arguments if argument is not type(None)))
    if origin in (tuple, list, frozenset) and arguments:
        return _inner_model(arguments[0])[0], "[]."
    if origin in (dict, Mapping) and len(arguments) == 2:
        return _inner_model(arguments[1])[0], ".*."
    return None, ""


def _type(field: FieldInfo) -> str:
    words = {parse_seconds: "duration", parse_size: "size"}
    for item in field.metadata:
        if getattr(item, "func", None) in words:
            return words[item.func]
    return _type_word(field.annotation)


def _type_word(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        functions = [getattr(item, "func", None) for item in arguments[1:]]
        if parse_seconds in functions or parse_size in functions:
            return "duration" if parse_seconds in functions else "size"
        return _type_word(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (tuple, list, frozenset):
        return f"list of {_type_word(arguments[0])}"
    if origin in (dict, Mapping):
        return "map"
    if origin is Union or str(origin) == "<class 'types.UnionType'>":
        kinds = (_type_word(item) for item in arguments if item is not type(None))
        return " or ".join(dict.fromkeys(kinds))
    name = getattr(annotation, "__name__", str(annotation))
    return _TYPE_WORDS.get(name, "map" if _inner_model(annotation)[0] else name.lower())


_TYPE_WORDS = {
    "str": "text",
    "int": "number",
    "float": "number",
    "bool": "true, false",
    "SocketAddress": "address",
    "IPv4Network": "network",
    "IPv6Network": "network",
    "dict": "map",
    "Any": "value",
}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "see text"
    value = to_plain(field.default)
    if isinstance(field.default, BaseModel) or value in ((), [], {}, None, ""):
        return "–"
    kind = _type(field)
    if kind == "duration":
        return f"`{_in_units(value, ('d', 86400), ('h', 3600), ('m', 60), ('s', 1), ('ms', 0.001))}`"
    if kind == "size":
        return f"`{_in_units(value, ('GB', 1e9), ('MB', 1e6), ('MiB', 2**20), ('KiB', 2**10), ('KB', 1e3), ('', 1))}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return f"`[{', '.join(str(item) for item in value)}]`"
    if isinstance(value, dict):
        return f"`{{{', '.join(f'{key}: {item:g}' for key, item in value.items())}}}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _in_units(value: float, *units: tuple[str, float]) -> str:
    for unit, size in units:
        count = value / size
        if value and abs(count - round(count)) < 1e-9:
            return f"{round(count)}{unit}"
    return f"{value:g}"


def _table(title: str, rows: list[Row], about: str | None = None) -> str:
    lines = [
        f"| `{key}` | {_cell(kind)} | {_cell(default)} | {_cell(meaning)} |" for key, kind, default, meaning in rows
    ]
    head = (f"## {title}\n\n" if title else "") + (f"{about}\n\n" if about else "")
    return head + "\n".join(("| setting | type | default | meaning |", "|---|---|---|---|", *lines)) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _tag(model: type[BaseModel]) -> str:
    return str(get_args(model.model_fields["type"].annotation)[0])


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "checks.md": checks,
    "commands.md": commands,
    "metrics.md": metrics,
    "symbol-names.md": symbol_names,
}

if __name__ == "__main__":
    main()
