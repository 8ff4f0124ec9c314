"""A resumed run keeps the best checkpoint; reports and attention are shown in TensorBoard."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from tests.test_config import composed
from tests.tiny_source import TEXTS, TinySource
from tests.training.test_report_module import options
from xray_report import assemble
from xray_report.errors import CheckpointError
from xray_report.training import report_module
from xray_report.training.callbacks import AttentionPictures, BestCheckpoint, SampleReports
from xray_report.training.report_module import Generated


class Scripted(pl.LightningModule):
    """Its score in each epoch is what the script says."""

    def __init__(self, script: Sequence[float]) -> None:
        super().__init__()
        self.script, self.weight = script, torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        return (self.weight - 1).square().sum()

    def validation_step(self, batch: torch.Tensor, index: int) -> None:
        last = len(self.script) - 1  # when the best is looked at, training is past it
        self.log("val/score", self.script[min(self.current_epoch, last)])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(
    folder: Path, script: Sequence[float], resume: Path | None = None, top: int = 1
) -> BestCheckpoint:
    config = composed("train", "model.monitor=val/score", "model.monitor_mode=max").callbacks
    config.checkpoint.update(save_top_k=top, filename="best" if top == 1 else "{epoch}")
    config.checkpoint.dirpath = config.last.dirpath = str(folder)
    best, last = instantiate(config.checkpoint), instantiate(config.last)
    trainer = pl.Trainer(
        max_epochs=len(script), accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, callbacks=[best, last],
    )  # fmt: skip
    loader = DataLoader(torch.zeros(2, 1))
    module = Scripted(script)
    trainer.fit(module, loader, loader, ckpt_path=resume)
    trainer.validate(module, loader, ckpt_path="best", verbose=False)
    assert isinstance(best, BestCheckpoint)
    return best


def epoch_of(path: str | Path) -> int:
    return int(torch.load(path, weights_only=True)["epoch"])


def scores(best: BestCheckpoint) -> list[float]:
    return sorted(float(score) for score in best.best_k_models.values())


def test_a_worse_epoch_after_resuming_does_not_become_the_best(tmp_path: Path) -> None:
    fit(tmp_path / "a", [0.9, 0.5])
    best = fit(tmp_path / "b", [0.9, 0.5, 0.7], tmp_path / "a" / "last.ckpt")
    assert Path(best.best_model_path) == tmp_path / "b" / "best.ckpt"
    assert float(best.best_model_score) == pytest.approx(0.9)  # type: ignore[arg-type]
    assert epoch_of(best.best_model_path) == 0
    assert epoch_of(tmp_path / "b" / "last.ckpt") == 2
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_better_one_does(tmp_path: Path) -> None:
    fit(tmp_path / "a", [0.6, 0.5])
    best = fit(tmp_path / "b", [0.6, 0.5, 0.7], tmp_path / "a" / "last.ckpt")
    assert (epoch_of(best.best_model_path), scores(best)) == (2, pytest.approx([0.7]))
    assert epoch_of(tmp_path / "a" / "best.ckpt") == 0


def test_a_run_that_was_moved_is_found_beside_its_last_checkpoint(tmp_path: Path) -> None:
    fit(tmp_path / "a", [0.9, 0.5])
    shutil.move(tmp_path / "a", tmp_path / "elsewhere")
    best = fit(tmp_path / "b", [0.9, 0.5, 0.7], tmp_path / "elsewhere" / "last.ckpt")
    assert epoch_of(best.best_model_path) == 0


def test_a_best_that_is_torn_is_not_taken_along(tmp_path: Path) -> None:
    fit(tmp_path / "a", [0.9, 0.5])
    best = tmp_path / "a" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match=r"resume: .*best\.ckpt is damaged .*or delete it"):
        fit(tmp_path / "b", [0.9, 0.5, 0.7], tmp_path / "a" / "last.ckpt")


def test_a_best_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    fit(tmp_path / "a", [0.9, 0.5])
    (tmp_path / "a" / "best.ckpt").unlink()
    best = fit(tmp_path / "b", [0.9, 0.5, 0.7], tmp_path / "a" / "last.ckpt")
    assert (epoch_of(best.best_model_path), scores(best)) == (2, pytest.approx([0.7]))


def test_several_are_taken_along(tmp_path: Path) -> None:
    fit(tmp_path / "a", [0.9, 0.5, 0.6], top=2)
    best = fit(tmp_path / "b", [0.9, 0.5, 0.6, 0.7], tmp_path / "a" / "last.ckpt", top=2)
    assert scores(best) == pytest.approx([0.7, 0.9])
    assert epoch_of(best.best_model_path) == 0
    kept = sorted(path.name for path in (tmp_path / "b").iterdir())
    assert kept == ["epoch=0.ckpt", "epoch=3.ckpt", "last.ckpt"]


def test_resuming_in_the_same_folder_changes_nothing(tmp_path: Path) -> None:
    fit(tmp_path, [0.9, 0.5])
    best = fit(tmp_path, [0.9, 0.5, 0.7], tmp_path / "last.ckpt")
    assert (epoch_of(best.best_model_path), scores(best)) == (0, pytest.approx([0.9]))


def test_reports_and_attention_are_written_to_tensorboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_another_process(mine: list[Generated]) -> list[Generated]:
        return [*mine, mine[0]._replace(study_id="another", hypothesis="one | two\nthree")]

    monkeypatch.setattr(report_module, "_of_all_processes", with_another_process)
    small = options(tmp_path)["encoder"] | {"image_size": 64}
    pl.seed_everything(0)
    training = assemble.training(TinySource(), options(tmp_path, encoder=small))
    logger = TensorBoardLogger(tmp_path / "tb", name="", version="")
    trainer = pl.Trainer(
        max_epochs=12, accelerator="cpu", logger=logger, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, enable_checkpointing=False,
        check_val_every_n_epoch=6, log_every_n_steps=1,
        callbacks=[SampleReports(3), AttentionPictures(2, 1)],
    )  # fmt: skip
    trainer.fit(training.module, training.datamodule)
    written = EventAccumulator(str(tmp_path / "tb"), size_guidance={"tensors": 0})
    written.Reload()
    tables = [
        event.tensor_proto.string_val[0].decode()
        for event in written.Tensors("samples/reports/text_summary")
    ]
    assert len(tables) == 2
    for table in tables:
        rows = table.splitlines()[2:]
        assert [row.split(" | ")[0] for row in rows] == ["| another", "| tiny-008", "| tiny-009"]
        assert rows[0].startswith("| another | one \\| two three | ")
        assert rows[1].endswith(f"| {TEXTS[0]} |")
    pictures = written.Tags()["images"]
    assert {name.split("/")[1] for name in pictures} == {"tiny-008", "tiny-009"}
