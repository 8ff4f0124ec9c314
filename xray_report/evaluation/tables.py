"""Scores as tables in the terminal: the system's row beside its baselines, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from xray_report.metrics.diagnostics import warnings_of
from xray_report.metrics.findings.scores import RATIOS
from xray_report.metrics.protocols import PROTOCOLS, Protocol

# Which rows a metrics dictionary has.


def baseline_names(metrics: Mapping[str, float]) -> list[str]:
    """Names of the baselines in a metrics dictionary, in order of appearance."""
    found = (key.split("/")[1] for key in metrics if key.startswith("baseline/"))
    return list(dict.fromkeys(found))


def table_rows(metrics: Mapping[str, float], system: str) -> Iterator[tuple[str, str]]:
    """(row title, prefix of keys): system, its exchanged images, baselines, the known ceiling."""
    if "studies" in metrics:
        yield system, ""
    if any(key.startswith("shuffled/") for key in metrics):
        yield "exchanged", "shuffled/"
    for name in baseline_names(metrics):
        yield name.replace("_", " "), f"baseline/{name}/"
    if any(key.startswith("ceiling/") for key in metrics):
        yield "ceiling*", "ceiling/"


def held_classes(metrics: Mapping[str, float]) -> list[str]:
    """Finding classes that any reference holds, the most frequent first."""
    counts = {
        key.split("/")[1]: value
        for key, value in metrics.items()
        if key.startswith("findings/") and key.endswith("/studies") and value
    }
    return sorted(counts, key=lambda name: -counts[name])


# All tables.


def print_metrics(
    metrics: Mapping[str, float],
    system: str = "model",
    console: Console | None = None,
    note: str = "",
    verbose: bool = True,
) -> None:
    """Print `report_tables`, every title naming its protocol, and a note about the data."""
    studies = f"{metrics['studies']:.0f} studies; " if "studies" in metrics else ""
    last = [f"{studies}fractions (CIDEr 0-10), 95 % bootstrap intervals over studies"]
    if any(key.startswith("ceiling/") for key in metrics):
        last.append("* ceiling: the truth in other words, what a perfect reader would score")
    if "studies" in metrics and baseline_names(metrics):
        last.append(
            "baselines are reports as published: against a system that writes cleaned text, "
            "compare them under clean, which cleans both"
        )
    last += [] if verbose else ["class by class, other protocols, strata: verbose=true"]
    last += [f"[bold]{note}[/]"] if note else []
    (console or Console()).print(Group(*report_tables(metrics, system, verbose), *last))


HEADLINE_PROTOCOL = "clean"


def report_tables(
    metrics: Mapping[str, float], system: str = "model", verbose: bool = True
) -> list[RenderableType]:
    """The tables that a metrics dictionary has numbers for, then its warnings in words.

    Args:
        system: what the model is called.
        verbose: whether to show all, or only protocol `clean` and the findings as a whole.
    """
    shown: list[RenderableType] = []
    for protocol in PROTOCOLS.values():
        if not verbose and protocol.name != HEADLINE_PROTOCOL:
            continue
        if any(key.endswith(protocol.keys[0]) for key in metrics):
            shown.append(protocol_table(metrics, protocol, system))
    if any(key.endswith("findings/micro_f1") for key in metrics):
        shown.append(_score_table(metrics, system, "findings, read by rules", _FINDING_COLUMNS))
    if verbose and held_classes(metrics):
        shown.append(class_table(metrics, system))
    if verbose and "collapse/distinct_reports" in metrics:
        shown.append(collapse_table(metrics, system))
    if verbose and any(key.startswith("strata/") for key in metrics):
        shown.append(strata_table(metrics))
    return [*shown, *(f"[bold red]{text}[/]" for text in warnings_of(metrics).values())]


MAIN_SCORES = {
    "clean/bleu4": "BLEU-4",
    "clean/cider": "CIDEr",
    "findings/micro_f1": "findings F1",
    "facts/f1": "fact F1",
}
"""The scores that stand for all where there is room for few."""


def in_one_sentence(metrics: Mapping[str, float], split: str, folder: str) -> str:
    """What an evaluation found, and where it is written.

    Args:
        split: that was evaluated.
        folder: with the files.
    """
    said = [f"{name} {metrics[key]:.3f}" for key, name in MAIN_SCORES.items() if key in metrics]
    warned = len(warnings_of(metrics))
    warning = f", {warned} warning{'s' if warned > 1 else ''}" if warned else ""
    return (
        f"{', '.join(said)} on {metrics['studies']:.0f} {split} studies{warning}; all of it is "
        f"written to {folder}: open report.html there."
    )


# Table by table.

_SCORE_TITLES = {
    "bleu1": "BLEU-1",
    "bleu2": "BLEU-2",
    "bleu3": "BLEU-3",
    "bleu4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "cider": "CIDEr",
}
_FINDING_COLUMNS = {
    "findings/micro_f1": "micro F1",
    "findings/macro_f1": "macro F1",
    "findings/micro_f1_without_no_finding": "w/o No\nFinding",
    "findings/abnormal_sensitivity": "abnormal\nsensit.",
    "facts/f1": "fact F1",
}


def protocol_table(metrics: Mapping[str, float], protocol: Protocol, system: str) -> Table:
    """Scores of one protocol: a row a system, the 95 % interval under each score."""
    columns = {f"{protocol.name}/{score}": _SCORE_TITLES[score] for score in protocol.scores}
    return _score_table(metrics, system, f"{protocol.name}: {protocol.summary}", columns)


def _score_table(
    metrics: Mapping[str, float], system: str, title: str, columns: Mapping[str, str]
) -> Table:
    shown = {key: name for key, name in columns.items() if any(k.endswith(key) for k in metrics)}
    table = Table("", title=title, title_justify="left", padding=(0, 0))
    for name in shown.values():
        table.add_column(name, justify="right", no_wrap=True)
    for row, prefix in table_rows(metrics, system):
        cells = [_cell(metrics, prefix + key) for key in shown]
        if set(cells) - {"-"}:
            table.add_row(escape(row), *cells)
    return table


def _cell(metrics: Mapping[str, float], key: str) -> str:
    if key not in metrics:
        return "-"
    if f"{key}_low" not in metrics:
        return f"{metrics[key]:.3f}"
    low, high = (f"{metrics[key + end]:.3f}".removeprefix("0") for end in ("_low", "_high"))
    return f"{metrics[key]:.3f}\n[dim]{low}-{high}[/]"


def class_table(metrics: Mapping[str, float], system: str) -> Table:
    """The system's precision, recall and F1 of each finding class that the references hold."""
    title = f"{escape(system)}, class by class"
    table = Table("finding", title=title, title_justify="left", padding=(0, 0))
    for name in ("studies", *RATIOS):
        table.add_column(name, justify="right")
    for name in held_classes(metrics):
        key = f"findings/{name}"
        cells = [_cell(metrics, f"{key}/{ratio}") for ratio in RATIOS]
        table.add_row(name.replace("_", " "), f"{metrics[f'{key}/studies']:.0f}", *cells)
    return table


_COLLAPSE_ROWS = (
    "distinct_reports",
    "most_frequent_share",
    "distinct1",
    "distinct2",
    "words_used",
    "vocabulary_share",
    "copied_share",
    "length_ratio",
)


def collapse_table(metrics: Mapping[str, float], system: str) -> Table:
    """The collapse panel: hypotheses beside references."""
    table = Table("", escape(system), "references", title="collapse panel", title_justify="left")
    for name in _COLLAPSE_ROWS:
        if f"collapse/{name}" in metrics:
            ours, theirs = f"collapse/{name}", f"collapse/reference_{name}"
            table.add_row(name.replace("_", " "), _number(metrics, ours), _number(metrics, theirs))
    rate, reference = _number(metrics, "prior/rate"), _number(metrics, "prior/reference_rate")
    table.add_row("claims a comparison", rate, reference)
    return table


def _number(metrics: Mapping[str, float], key: str) -> str:
    if key not in metrics:
        return ""
    value = metrics[key]
    return f"{value:.0f}" if key.endswith(("reports", "used")) else f"{value:.3f}"


def strata_table(metrics: Mapping[str, float]) -> Table:
    """The main scores of each stratum, by the first protocol that there is."""
    parts = [key.split("/", 2)[1:] for key in metrics if key.startswith("strata/")]
    names, scored = dict.fromkeys(name for name, _ in parts), {key for _, key in parts}
    protocol = next((name for name in PROTOCOLS if f"{name}/bleu4" in scored), "")
    scores = ("bleu1", "bleu4", "rouge_l", "cider")
    columns = {f"{protocol}/{score}": _SCORE_TITLES[score] for score in scores}
    columns |= {"findings/micro_f1": "findings F1", "facts/f1": "fact F1"}
    columns = {key: title for key, title in columns.items() if key in scored}
    title = f"strata (protocol {protocol})" if protocol else "strata"
    table = Table("", "studies", *columns.values(), title=title, title_justify="left")
    for name in names:
        studies = f"{metrics[f'strata/{name}/studies']:.0f}"
        cells = [_cell(metrics, f"strata/{name}/{key}") for key in columns]
        table.add_row(name.replace("_", " "), studies, *cells)
    return table
