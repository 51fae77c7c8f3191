"""Import a folder of .cf files: read, collect, translate.

The rule: a folder without rules is an error; a line that is wrong is told with its place and costs only itself.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from filterproxy.core.errors import ConfigError
from filterproxy.ruleset.import_spamassassin.conditions import DEFAULT_PLUGINS
from filterproxy.ruleset.import_spamassassin.definitions import Definitions
from filterproxy.ruleset.import_spamassassin.statements import Reader
from filterproxy.ruleset.import_spamassassin.translate import Translation, translate


def import_folder(folder: Path, *, score_set: int = 3, taken: Collection[str] = ()) -> Translation:
    """Return the rules of a folder (or one file) of .cf files, translated, and the report.

    `score_set` says which of four scores counts: 0 without network and Bayes, 1 with network, 2 with Bayes, 3 with
    both.
    Raises ConfigError when the folder cannot be read or holds no rule.
    """
    reader = Reader(set(DEFAULT_PLUGINS))
    definitions = Definitions(score_set)
    definitions.read(reader.folder(folder))
    if not definitions.rules:
        problems = [str(problem) for problem in (*reader.problems, *definitions.problems)]
        hint = "; ".join(problems[:3])
        raise ConfigError("no rule in these files", file=str(folder), hint=hint)
    translation = translate(definitions, taken)
    translation.report.problems = [*reader.problems, *translation.report.problems]
    return translation
