from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from tests.tiny_source import LABELS, TinySource
from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions
from xray_report.errors import CheckpointError
from xray_report.metrics.auroc import Auroc
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.protocol import Preprocessing
from xray_report.training.chexnet import (
    CheXNet,
    CheXNetModule,
    SplitAurocs,
    balance,
    label_loss,
    of_whole_studies,
    read_heads,
    region_loss,
    start_at_prior,
    take_heads,
)

OPTIMIZER = {"lr": 1e-3, "weight_decay": 0.0, "warmup": 0.0, "cosine": True}


def test_a_new_model_predicts_the_share_of_each_label() -> None:
    model = CheXNet(DenseNetEncoder(Preprocessing(size=64)), 2, locator=True)
    labels = torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 0.0]] * 15)
    start_at_prior(model, labels)
    assert model.classifier.bias.sigmoid().tolist() == pytest.approx([0.25, 1e-3])
    start_at_prior(model, torch.tensor([[1.0, 0.5], [0.0, NAN], [0.0, NAN], [0.0, 0.1]]))
    assert model.classifier.bias.sigmoid().tolist() == pytest.approx([0.25, 0.3])


def test_one_training_run_end_to_end(tmp_path: Path) -> None:
    pl.seed_everything(0)
    encoder = DenseNetEncoder(Preprocessing(size=64))
    data = ChestDataModule(
        TinySource((4, 4, 0)),
        LoaderOptions(batch_size=4),
        text=None,
        preprocess=encoder.preprocessing,
        regions=True,
        test_split="val",
    )
    labels = data.dataset("train").image_labels()
    module = CheXNetModule(
        encoder.describe(), LABELS, True, OPTIMIZER, balance(labels, 5.0).tolist()
    )
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
    assert 0 <= scores["val/study_auroc"] <= 1
    assert scores["train/region_loss"] > 0
    path = tmp_path / "one.ckpt"
    trainer.save_checkpoint(path)
    saved = torch.load(path, weights_only=True)
    assert saved["xray_report"]["label_names"] == list(LABELS)
    assert saved["xray_report"]["encoder"]["preprocessing"]["size"] == 64
    trainer.test(module, datamodule=data, verbose=False)
    for score in module.aurocs["test"].labels.values():
        assert score.low <= score.value <= score.high
    (predicted,) = trainer.predict(module, datamodule=data)  # type: ignore[misc]
    assert all(0 <= p <= 1 for image in predicted for p in image.probabilities.values())
    loaded = CheXNetModule.load_from_checkpoint(path)
    assert torch.equal(loaded.model.classifier.weight, module.model.classifier.weight)
    again = CheXNet(DenseNetEncoder(Preprocessing(size=64)), 3, True)
    assert take_heads(again, str(path), LABELS)
    assert torch.equal(again.classifier.weight, module.model.classifier.weight)
    assert not take_heads(again, str(path), ("other",))
    assert not take_heads(again, "random", LABELS)
    saved["hyper_parameters"]["label_names"] = ["one"] * 100_000
    torch.save(saved, path)
    with pytest.raises(CheckpointError, match=r"one\.ckpt does not fit"):
        CheXNetModule.load_from_checkpoint(path)


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


NAN = float("nan")


def test_label_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)]])
    labels = torch.tensor([[1.0, 0.0]])
    loss = label_loss(logits, labels, torch.tensor([2.0, 5.0]))
    assert loss.item() == pytest.approx((2 * math.log(2) + math.log(4)) / 2)


def test_unknown_labels_cost_nothing() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    labels = torch.tensor([[1.0, NAN, 0.0]] * 4)
    loss = label_loss(logits, labels, torch.ones(3))
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[:, 1], torch.zeros(4))
    assert label_loss(logits, torch.full((4, 3), NAN), torch.ones(3)).item() == 0


def test_region_loss_rewards_the_right_place() -> None:
    regions = torch.zeros(1, 1, 14, 14)
    regions[0, 0, 2:4, 2:4] = 1.0  # cell (1, 1) of a 7 x 7 map
    right, wrong = torch.full((2, 1, 1, 7, 7), -4.0)
    right[0, 0, 1, 1] = 4.0
    wrong[0, 0, 5, 5] = 4.0
    assert region_loss(right, regions) < region_loss(wrong, regions) / 10


def test_region_loss_fits_any_map_and_skips_unknown_labels() -> None:
    regions = torch.zeros(2, 3, 14, 14)
    regions[:, 1] = NAN
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    region_loss(logits, regions).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[:, 1], torch.zeros(2, 4, 4))
    assert (logits.grad[:, 0] != 0).all()


def test_balance_counts_known_labels_only() -> None:
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, NAN], [NAN, 1.0]])
    assert balance(labels, 10.0).tolist() == [2.0, 2.0]
    assert balance(torch.zeros(50, 1), 10.0).tolist() == [10.0]
    assert balance(torch.ones(5, 1), 10.0).tolist() == [1.0]
    assert balance(torch.full((8, 1), 0.25), 10.0).tolist() == [3.0]  # soft


def test_labels_that_are_rare_in_a_split_are_left_out_of_its_mean() -> None:
    labels = {"A": Auroc(0.9, 0.8, 1.0, 10, 50), "B": Auroc(0.3, 0.0, 1.0, 2, 50)}
    assert SplitAurocs(labels, 1).mean == pytest.approx(0.6)
    assert SplitAurocs(labels, 8).mean == pytest.approx(0.9)
    assert SplitAurocs(labels, 11).mean == 0


def test_heads_of_a_damaged_checkpoint_are_refused(tmp_path: Path) -> None:
    described = {"kind": "chexnet", "format": 2, "label_names": ["Edema"]}
    content = {"xray_report": described, "state_dict": {"model.classifier.weight": torch.ones(99)}}
    path = tmp_path / "a.ckpt"
    torch.save(content, path)
    heads = read_heads(str(path))
    assert heads is not None
    assert heads.label_names == ("Edema",)
    whole = path.read_bytes()
    at = whole.index(torch.ones(99).numpy().tobytes())
    path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
    with pytest.raises(CheckpointError, match=r"a\.ckpt is damaged"):
        read_heads(str(path))
    torch.save({**content, "state_dict": [1]}, path)
    with pytest.raises(CheckpointError, match="does not hold the heads that it describes"):
        read_heads(str(path))
    path.write_bytes(whole[:100])
    assert read_heads(str(path)) is None  # who reads the encoder tells what is wrong


def test_a_study_is_scored_by_the_mean_of_its_films() -> None:
    images = {
        ("a", 0): np.array([[1.0, -2.0], [1.0, math.nan]], np.float32),
        ("b", 0): np.array([[5.0, 6.0], [0.0, 1.0]], np.float32),
        ("a", 1): np.array([[3.0, 4.0], [0.0, math.nan]], np.float32),
    }
    first, second = of_whole_studies(images)
    np.testing.assert_array_equal(first, [[2.0, 1.0], [1.0, math.nan]])
    np.testing.assert_array_equal(second, images["b", 0])
