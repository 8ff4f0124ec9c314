from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from xray_report.training.summary import closing_words, flat, kept_best


def test_nested_options_become_scalars_and_targets_short_names() -> None:
    options = {"seed": 0, "data": {"_target_": "a.b.Source", "root": "x"}, "m": {"o": {"lr": 0.1}}}
    assert flat(options) == {"seed": 0, "data": "Source", "data.root": "x", "m.o.lr": 0.1}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_closing_words_name_the_best_checkpoint_if_there_is_one(checkpointing: bool) -> None:
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=checkpointing)
    assert kept_best(trainer) is None
    assert closing_words(trainer) == "no checkpoint was kept"
    if checkpointing:
        best = trainer.checkpoint_callback
        assert isinstance(best, ModelCheckpoint)
        best.monitor = "val/bleu4"
        best.best_model_path = str(Path("run") / "best.ckpt")
        best.best_model_score = torch.tensor(0.25)
        assert kept_best(trainer) is best
        assert closing_words(trainer).splitlines() == [
            f"best checkpoint: {Path('run') / 'best.ckpt'}",
            "val/bleu4: 0.2500",
        ]
