"""Running commands as the console script does."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from xray_report.cli import app
from xray_report.errors import XrayReportError


def run(*arguments: object) -> Result:
    """What a command line gives; the command's name comes first."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def failure(*arguments: object) -> str:
    """The one line that the console script would print."""
    result = run(*arguments)
    assert isinstance(result.exception, XrayReportError), result.output
    assert result.stdout == ""
    assert "\n" not in str(result.exception)
    return str(result.exception)
