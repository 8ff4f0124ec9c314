"""The scores of an evaluation as the tables and sentences of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from xray_report.metrics.findings.scores import PARTS
from xray_report.metrics.table import held_classes, systems

HEADLINES = {
    "clean/bleu4": "BLEU-4",
    "clean/rouge_l": "ROUGE-L",
    "clean/cider": "CIDEr",
    "findings/micro_f1": "findings F1",
    "facts/f1": "fact F1",
}
ROWS = {
    "exchanged": "the same, images exchanged",
    "constant": "one fixed report for all",
    "most frequent": "most frequent training report",
    "random": "random training reports",
    "nearest": "report of the nearest training study",
    "two constants": "two fixed reports, normal and abnormal",
    "ceiling*": "ceiling: the truth in other words",
}


def score_tables(metrics: Mapping[str, float], system: str) -> str:
    """Markup: the system beside its rivals, and class by class."""
    rows = [
        [ROWS.get(name, name), *(_cell(metrics, prefix + key) for key in HEADLINES)]
        for name, prefix in systems(metrics, system)
    ]
    classes = [
        [name.replace("_", " "), f"{metrics[f'findings/{name}/studies']:.0f}"]
        + [_cell(metrics, f"findings/{name}/{part}") for part in PARTS]
        for name in held_classes(metrics)
    ]
    first = _table(["", *HEADLINES.values()], rows)
    second = _table(["finding", "studies", *PARTS], classes)
    return f"{first}<details><summary>Findings, class by class</summary>{second}</details>"


def _cell(metrics: Mapping[str, float], key: str) -> str:
    if key not in metrics:
        return "–"
    if f"{key}_low" not in metrics:
        return f"{metrics[key]:.3f}"
    low, high = metrics[f"{key}_low"], metrics[f"{key}_high"]
    return f"{metrics[key]:.3f}<small>{low:.3f} to {high:.3f}</small>"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr><td>{escape(first)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for first, *cells in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def score_sentences(metrics: Mapping[str, float]) -> list[str]:
    """What the tables leave out, in words."""
    found = ["Protocol clean; fractions (CIDEr 0 to 10) with 95 % intervals over studies."]
    if "collapse/distinct_reports" in metrics:
        found.append(
            f"{metrics['collapse/distinct_reports']:.0f} different reports for "
            f"{metrics['studies']:.0f} studies (the references hold "
            f"{metrics['collapse/reference_distinct_reports']:.0f}); the most frequent one is "
            f"given to {metrics['collapse/most_frequent_share']:.0%}."
        )
    return found
