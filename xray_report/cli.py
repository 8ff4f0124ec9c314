"""The console script `xray-report`: everything but training and evaluation.

Command modules import what they need when they run, so that `--help` is fast.
"""

from __future__ import annotations

import re

import typer

from xray_report.commands import (
    baselines,
    compare,
    data,
    download,
    labeller,
    predict,
    programs,
    score,
    weights,
)
from xray_report.errors import XrayReportError, one_line_errors

SPELLINGS = {
    "data.columns.": "--column ",
    "data.columns": "--column",
    "data.images": "--root",
    "data.labels": "--label",
    **{f"data.{name}": f"--{name}" for name in ("root", "split", "annotation", "reports")},
    **{f"data.{name}": f"--{name}" for name in ("table", "target", "seed")},
    "checkpoint=": "--checkpoint=",
    "beam_width": "--beam-width",
    "n_best": "--n-best",
}
"""What train.py and evaluate.py call an option, and what it is called here."""
_SPELLED = re.compile(rf"(?<![\w./-])({'|'.join(map(re.escape, SPELLINGS))})\b(?!\.\w)")

app = typer.Typer(
    help="Chest X-ray report generation. Research software, not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
for program in (programs.train, programs.evaluate):
    app.command(context_settings=programs.PASS_ON, add_help_option=False)(program)
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
        try:
            app()
        except XrayReportError as error:
            raise XrayReportError(in_options(str(error))) from error


def in_options(message: str) -> str:
    """A message with the names that its options have on this command line."""
    return _SPELLED.sub(lambda found: SPELLINGS[found[1]], message)
