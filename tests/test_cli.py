from __future__ import annotations

import subprocess
import sys

import pytest

from tests.commands.console import run
from xray_report import __version__
from xray_report.cli import in_options, main


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
        "import sys; from xray_report.commands import baselines, compare, score; "
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
