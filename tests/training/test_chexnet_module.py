from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from tests.tiny_source import LABELS, TinySource
from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions
from xray_report.models.chexnet import CheXNet
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.protocol import Preprocessing
from xray_report.training.chexnet import CheXNetModule, balance, start_at_prior, take_heads

OPTIMIZER = {"lr": 1e-3, "weight_decay": 0.0, "warmup": 0.0, "cosine": True}


def test_a_new_model_predicts_the_share_of_each_label() -> None:
    model = CheXNet(DenseNetEncoder(Preprocessing(size=64)), 2, locator=True)
    labels = torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 0.0]] * 15)
    start_at_prior(model, labels)
    assert model.classifier.bias.sigmoid().tolist() == pytest.approx([0.25, 1e-3])


def test_one_training_run_end_to_end(tmp_path: Path) -> None:
    pl.seed_everything(0)
    encoder = DenseNetEncoder(Preprocessing(size=64))
    data = ChestDataModule(
        TinySource((4, 4, 0)),
        LoaderOptions(batch_size=4),
        text=None,
        preprocess=encoder.preprocessing,
        image_size=64,
        regions=True,
    )
    labels = data.dataset("train").image_labels()
    module = CheXNetModule(CheXNet(encoder, 3, True), LABELS, balance(labels, 5.0), OPTIMIZER)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
    )
    trainer.fit(module, data)
    scores = trainer.callback_metrics
    assert 0 <= scores["val/auroc"] <= 1
    assert scores["train/region_loss"] > 0
    path = tmp_path / "one.ckpt"
    trainer.save_checkpoint(path)
    saved = torch.load(path, weights_only=True)
    assert saved["xray_report"]["label_names"] == list(LABELS)
    assert saved["xray_report"]["encoder"]["preprocessing"]["size"] == 64
    trainer.test(module, dataloaders=data.val_dataloader(), verbose=False)
    for score in module.test_aurocs.values():
        assert score.low <= score.value <= score.high
    again = CheXNet(DenseNetEncoder(Preprocessing(size=64)), 3, True)
    assert take_heads(again, str(path), LABELS)
    assert torch.equal(again.classifier.weight, module.model.classifier.weight)
    assert not take_heads(again, str(path), ("other",))
    assert not take_heads(again, "random", LABELS)


@pytest.mark.parametrize("saved", [True, False])
def test_heads_of_a_model_with_other_heads_are_left_alone(tmp_path: Path, saved: bool) -> None:
    def model(locator: bool) -> CheXNet:
        return CheXNet(DenseNetEncoder(Preprocessing(size=64)), 3, locator)

    path = tmp_path / "other.ckpt"
    state = {f"model.{name}": part for name, part in model(saved).state_dict().items()}
    torch.save({"state_dict": state, "xray_report": {"label_names": list(LABELS)}}, path)
    mine = model(not saved)
    before = mine.classifier.weight.clone()
    assert not take_heads(mine, str(path), LABELS)
    assert torch.equal(mine.classifier.weight, before)
    assert take_heads(model(saved), str(path), LABELS)
