"""train.py and evaluate.py on the real images, in every layout: the same scores to the last bit."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.sources.iu_xray.real import (
    ANNOTATION,
    IMAGES,
    KAGGLE,
    needs_annotation,
    needs_extra,
    needs_images,
)
from tests.data.sources.iu_xray.test_real_images import kaggle, r2gen
from tests.scripts import command
from xray_report.data.sources.iu_xray import PROJECTIONS_CSV, reports_of_extra

pytestmark = [pytest.mark.slow, needs_images, needs_annotation, needs_extra]

QUICK = (
    "data=iu_xray", "data.root=data", "data.split=r2gen", "encoder.weights=phantom",
    "trainer.max_epochs=2", "loader.batch_size=8", "callbacks.progress.refresh_rate=0",
)  # fmt: skip


def nlm(root: Path) -> Path:
    """NLM's reports and image names; the projections, which only Kaggle publishes, beside them."""
    shutil.copytree(IMAGES, root / "NLMCXR_png")
    with tarfile.open(reports_of_extra()) as archive:
        archive.extractall(root, filter="data")
    for path in (KAGGLE / PROJECTIONS_CSV, ANNOTATION):
        shutil.copy(path, root / path.name)
    return root


def scores(folder: Path, layout: Callable[[Path], Path]) -> tuple[dict[str, float], list[str]]:
    folder.mkdir()
    layout(folder / "data")
    for script, options in (("train.py", QUICK), ("evaluate.py", ())):
        done = command(script, *options, folder=folder)
        assert done.code == 0, done.said
    (metrics,) = folder.glob("runs/evaluate/*/metrics.json")
    reports = metrics.with_name("reports.jsonl").read_text().splitlines()
    return json.loads(metrics.read_text()), reports


def test_scores_do_not_depend_on_the_layout(tmp_path: Path) -> None:
    found = [scores(tmp_path / layout.__name__, layout) for layout in (kaggle, nlm, r2gen)]
    assert len(found[0][1]) == 6
    assert found[0] == found[1] == found[2]
