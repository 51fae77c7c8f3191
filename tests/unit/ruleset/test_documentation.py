"""docs/writing-rules.md: every example loads, and every key of the language is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from filterproxy.ruleset import loader
from filterproxy.ruleset.conditions import CountedText
from filterproxy.ruleset.samples import run_tests
from filterproxy.ruleset.schema import (
    AttachmentMatch,
    AuthenticationMatch,
    BodyMatch,
    ClientMatch,
    CompositeModel,
    DateMatch,
    DecodedBodyMatch,
    ElementMatch,
    EnvelopeMatch,
    GroupModel,
    HeaderMatch,
    HeadersMatch,
    HtmlMatch,
    ListModel,
    Match,
    PartHeader,
    PartMatch,
    ReceivedMatch,
    RuleModel,
    Sample,
    SumMatch,
    SumTerm,
    UrlMatch,
    When,
)

PAGE = (Path(__file__).parents[3] / "docs" / "writing-rules.md").read_text()
EXAMPLES = re.findall(r"```yaml\n((?:rules|lists|composites|groups):.*?)```", PAGE, re.DOTALL)
MODELS = (
    RuleModel, CompositeModel, ListModel, Match, CountedText, HeaderMatch, HtmlMatch, UrlMatch, AttachmentMatch,
    EnvelopeMatch, ClientMatch, AuthenticationMatch, DateMatch, Sample, BodyMatch, HeadersMatch, DecodedBodyMatch,
    ElementMatch, PartHeader, PartMatch, GroupModel, SumMatch, SumTerm, When,
    ReceivedMatch,
)  # fmt: skip


def test_all_examples_together_load_and_pass_their_tests(tmp_path):
    assert len(EXAMPLES) >= 5
    (tmp_path / "lists").mkdir()
    for name in ("partners.txt", "shorteners.txt"):
        (tmp_path / "lists" / name).write_text("example.org\n")
    files = []
    for number, example in enumerate(EXAMPLES):
        files.append(tmp_path / f"example{number}.yml")
        files[-1].write_text(example)
    ruleset = loader.load(files, tmp_path)
    assert [str(error) for error in run_tests(ruleset)] == []
    assert ruleset.unknown_symbols({"SPF_FAIL", "DMARC_POLICY_REJECT", "BAYES_SPAM"}) == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_explained(model):
    keys = {(field.alias or name) for name, field in model.model_fields.items()} - {"symbol"}
    assert [key for key in sorted(keys) if not re.search(rf"`[^`]*\b{key}\b[^`]*`", PAGE)] == []
