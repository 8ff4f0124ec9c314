from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.commands.console import run
from xray_report import __version__
from xray_report.cli import app, in_options, main


@pytest.mark.parametrize(
    ("said", "here"),
    [
        ("no such folder; set data.root to it", "no such folder; set --root to it"),
        ("set data.images to the folder", "set --root to the folder"),
        ("data.split=official needs data.columns.split", "--split=official needs --column split"),
        ("data.columns: name either", "--column: name either"),
        (
            "data.columns.view goes with data.columns.image",
            "--column view goes with --column image",
        ),
        ("data.labels and data.target", "--label and --target"),
        ("give data.annotation=FILE", "give --annotation=FILE"),
        ("or give checkpoint=PATH", "or give --checkpoint=PATH"),
        ("n_best must be at most beam_width (5)", "--n-best must be at most --beam-width (5)"),
        # Names of files stay as they are.
        ("data.csv has no column x", "data.csv has no column x"),
        ("a/data.root, data.table.csv", "a/data.root, data.table.csv"),
        ("checkpoint a.ckpt: see metadata.split", "checkpoint a.ckpt: see metadata.split"),
    ],
)
def test_options_have_the_names_of_this_command_line(said: str, here: str) -> None:
    assert in_options(said) == here


def test_a_mistake_is_one_line_that_names_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", "--frontal", "x.png", "--beam-width", "0"]
    monkeypatch.setattr(sys, "argv", ["xray-report", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert said == "error: --beam-width must be a positive integer, got 0\n"


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; from xray_report.commands import compare, runs, score; "
        "print([m for m in ('torch', 'numpy', 'sacrebleu', 'rich.table') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_and_the_short_help() -> None:
    assert run("--version").output == f"xray-report {__version__}\n"
    for arguments in (["-h"], ["runs", "-h"]):
        result = run(*arguments)
        assert result.exit_code == 0
        assert "Usage: " in result.output


def commands(group: Any, path: str = "xray-report") -> Iterator[tuple[str, str]]:
    """Path and help of every command, of whatever depth."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command.help or ""


def test_every_help_has_an_example() -> None:
    top = get_command(app)
    found = dict(commands(top))
    assert "xray-report data audit" in found
    for path, said in {"xray-report": top.help or "", **found}.items():
        assert re.search(rf"(^|[\s`]){path} [a-z./\[-]", said, re.IGNORECASE), f"{path}: no example"


def test_the_shell_can_be_told_to_complete_commands() -> None:
    result = CliRunner().invoke(
        app, [], prog_name="xray-report",
        env={
            "_XRAY_REPORT_COMPLETE": "complete_bash", "COMP_WORDS": "xray-report va",
            "COMP_CWORD": "1",
        },
    )  # fmt: skip
    assert result.stdout.split() == ["validate-labeller"]
    assert "--install-completion" in run("--help").output
