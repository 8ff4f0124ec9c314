"""A resumed run sees its studies in the order in which it would have seen them anyway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from tests.tiny_source import TinySource
from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import Batch, LoaderOptions, TextOptions
from xray_report.models.encoders.protocol import Preprocessing


class Watcher(pl.LightningModule):
    """Learns nothing and notes what it sees of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[int, list[str]] = {}

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        self.seen.setdefault(self.current_epoch, []).extend(batch.study_ids)
        return self.weight**2

    def configure_optimizers(self) -> Any:
        assert self.trainer.estimated_stepping_batches > 0  # makes the loader early, as ours does
        return torch.optim.SGD(self.parameters(), 0.1)


def trained(folder: Path, epochs: int, resume: Path | None = None) -> Watcher:
    data = ChestDataModule(
        TinySource(),
        LoaderOptions(batch_size=2),
        text=TextOptions(),
        preprocess=Preprocessing(size=32),
        image_size=32,
    )
    module = Watcher()
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        limit_val_batches=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[pl.callbacks.ModelCheckpoint(folder, save_last=True)],
    )
    trainer.fit(module, data, ckpt_path=resume)
    return module


def test_a_resumed_run_goes_on_in_the_same_order(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", 4).seen
    trained(tmp_path / "half", 2)
    rest = trained(tmp_path / "rest", 4, resume=tmp_path / "half" / "last.ckpt").seen
    assert whole[0] != whole[1]
    assert rest == {epoch: whole[epoch] for epoch in (2, 3)}
