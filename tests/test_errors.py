from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.types import RunMode

from xray_report.errors import DataError, ReportedError, job_errors, one_line_errors


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


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text("a: 1")
    (folder / "train.log").write_text("")
    return folder


def job(folder: Path, mode: RunMode = RunMode.RUN) -> Any:
    """What `HydraConfig.get()` says of it."""
    return SimpleNamespace(mode=mode, runtime=SimpleNamespace(output_dir=str(folder)))


def test_a_refused_job_leaves_no_folder(
    capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    with pytest.raises(SystemExit), one_line_errors(), job_errors(job(run_folder)):
        raise DataError("the cause")
    assert capsys.readouterr().err == "error: the cause\n"
    assert not run_folder.exists()


def test_a_job_that_had_begun_keeps_its_folder(run_folder: Path) -> None:
    (run_folder / "checkpoints").mkdir()
    with pytest.raises(SystemExit), job_errors(job(run_folder)):
        raise DataError("the cause")
    assert (run_folder / ".hydra" / "config.yaml").is_file()


def test_a_refused_job_stops_no_sweep(capsys: pytest.CaptureFixture[str], run_folder: Path) -> None:
    """Hydra goes on after an exception, which it raises again when the sweep has ended."""
    one = job(run_folder, RunMode.MULTIRUN)
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        with pytest.raises(ReportedError), job_errors(one, ZeroDivisionError, cure="; think"):
            _ = 1 / 0
        raise ReportedError
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: division by zero; think\n"


def test_a_jobs_own_mistakes_keep_their_traceback(run_folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), job_errors(job(run_folder)):
        _ = 1 / 0
    assert run_folder.exists()
