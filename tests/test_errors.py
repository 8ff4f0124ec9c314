from __future__ import annotations

from pathlib import Path

import pytest

from xray_report.errors import DataError, causes, one_line_errors


def test_a_users_mistake_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        raise DataError("reports.csv has no column findings; name it with data.columns")
    assert stopped.value.code == 1
    assert capsys.readouterr().err == (
        "error: reports.csv has no column findings; name it with data.columns\n"
    )


def test_it_is_found_within_what_another_library_wraps(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), one_line_errors():
        try:
            raise DataError("the cause")
        except DataError as error:
            raise RuntimeError("error in call to target") from error
    assert capsys.readouterr().err == "error: the cause\n"


def test_exceptions_that_come_from_one_another_have_an_end() -> None:
    """As a constructor's own, which is raised again in place of the one that hides it."""
    inner, outer = ValueError("inner"), RuntimeError("outer")
    inner.__context__, outer.__cause__ = outer, inner
    assert list(causes(inner)) == [inner, outer]
    assert list(causes(outer)) == [outer, inner]


def test_a_path_that_is_longer_than_paths_can_be_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit), one_line_errors():
        Path("a" * 300).is_file()
    said = capsys.readouterr().err
    assert said.startswith("error: aaaa")
    assert said.endswith("is longer than a path can be: give another\n")
    assert len(said) < 150


def test_our_own_mistakes_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0


def test_another_librarys_mistakes_are_one_line_without_its_advice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = "Could not override 'x'.\nTo append to your config use +x=5"
    with pytest.raises(SystemExit), one_line_errors(OSError, cure="; try y"):
        raise OSError(said) from ValueError("x")
    assert capsys.readouterr().err == "error: Could not override 'x'; try y\n"
    with pytest.raises(ZeroDivisionError), one_line_errors(OSError):
        _ = 1 / 0
