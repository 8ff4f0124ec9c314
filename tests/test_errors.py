from __future__ import annotations

import pytest

from xray_report.errors import DataError, one_line_errors


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
