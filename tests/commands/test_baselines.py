from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.console import failure, run
from tests.data.pictures import write_png
from tests.data.sources.layouts import chexpert_plus, mimic, nih, nih_rows, rexgradient
from tests.metrics.conftest import ANNOTATION
from xray_report.commands.shared import OPTIONS
from xray_report.metrics.files import read_metrics


def test_baselines_need_no_model_and_no_images(tmp_path: Path, annotation: Path) -> None:
    result = run(
        *("baselines", "iu_xray", "--split", "r2gen", "--annotation", annotation),
        *("--json", tmp_path / "m.json", "--protocol", "clean", "--protocol", "r2gen"),
    )
    assert result.exit_code == 0, result.output
    assert "60 train, 15 val, 25 test" in result.output
    metrics = read_metrics(tmp_path / "m.json")
    for name in ("constant", "most_frequent", "random"):
        for key in ("clean/bleu4", "clean/bleu4_low", "r2gen/cider_high", "findings/micro_f1"):
            assert f"baseline/{name}/{key}" in metrics


def test_baselines_of_every_data_set_with_reports(tmp_path: Path) -> None:
    options = {
        "phantom": ("--seed", 3),
        "mimic_cxr": ("--root", mimic(tmp_path / "mimic"), "--target", "impression"),
        "rexgradient": ("--root", rexgradient(tmp_path / "rex")),
        "chexpert_plus": ("--root", chexpert_plus(tmp_path / "chex"), "--target", "impression"),
        "csv": (
            "--table", table(tmp_path / "t.csv"), "--column", "findings=report",
            "--column", "image=file", "--column", "split=side", "--split", "official",
        ),
    }  # fmt: skip
    assert options.keys() | {"iu_xray", "nih_chestxray14"} == OPTIONS.keys()
    for name, given in options.items():
        result = run(
            "baselines", name, *given, "--protocol", "clean", "--json", tmp_path / f"{name}.json"
        )
        assert result.exit_code == 0, f"{name}: {result.output}"
        assert "baseline/constant/clean/bleu4" in read_metrics(tmp_path / f"{name}.json")
    assert (
        "1200 train, 200 val, 200 test" in run("baselines", "phantom", "--protocol", "clean").output
    )


def table(path: Path) -> Path:
    rows = ["study_id,file,report,side"]
    for n, side in enumerate(("train", "train", "val", "test", "test")):
        write_png(path.parent / f"{n}.png", n)
        rows.append(f"{n},{n}.png,The heart is {'normal' if n % 2 else 'large'}.,{side}")
    path.write_text("\n".join(rows))
    return path


def test_data_without_reports_and_options_that_others_have_are_refused(tmp_path: Path) -> None:
    root = nih(tmp_path, nih_rows())
    assert "no train reports" in failure("baselines", "nih_chestxray14", "--root", root)
    assert failure("baselines", "phantom", "--root", root) == "--root is no option of phantom"
    assert "each of them by itself" in failure("baselines", "union")


def test_real_baselines(tmp_path: Path) -> None:
    if not ANNOTATION.is_file():
        pytest.skip("R2Gen's annotation.json with the real reports is not there")
    result = run("baselines", "iu_xray", "--annotation", ANNOTATION, "--json", tmp_path / "m.json")
    assert result.exit_code == 0, result.output
    metrics = read_metrics(tmp_path / "m.json")
    assert metrics["studies"] == 590
    assert metrics["baseline/constant/clean/bleu4"] == pytest.approx(0.1655, abs=0.002)
