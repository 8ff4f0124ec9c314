from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xray_report
from tests.inference.checkpoints import save
from xray_report import api
from xray_report.errors import CheckpointError, DataError, ImageError, OptionError

PAGE = Path(__file__).parents[1] / ".readme" / "api.md"


@pytest.mark.parametrize("name", ["load", "labels", "scores", "PhantomDataset"])
def test_the_examples_of_docstrings_run(name: str) -> None:
    (found,) = doctest.DocTestFinder(recurse=False).find(getattr(api, name), name)
    assert found.examples
    assert doctest.DocTestRunner().run(found).failed == 0


def test_the_examples_of_the_page_run() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert tried > 15


def test_importing_the_package_is_light() -> None:
    heavy = ("torch", "numpy", "PIL", "typer", "rich")
    code = f"import sys, xray_report; dir(xray_report); print(*set({heavy}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_name_is_there_and_no_other() -> None:
    for name in xray_report.__all__:
        assert getattr(xray_report, name) is not None
    assert set(xray_report.__all__) <= set(dir(xray_report))
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        xray_report.lod  # type: ignore[attr-defined]  # noqa: B018
    stub = (Path(xray_report.__file__).parent / "__init__.pyi").read_text()
    known = {line.split(" as ")[1] for line in stub.splitlines() if " as " in line}
    assert known | {"__version__"} == set(xray_report.__all__)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> api.Model:
    path = save(tmp_path_factory.mktemp("api") / "model.ckpt")
    return xray_report.load(path, decode="greedy", device="cpu")


def test_a_report_is_that_of_predict_whatever_its_images_come_as(
    model: api.Model, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    path = tmp_path / "frontal.png"
    Image.fromarray(pixels).save(path)
    of_file, of_array = model.report(frontal=path), model.report(frontal=pixels)
    assert str(of_file) == of_array.text == model.report(str(path)).text
    assert of_file.record["files"][0]["path"] == str(path)
    assert of_file.record["report"] == of_file.text
    assert "the study has no lateral image" in of_file.warnings
    assert "".join(one.text for one in of_file.sentences).startswith(of_file.text[:5])


def test_mistakes_are_named(model: api.Model, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="give frontal="):
        model.report()
    with pytest.raises(ImageError, match=r"none\.png"):
        model.report(frontal=tmp_path / "none.png")
    with pytest.raises(ImageError, match="uint8"):
        model.report(lateral=np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(OptionError, match="decode"):
        xray_report.load(decode="best")
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        xray_report.load(tmp_path / "none.ckpt")
    with pytest.raises(DataError, match="2 hypotheses and 1 references"):
        xray_report.scores(["a", "b"], ["a"])
    with pytest.raises(OptionError, match="split"):
        xray_report.PhantomDataset("dev")  # type: ignore[arg-type]
