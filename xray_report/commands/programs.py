"""`xray-report train` and `xray-report evaluate`: the two programs, for who installed a wheel."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import typer

from xray_report.errors import MissingExtraError

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Context settings of commands whose whole command line is Hydra's."""

PACKAGE = Path(__file__).parents[1]


def train(context: typer.Context) -> None:
    """Train a model: `xray-report train model=attention`. The same program as train.py."""
    run("train", context.args)


def evaluate(context: typer.Context) -> None:
    """Evaluate a trained model: `xray-report evaluate decode=beam`. The same as evaluate.py."""
    run("evaluate", context.args)


def run(name: str, arguments: list[str]) -> None:
    """Run the program `name` with these arguments, as `python NAME.py` would."""
    path = program(name)
    sys.argv = [str(path), *arguments]
    runpy.run_path(str(path), run_name="__main__")


def program(name: str) -> Path:
    """The program's file: in the wheel beside its conf/, in a checkout at the top."""
    places = (PACKAGE / "programs" / f"{name}.py", PACKAGE.parent / f"{name}.py")
    for path in places:
        if (path.parent / "conf" / f"{name}.yaml").is_file() and path.is_file():
            return path
    raise MissingExtraError(
        f"{name}.py and its conf/ are neither at {' nor at '.join(map(str, places))}: "
        "reinstall the package"
    )
