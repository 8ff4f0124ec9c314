"""`xray-report validate-labeller`: the labeller against the annotators of real reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xray_report.commands.shared import JsonOption, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from xray_report.metrics.findings.validation import AnnotatedReport, Validation


def validate_labeller(
    reports: Annotated[
        Path | None,
        typer.Option(
            help="NLMCXR_reports.tgz or a folder of its XML files, if not the iu-xray extra's."
        ),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Compare the labeller with the MeSH terms of the IU X-ray reports, and time it.

    Example: xray-report validate-labeller --json labeller.json
    """
    from rich.console import Console

    from xray_report.metrics.findings.validation import validate

    result = validate(_annotated_reports(reports))
    if json is not None:
        write_json(json, _flat(result))
    console = Console()
    console.print(_table(result))
    for name, half in result.halves.items():
        console.print(f"{name}: {half.studies} studies, macro F1 {half.macro_f1:.3f}")
    console.print(f"{result.reports_per_second:,.0f} reports a second")


def _annotated_reports(path: Path | None) -> list[AnnotatedReport]:
    from xray_report.data.sources.iu_xray import read_tgz, read_xml_folder, reports_of_extra
    from xray_report.metrics.findings.validation import AnnotatedReport

    path = path or reports_of_extra()
    published = read_xml_folder(path) if path.is_dir() else read_tgz(path)
    return [
        AnnotatedReport(
            report.study_id,
            ". ".join(part for part in (report.findings, report.impression) if part),
            report.mesh,
        )
        for report in published
    ]


def _flat(result: Validation) -> dict[str, float]:
    from xray_report.metrics.findings.scores import class_key

    numbers: dict[str, float] = {"reports_per_second": result.reports_per_second}
    for name, half in result.halves.items():
        numbers[f"{name}/studies"] = half.studies
        numbers[f"{name}/macro_f1"] = half.macro_f1
        for label, agreement in half.classes.items():
            for part, value in agreement._asdict().items():
                numbers[f"{name}/{class_key(label)}/{part}"] = value
    return numbers


def _table(result: Validation) -> Table:
    from rich.table import Table

    from xray_report.metrics.findings.validation import MIN_SUPPORT

    table = Table("class", title="Labeller against the annotators' MeSH terms")
    for name in result.halves:
        for part in ("P", "R", "F1", "studies"):
            table.add_column(f"{name} {part}", justify="right")
    for label in next(iter(result.halves.values())).classes:
        cells = []
        for half in result.halves.values():
            *ratios, support = half.classes[label]
            cells += [f"{ratio:.3f}" for ratio in ratios]
            cells.append(f"{support}" if support >= MIN_SUPPORT else f"({support})")
        table.add_row(label, *cells)
    table.caption = f"(n): under {MIN_SUPPORT} studies, outside the macro F1"
    return table
