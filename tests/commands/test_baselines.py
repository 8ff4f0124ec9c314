from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.console import run
from tests.metrics.conftest import ANNOTATION
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


def test_real_baselines(tmp_path: Path) -> None:
    if not ANNOTATION.is_file():
        pytest.skip("R2Gen's annotation.json with the real reports is not there")
    result = run("baselines", "iu_xray", "--annotation", ANNOTATION, "--json", tmp_path / "m.json")
    assert result.exit_code == 0, result.output
    metrics = read_metrics(tmp_path / "m.json")
    assert metrics["studies"] == 590
    assert metrics["baseline/constant/clean/bleu4"] == pytest.approx(0.1655, abs=0.002)
