"""`xray-report compare`: two systems on the same studies."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xray_report.commands.shared import JsonOption, TrainColumnOption, TrainOption, training_texts

if TYPE_CHECKING:
    from xray_report.metrics.files import ReportRecord
    from xray_report.metrics.study_scores import Difference


def compare(
    first: Annotated[Path, typer.Argument(help="Result folder or reports.jsonl.")],
    second: Annotated[Path, typer.Argument(help="Another, of the same studies.")],
    train: TrainOption = None,
    train_column: TrainColumnOption = None,
    json: JsonOption = None,
    latex: Annotated[
        bool, typer.Option("--latex", help="Print a LaTeX table (booktabs) instead.")
    ] = False,
) -> None:
    """Compare two systems study by study: differences with 95 % intervals (paired bootstrap).

    Example: xray-report compare runs/evaluate/A runs/evaluate/B --latex
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from xray_report.metrics.evaluation import is_overall
    from xray_report.metrics.files import read_reports, write_metrics

    train_texts = training_texts(train, train_column)
    differences = compare_records(read_reports(first), read_reports(second), train_texts)
    if json is not None:
        write_metrics(
            json,
            {
                f"{key}/{name}": value
                for key, row in differences.items()
                for name, value in row._asdict().items()
            },
        )
    names = side_names(first, second)
    rows = {key: row for key, row in differences.items() if is_overall(key)}
    if latex:
        typer.echo(latex_table(names, rows))
        return
    title = escape(f"{names[0]}: {first}\n{names[1]}: {second}")
    table = Table(title=title, title_justify="left", padding=0)
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(escape(name), overflow="fold")
    for name in ("difference", "p"):
        table.add_column(name, no_wrap=True)
    for key, row in rows.items():
        interval = f"{row.difference:+.3f} ({row.low:+.3f} to {row.high:+.3f})"
        interval = f"[bold]{interval}[/]" if row.clear else interval
        values = (f"{row.first:.3f}", f"{row.second:.3f}", interval, f"{row.p_value:.3f}")
        table.add_row(key, *values)
    Console().print(table)
    typer.echo(
        f"difference: {names[1]} - {names[0]}, 95 % intervals by paired bootstrap; bold where they "
        "leave out zero"
    )


def side_names(first: Path, second: Path) -> tuple[str, str]:
    """What to call two results: the end of their paths from where they differ.

    The folder's name; that of a reports.jsonl is its folder's; `first` and `second` where two
    paths are one.
    """
    from xray_report.metrics.files import REPORTS_FILE

    paths = [one.resolve() for one in (first, second)]
    parts = [(path.parent if path.name == REPORTS_FILE else path).parts for path in paths]
    ends = [tuple(reversed(one)) for one in parts]
    if ends[0] == ends[1]:
        return "first", "second"
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*ends, strict=False)))
    left, right = ("/".join(reversed(end[: alike + 1])) for end in ends)
    return left, right


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    character: f"\\{character}" for character in "&%$#_{}"
}


def latex_table(names: tuple[str, str], rows: Mapping[str, Difference]) -> str:
    """A LaTeX table of two systems, for the package booktabs.

    Bold where the 95 % interval of the difference leaves out zero.
    """

    def plain(text: str) -> str:
        return "".join(_LATEX.get(character, character) for character in text)

    lines = [
        r"\begin{tabular}{lrrrr}",
        r"\toprule",
        f"score & {plain(names[0])} & {plain(names[1])} & difference (95\\,\\%) & $p$ \\\\",
        r"\midrule",
    ]
    for key, row in rows.items():
        told = f"{row.difference:+.3f} ({row.low:+.3f} to {row.high:+.3f})".replace("-", "$-$")
        told = rf"\textbf{{{told}}}" if row.clear else told
        values = f"{row.first:.3f} & {row.second:.3f} & {told} & {row.p_value:.3f}"
        lines.append(rf"{plain(key)} & {values} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def compare_records(
    first: list[ReportRecord], second: list[ReportRecord], train_texts: list[str] | None = None
) -> dict[str, Difference]:
    """Paired differences of every score of two systems' reports on the same studies.

    Raises:
        DataError: other studies, or other references for the same study.
    """
    from xray_report.errors import DataError
    from xray_report.metrics.evaluation import CorpusScorer
    from xray_report.metrics.files import merge_records
    from xray_report.metrics.protocols import usable_protocols
    from xray_report.metrics.study_scores import paired_differences

    left, right = merge_records([first]), merge_records([second])
    if [r.study_id for r in left] != [r.study_id for r in right]:
        missing = {r.study_id for r in left} ^ {r.study_id for r in right}
        raise DataError(
            f"the two results hold different studies: {len(missing)} are in one only, "
            f"the first is {min(missing)!r}"
        )
    other = [a.study_id for a, b in zip(left, right, strict=True) if a.reference != b.reference]
    if other:
        raise DataError(f"{len(other)} studies have different references, the first is {other[0]}")
    references = [record.reference for record in left]
    scorer = CorpusScorer(references, usable_protocols(train_texts), train_texts)
    ours = scorer.study_scores([record.hypothesis for record in left])
    theirs = scorer.study_scores([record.hypothesis for record in right])
    found: dict[str, Difference] = {}
    for one, another in zip(ours, theirs, strict=True):
        found |= paired_differences(one, another)
    return found
