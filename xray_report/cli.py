"""The console script `xray-report`: everything but training and evaluation."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from xray_report import __version__
from xray_report.commands import data
from xray_report.commands.compare import compare
from xray_report.commands.demo import demo
from xray_report.commands.download import convert_weights, download
from xray_report.commands.export import export
from xray_report.commands.predict import predict
from xray_report.commands.pretrain_decoder import pretrain_decoder
from xray_report.commands.runs import aggregate, runs
from xray_report.commands.score import baselines, score
from xray_report.commands.shared import PASS_ON, evaluate, train
from xray_report.commands.tune import tune
from xray_report.commands.validate_labeller import validate_labeller
from xray_report.errors import XrayReportError, one_line_errors

app = typer.Typer(
    help="Chest X-ray report generation. Research software, not for clinical use.\n\n"
    "Example: xray-report predict --frontal film.png; each command's -h has one of its own.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
for program in (train, evaluate):
    app.command(context_settings=PASS_ON, add_help_option=False)(program)
for command in (
    predict,
    demo,
    score,
    compare,
    aggregate,
    runs,
    tune,
    pretrain_decoder,
    export,
    baselines,
    download,
    convert_weights,
    validate_labeller,
):
    app.command()(command)


def say_version(asked: bool) -> None:
    """Print the version and end, if `--version` was given."""
    if asked:
        typer.echo(f"xray-report {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=say_version, is_eager=True),
    ] = False,
) -> None:
    """Options of the console script itself; its help is given above."""


def main() -> None:
    """Run the command; a user's own mistake is one line and exit code 1."""
    with one_line_errors():
        try:
            app()
        except XrayReportError as error:
            raise XrayReportError(in_options(str(error))) from error


SPELLINGS = {
    "data.columns.": "--column ",
    "data.columns": "--column",
    "data.images": "--root",
    "data.labels": "--label",
    "data.root": "--root",
    "data.split": "--split",
    "data.annotation": "--annotation",
    "data.reports": "--reports",
    "data.table": "--table",
    "data.target": "--target",
    "data.seed": "--seed",
    "checkpoint=": "--checkpoint=",
    "beam_width": "--beam-width",
    "n_best": "--n-best",
}
"""Options as train.py and evaluate.py call them, whose checks are shared, and as they are here."""
_SPELLED = re.compile(rf"(?<![\w./-])({'|'.join(map(re.escape, SPELLINGS))})\b(?!\.\w)")
"""One of them alone; not part of a file's name or of a longer option."""


def in_options(message: str) -> str:
    """A message with the names that its options have on this command line."""
    return _SPELLED.sub(lambda found: SPELLINGS[found[1]], message)
