"""The console script `xray-report`: everything but training and evaluation.

Command modules import what they need when they run, so that `--help` is fast.
"""

from __future__ import annotations

import typer

from xray_report.commands import (
    baselines,
    compare,
    data,
    download,
    labeller,
    predict,
    score,
    weights,
)
from xray_report.errors import one_line_errors

app = typer.Typer(
    help="Chest X-ray report generation. Research software, not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
for command in (
    predict.predict,
    score.score,
    compare.compare,
    compare.aggregate,
    baselines.baselines,
    download.download,
    weights.convert_weights,
    labeller.validate_labeller,
):
    app.command()(command)


def main() -> None:
    """Run the command; a user's own mistake is one line and exit code 1."""
    with one_line_errors():
        app()
