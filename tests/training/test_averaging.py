"""The averaged weights are what is validated, kept and tested; a resumed run goes on from both."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from torch import nn
from torch.utils.data import DataLoader

from tests.test_config import composed
from tests.tiny_source import TinySource
from tests.training.test_options import options
from tests.training.test_report_module import options as small
from tests.training.test_resume import checkpoint, resumed
from xray_report import assemble
from xray_report.errors import OptionError
from xray_report.inference.checkpoint import load_checkpoint
from xray_report.training.averaging import AveragedWeights
from xray_report.training.options import check_callbacks

DECAY = 0.7


class Small(pl.LightningModule):
    """A trained layer and its statistics, a frozen one, and a number that no mean can be taken of.

    Attributes:
        seen: for each validation and test the trained weight that it was of.
        after: the trained weight after each step.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trained, self.statistics = nn.Linear(3, 3), nn.BatchNorm1d(3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.limit: torch.Tensor
        self.register_buffer("limit", torch.zeros(()))
        self.seen: list[torch.Tensor] = []
        self.after: list[torch.Tensor] = []

    def on_train_start(self) -> None:
        self.limit.fill_(math.inf)

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        out: torch.Tensor = self.statistics(self.trained(self.frozen(batch)))
        return (out - batch.flip(0)).square().mean()

    def on_train_batch_end(self, *_: Any) -> None:
        self.after.append(self.trained.weight.detach().clone().cpu())

    def validation_step(self, batch: torch.Tensor, index: int) -> None:
        self.seen.append(self.trained.weight.detach().clone().cpu())
        assert self.limit == math.inf
        self.log("val/cider", float(-len(self.seen)))  # the first is the best

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.05)


def loader_of(batches: Any, batch_size: int) -> DataLoader[torch.Tensor]:
    return DataLoader(batches, batch_size)


def fit(
    folder: Path, epochs: int, resume: Path | None = None, accelerator: str = "cpu"
) -> tuple[pl.Trainer, Small]:
    config = composed("train", "callbacks=ema", f"callbacks.averaging.decay={DECAY}").callbacks
    config.checkpoint.dirpath = config.last.dirpath = str(folder)
    callbacks = [instantiate(config[name]) for name in ("averaging", "checkpoint", "last")]
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator=accelerator, devices=1, logger=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=callbacks,
    )  # fmt: skip
    batches = torch.randn(5 * 4, 3, generator=torch.Generator().manual_seed(1))
    module = Small()
    trainer.fit(module, loader_of(batches, 4), loader_of(batches, 20), ckpt_path=resume)
    return trainer, module


def saved(path: Path) -> Any:
    return torch.load(path, weights_only=True, map_location="cpu")


@pytest.mark.parametrize("accelerator", ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def test_the_average_is_validated_and_kept_and_is_what_remains(
    accelerator: str, tmp_path: Path
) -> None:
    trainer, module = fit(tmp_path, epochs=2, accelerator=accelerator)
    average = module.after[0]
    averages = [average := DECAY * average + (1 - DECAY) * one for one in module.after]
    torch.testing.assert_close(module.seen, [averages[4], averages[9]])
    assert (module.seen[0] - module.after[4]).abs().max() > 0.01
    best, last = saved(tmp_path / "best.ckpt"), saved(tmp_path / "last.ckpt")
    assert torch.equal(best["state_dict"]["trained.weight"], module.seen[0])
    assert torch.equal(last["state_dict"]["trained.weight"], module.seen[1])
    assert torch.equal(last["current_model_state"]["trained.weight"], module.after[9])
    assert torch.equal(module.trained.weight.cpu(), module.seen[1])
    trainer.test(module, loader_of(torch.zeros(4, 3), 4), tmp_path / "best.ckpt", verbose=False)
    assert torch.equal(module.seen[-1], module.seen[0])


def test_what_no_step_moves_is_left_exactly_as_it_is(tmp_path: Path) -> None:
    fit(tmp_path, epochs=1)
    found = saved(tmp_path / "last.ckpt")
    average, current = found["state_dict"], found["current_model_state"]
    for states in (average, current):
        assert torch.equal(states["frozen.weight"], Small().frozen.weight)
        assert states["limit"] == math.inf
    # The file holds it once.
    assert average["frozen.weight"].data_ptr() == current["frozen.weight"].data_ptr()
    assert not torch.equal(average["statistics.running_mean"], current["statistics.running_mean"])
    assert average["statistics.num_batches_tracked"] == 5


def test_a_resumed_run_is_the_same_run(tmp_path: Path) -> None:
    _, whole = fit(tmp_path / "whole", epochs=4)
    fit(tmp_path / "half", epochs=2)
    _, rest = fit(tmp_path / "rest", 4, tmp_path / "half" / "last.ckpt")
    torch.testing.assert_close(whole.after[10:], rest.after, rtol=0, atol=0)
    torch.testing.assert_close(whole.seen[2:], rest.seen, rtol=0, atol=0)


def test_a_report_model_keeps_its_encoder_and_its_average_writes(tmp_path: Path) -> None:
    training = assemble.training(TinySource((8, 4, 4)), small(tmp_path))
    before: Any = training.module
    identity = before.model.encoder.identity
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, enable_checkpointing=False,
        callbacks=[Keep(tmp_path / "last.ckpt"), AveragedWeights(0.5)],
    )  # fmt: skip
    trainer.fit(training.module, training.datamodule)
    loaded = load_checkpoint(tmp_path / "last.ckpt")
    assert loaded.model.encoder.identity == before.model.encoder.identity == identity
    kept = dict(before.model.named_parameters())
    for name, weight in loaded.model.named_parameters():
        assert torch.equal(weight, kept[name]), name


class Keep(pl.Callback):
    """Saves when training ends, before the weights are exchanged for their average."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self.path)


def test_a_run_goes_on_without_naming_it_again(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "callbacks=ema", "callbacks.averaging.decay=0.9")
    found, changes = resumed(path)
    assert changes == []
    assert found["callbacks"]["averaging"]["decay"] == 0.9


def test_it_is_off_unless_asked_for() -> None:
    assert "averaging" not in options()["callbacks"]
    asked = options("callbacks=ema")["callbacks"]
    assert asked.pop("averaging")["decay"] == 0.99
    assert asked == options()["callbacks"]


@pytest.mark.parametrize("decay", [1, -0.1, "fast"])
def test_bad_decays_are_refused(decay: Any) -> None:
    with pytest.raises(OptionError, match=r"callbacks\.averaging\.decay must be a number from 0"):
        AveragedWeights(decay)


def test_an_older_lightning_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("pytorch_lightning.callbacks.WeightAveraging")
    monkeypatch.delitem(sys.modules, "xray_report.training.averaging")
    with pytest.raises(
        OptionError, match=r"averaged weights need pytorch-lightning 2\.6: pip"
    ) as e:
        check_callbacks(options("callbacks=ema"))
    assert "\n" not in str(e.value)
