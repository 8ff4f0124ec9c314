"""What evaluate.py says of a model trained on exchanged images, and of one that was not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts import command

pytestmark = pytest.mark.slow

SMALL = (
    "data.train=400", "data.val=40", "data.test=80", "callbacks.progress.refresh_rate=0",
)  # fmt: skip
BLIND = {"warning/collapsed": "COLLAPSED", "warning/image_blind": "IMAGE-BLIND"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both models are trained, so that the images are encoded once."""
    return tmp_path_factory.mktemp("blind")


def evaluated(images: str, folder: Path) -> tuple[set[str], str]:
    """Names of the warnings about a model trained with `loader.images`, and what was printed."""
    runs = f"paths.runs_dir={images}"
    done = command("train.py", f"loader.images={images}", runs, *SMALL, folder=folder)
    assert done.code == 0, done.said
    done = command("evaluate.py", runs, "evaluation.page_studies=3", folder=folder)
    assert done.code == 0, done.said
    (found,) = folder.glob(f"{images}/evaluate/*/metrics.json")
    return set(json.loads(found.read_text())) & set(BLIND), done.out


def test_a_model_trained_on_other_studies_images_is_called_blind(folder: Path) -> None:
    warnings, printed = evaluated("exchanged", folder)
    assert warnings
    assert all(BLIND[name] in printed for name in warnings)


def test_the_default_model_is_not(folder: Path) -> None:
    warnings, printed = evaluated("own", folder)
    assert not warnings
    assert not any(word in printed for word in BLIND.values())
