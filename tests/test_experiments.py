"""The recipes for films: both stages of each train on a made-up layout of its collection."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from tests.data.pictures import write_png
from tests.data.sources.layouts import mimic, write_csv
from tests.test_config import composed
from train import train
from xray_report.inference.checkpoint import load_checkpoint

TINY = (
    "trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.accelerator=cpu",
    "loader.workers=0", "loader.batch_size=4", "callbacks.progress=null",
    "callbacks.learning_rate=null", "callbacks.attention_pictures=null", "~logger",
)  # fmt: skip


def archive(folder: Path) -> list[str]:
    """A hospital's table, and the options that say how to read it."""
    rows = [
        {"exam": f"e{n}", "film": f"{n}.png", "text": f"{'Large' if n % 2 else 'No'} effusion."}
        for n in range(10)
    ]
    for n, row in enumerate(rows):
        write_png(folder / row["film"], n)
    table = write_csv(folder / "table.csv", rows)
    return [
        f"data.table={table}", "data.columns.study_id=exam", "data.columns.image=film",
        "data.columns.findings=text",
    ]  # fmt: skip


def root_of(folder: Path) -> list[str]:
    """MIMIC-CXR-JPG's layout, with reports that name something."""
    mimic(folder)
    for n, path in enumerate(sorted(folder.rglob("*.txt"))):
        path.write_text(f"FINDINGS: {'Large' if n % 2 else 'No'} effusion.\n\nIMPRESSION: Done.")
    return [f"data.root={folder}"]


LAYOUTS = {"mimic_cxr": root_of, "csv": archive}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_both_stages_of_a_recipe_train(name: str, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    data = LAYOUTS[name](tmp_path / "data")

    def run(experiment: str, weights: str, *overrides: str) -> Path:
        config = composed(
            "train", f"experiment={experiment}", f"encoder.weights={weights}", *data, *TINY,
            f"paths.cache_dir={tmp_path / 'cache'}", *overrides,
        )  # fmt: skip
        config.paths.output_dir = str(tmp_path / experiment)
        train(config)
        return tmp_path / experiment / "checkpoints" / "best.ckpt"

    encoder = run(f"{name}_encoder", "random", "encoder.image_size=64")
    report = run(
        name, str(encoder), "text.tokenizer.min_count=1", "model.architecture.compile=false"
    )
    found = load_checkpoint(report)
    assert found.about["data"] == name
    assert found.about["options"]["model"]["label_guidance"] is True
    assert found.model.encoder.preprocessing.size == 64
    assert "Pleural Effusion" in found.hyperparameters["guiding_labels"]


@pytest.mark.parametrize("stage", ["", "_encoder"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_recipe_is_that_of_the_collection_it_was_tried_on(name: str, stage: str) -> None:
    """Only the data differ, so that what is learnt of one is learnt for all."""
    ours = OmegaConf.to_container(composed("train", f"experiment={name}{stage}"))
    theirs = OmegaConf.to_container(composed("train", f"experiment=iu_xray{stage}"))
    GlobalHydra.instance().clear()
    assert isinstance(ours, dict)
    assert isinstance(theirs, dict)
    assert ours.pop("data")["split"] in ("official", "study")
    assert theirs.pop("data")["split"] == "r2gen"
    assert ours == theirs
