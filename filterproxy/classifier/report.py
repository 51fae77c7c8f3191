"""An evaluation as one HTML file that needs no other: charts, thresholds, and the worst errors with their reasons.

The rule: paths and words come from other people's mail and are escaped; the page loads nothing and runs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from filterproxy.classifier.metrics import Measures, measure
from filterproxy.classifier.rows import Rows
from filterproxy.classifier.svg import Axis, Line, even_axis, line_chart, steps
from filterproxy.classifier.worst import Mistake
from filterproxy.observability.escape import escape as escape_line

_SPAM, _HAM, _GREY = "#b3261e", "#1b6e3c", "#777"
_FEWEST, _SPANS = 100, 20
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left;overflow-wrap:anywhere}"
    "td,th{font-variant-numeric:tabular-nums;vertical-align:top}"
    "h1{font-size:1.5rem;overflow-wrap:anywhere}h1+p{color:#666}.errors td:first-child{min-width:11rem;font-size:13px}"
    "svg text{font:11px sans-serif;fill:currentColor}"
    ".charts{display:flex;flex-wrap:wrap;gap:1.5rem}figure{margin:0}figcaption{font-weight:600}"
    ".errors .words{text-align:left;font-size:13px}.spam{color:#b3261e}.ham{color:#1b6e3c}"
)


def render(title: str, rows: Rows, mistakes: Sequence[Mistake], how: str = "") -> str:
    """Return the report on some rows, `how` they came about below the title; needs both classes for the charts."""
    measures = measure(rows)
    charts = _charts(rows) if measures.roca is not None else "<p>One class is missing: there is nothing to draw.</p>"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n"
        f"<p>{escape(how)}</p>\n"
        f"{_summary(measures)}\n{charts}\n<h2>Thresholds</h2>\n{_thresholds(rows)}\n"
        f"<h2>Worst errors</h2>\n{_mistakes(mistakes)}\n</body></html>\n"
    )


def _summary(measures: Measures) -> str:
    values = (
        ("messages", f"{measures.spam + measures.ham} ({measures.spam} spam, {measures.ham} ham)"),
        ("(1-ROCA)%", _number(measures.roca)),
        ("lam%", _number(measures.lam)),
        ("ham called spam %", _number(measures.hm)),
        ("spam not called spam %", _number(measures.sm)),
        *(
            (f"spam missed % when {share} of the ham is lost", _number(value))
            for share, value in measures.sm_at.items()
        ),
        ("unsure", str(measures.unsure)),
        ("calibration error %", _number(measures.calibration_error)),
    )
    return _table((), [(name, value) for name, value in values])


def _charts(rows: Rows) -> str:
    charts = (
        ("ROC curve (logarithmic)", _roc(rows)),
        ("Scores", _histogram(rows)),
        ("Calibration", _calibration(rows)),
        ("Errors over time", _over_time(rows)),
    )
    figures = "\n".join(f"<figure><figcaption>{title}</figcaption>{chart}</figure>" for title, chart in charts)
    return f'<div class="charts">\n{figures}\n</div>'


def _roc(rows: Rows) -> str:
    lost, caught, _ = roc_curve(rows.is_spam, rows.scores)
    floor = 1e-4
    ticks = [(exponent, f"{100 * 10**exponent:g}") for exponent in (-4, -3, -2, -1, 0)]
    points = [
        (float(np.log10(max(x, floor))), float(np.log10(max(1 - y, floor)))) for x, y in zip(lost, caught, strict=True)
    ]
    return line_chart(Axis("ham lost %", -4, 0, ticks), Axis("spam missed %", -4, 0, ticks), [Line(points, _SPAM)])


def _histogram(rows: Rows) -> str:
    low, high = (float(value) for value in np.percentile(rows.scores, (0.1, 99.9)))
    edges = np.linspace(low, max(high, low + 1), 41)
    counts = [np.histogram(np.clip(rows.scores[mask], low, high), edges)[0] for mask in (rows.is_spam, ~rows.is_spam)]
    outlines = [steps(edges.tolist(), count.astype(float).tolist()) for count in counts]
    tallest = float(max(count.max() for count in counts))
    lines = [Line(outlines[0], _SPAM, "spam", filled=True), Line(outlines[1], _HAM, "ham", filled=True)]
    return line_chart(even_axis("log-odds", low, float(edges[-1])), even_axis("messages", 0, max(tallest, 1)), lines)


def _calibration(rows: Rows) -> str:
    probabilities = 1 / (1 + np.exp(-np.clip(rows.scores, -700, 700)))
    real, predicted = calibration_curve(rows.is_spam, probabilities, n_bins=20)
    lines = [
        Line([(0, 0), (1, 1)], _GREY, "ideal", dashed=True),
        Line(list(zip(predicted.tolist(), real.tolist(), strict=True)), _SPAM, "measured"),
    ]
    return line_chart(even_axis("probability of spam", 0, 1), even_axis("share of spam", 0, 1), lines)


def _over_time(rows: Rows) -> str:
    spans = max(1, min(_SPANS, len(rows) // _FEWEST))
    bounds = np.linspace(0, len(rows), spans + 1).astype(int)
    called = np.asarray([given == "spam" for given in rows.classes])
    series: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for begin, end in pairwise(bounds.tolist()):
        for is_spam in (True, False):
            mask = rows.is_spam[begin:end] == is_spam
            if mask.any():
                wrong = float((called[begin:end][mask] != is_spam).mean())
                series[is_spam].append(((begin + end) / 2, 100 * wrong))
    highest = max((value for line in series.values() for _, value in line), default=1.0)
    lines = [Line(series[True], _SPAM, "spam missed"), Line(series[False], _HAM, "ham lost")]
    return line_chart(even_axis("message", 0, len(rows)), even_axis("%", 0, max(highest, 0.1)), lines)


def _thresholds(rows: Rows) -> str:
    spam, ham = np.sort(rows.scores[rows.is_spam]), np.sort(rows.scores[~rows.is_spam])
    body = []
    for value in (-2.2, 0.0, 1.0, 2.2, 3.0, 4.0, 5.0, 7.0):
        lost, missed = ham.size - int(np.searchsorted(ham, value, "right")), int(np.searchsorted(spam, value, "right"))
        shares = (_percent(lost, ham.size), _percent(missed, spam.size))
        body.append((f"{value:g}", f"{1 / (1 + np.exp(-value)):.4f}", str(lost), shares[0], str(missed), shares[1]))
    return _table(("log-odds over", "probability", "ham lost", "%", "spam missed", "%"), body)


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    if not mistakes:
        return "<p>None.</p>"
    lines = []
    for mistake in mistakes:
        words = ", ".join(
            f'<span class="{"spam" if reason.weight > 0 else "ham"}">{escape(escape_line(str(reason), 100))}</span>'
            for reason in mistake.reasons
        )
        path = escape(escape_line(mistake.path, 300))
        label = "spam" if mistake.is_spam else "ham"
        lines.append(
            f'<tr><td>{path}</td><td>{label}</td><td>{mistake.score:.2f}</td><td class="words">{words}</td></tr>'
        )
    cells = (
        "<th>message</th>",
        "<th>label</th>",
        "<th>log-odds</th>",
        '<th class="words">words, with what they added</th>',
    )
    return f'<table class="errors"><tr>{"".join(cells)}</tr>{"".join(lines)}</table>'


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    first = f"<tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>" if head else ""
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in body)
    return f"<table>{first}{lines}</table>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3f}" if whole else "–"
