"""The HTML report: one file that needs no other, complete, and safe with words from other people's mail."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from filterproxy.classifier.evaluate import evaluate
from filterproxy.classifier.explain import Reason
from filterproxy.classifier.model import Model
from filterproxy.classifier.reading import from_index
from filterproxy.classifier.report import render
from filterproxy.classifier.rows import Rows, Scored
from filterproxy.classifier.svg import Line, even_axis, line_chart, steps
from filterproxy.classifier.worst import KEPT, Mistake, WorstMistakes
from tests.unit.classifier.mail import write_corpus


class Tags(HTMLParser):
    """Collects the tags of a page and checks that they are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rows, WorstMistakes]:
    index = write_corpus(tmp_path_factory.mktemp("corpus"), 60)
    # Two wrong labels, which must come out as the worst errors.
    text = index.read_text().replace("spam 00050", "ham 00050").replace("ham 00051", "spam 00051")
    index.write_text(text)
    model, scored = Model.empty(), Scored()
    worst = WorstMistakes(model)
    for result in evaluate(from_index(index), model, watch=worst.watch):
        scored.add(result.is_spam, result.given, result.score)
    return scored.rows(), worst


def test_the_page_is_whole_and_needs_nothing(run: tuple[Rows, WorstMistakes]) -> None:
    page = render("Evaluation", run[0], run[1].worst_first())
    tags = Tags(page).seen
    assert tags.count("svg") == 4
    assert not {"script", "link", "img", "iframe"} & set(tags)
    assert not re.search(r"https?:|url\(|src=|href=", page)
    for text in ("(1-ROCA)%", "lam%", "ROC curve", "Calibration", "Errors over time", "Thresholds", "Worst errors"):
        assert text in page


def test_the_worst_errors_come_first_with_their_words(run: tuple[Rows, WorstMistakes]) -> None:
    mistakes = run[1].worst_first()
    assert {mistake.path for mistake in mistakes[:2]} == {"00050", "00051"}
    assert [mistake.margin for mistake in mistakes] == sorted((m.margin for m in mistakes), reverse=True)
    assert len(mistakes) <= KEPT
    # The message labelled ham was taken for spam, by words that speak for spam.
    ham = next(mistake for mistake in mistakes if mistake.path == "00050")
    assert ham.score > 0
    assert ham.reasons[0].weight > 0


def test_words_and_paths_are_escaped(run: tuple[Rows, WorstMistakes]) -> None:
    evil = Mistake(3.0, "<script>alert(1)</script>\x1b[31m", False, 5.0, (Reason("<img src=x onerror=y>\u202e", 0.5),))
    page = render("<b>title</b>", run[0], [evil])
    assert "script" not in Tags(page).seen
    assert "img" not in Tags(page).seen
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_one_class_alone() -> None:
    page = render("x", Rows(np.array([True, True]), ["spam", "spam"], np.array([1.0, 2.0])), [])
    assert "there is nothing to draw" in page
    Tags(page)


def test_a_chart_stays_within_its_frame() -> None:
    axis = even_axis("x", 0, 1)
    chart = line_chart(axis, axis, [Line([(-5, -5), (0.5, 0.5), (9, 9)], "#000")])
    numbers = [float(number) for number in re.findall(r"[\d.]+", re.search(r'points="([^"]+)"', chart)[1])]
    assert min(numbers) >= 0
    assert max(numbers) <= 420


def test_histogram_outline() -> None:
    assert steps([0, 1, 2], [3.0, 4.0]) == [(0, 0), (0, 3), (1, 3), (1, 4), (2, 4), (2, 0)]


def test_a_report_on_the_same_run_is_the_same(run: tuple[Rows, WorstMistakes], tmp_path: Path) -> None:
    assert render("x", run[0], run[1].worst_first()) == render("x", run[0], run[1].worst_first())
