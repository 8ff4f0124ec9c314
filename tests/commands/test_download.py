from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.data.file_server import serving
from xray_report.commands.download import download
from xray_report.errors import DataError, OptionError

app = typer.Typer()
app.command()(download)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def tgz(name: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return file.getvalue()


def test_iu_xray_from_a_mirror(tmp_path: Path) -> None:
    files = {"NLMCXR_reports.tgz": tgz("1.xml"), "NLMCXR_png.tgz": tgz("CXR1_1_IM-0001-4001.png")}
    with serving(files) as server:
        code, output = run("iu-xray", str(tmp_path), "--mirror", server.url)
    assert code == 0
    assert (tmp_path / "NLMCXR_reports.tgz").is_file()
    assert (tmp_path / "NLMCXR_png" / "CXR1_1_IM-0001-4001.png").is_file()
    assert f"python train.py data=iu_xray data.root={tmp_path}" in output.replace("\n", "")


def test_weights_that_are_not_the_publishers_are_refused(tmp_path: Path) -> None:
    with (
        serving({"densenet121-a639ec97.pth": b"tampered"}) as server,
        pytest.raises(DataError, match=r"not a639ec97"),
    ):
        run("imagenet-weights", str(tmp_path), "--mirror", server.url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["mimic-cxr", "nih-chestxray14", "iu-xray-kaggle", "r2gen"])
def test_what_needs_an_account_is_explained(tmp_path: Path, what: str) -> None:
    code, output = run(what, str(tmp_path))
    assert code == 1
    assert "https://" in output
    assert "python train.py" in output


def test_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="choose one of iu-xray, glove, imagenet-weights"):
        run("chexpert", str(tmp_path))
