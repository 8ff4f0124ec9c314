"""Weights averaged over the steps of training, which are what is validated and kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xray_report.options import check_share

try:
    from pytorch_lightning.callbacks import WeightAveraging
except ImportError as error:
    raise ImportError(
        "averaged weights need pytorch-lightning 2.6: pip install -U 'pytorch-lightning>=2.6,"
        "!=2.6.2,!=2.6.3'"
    ) from error


class AveragedWeights(WeightAveraging):
    """Lightning's averaging, exponential, of what training moves (Polyak and Juditsky 1992).

    After every step average = decay * average + (1 - decay) * weights. Validation and checkpoints
    are of the average; the weights that training goes on from stand in checkpoints as
    `current_model_state`.

    `EMAWeightAveraging` itself would average a frozen encoder's weights too, which costs a pass
    over them a step and, by rounding, makes of them others than the features were computed with;
    and would leave the average on the CPU where the training is not. Here what no step moves, all
    but trained parameters and the statistics of batch normalisation, is one with the model's own.

    Args:
        decay: 0 to below 1; the average reaches over about 1 / (1 - decay) steps.
    """

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = check_share("callbacks.averaging.decay", decay)
        super().__init__(multi_avg_fn=self._average)

    def _average(self, averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        """Move tensors of one kind, [M] each, towards the current ones."""
        for average, own in zip(averaged, current, strict=True):
            if average.data_ptr() == own.data_ptr():
                continue
            if average.is_floating_point():
                average.lerp_(own, 1.0 - self.decay)
            else:
                average.copy_(own)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Once weights are on their device, and loaded where a run is resumed, share the rest."""
        assert self._average_model is not None
        self._average_model.to(pl_module.device)
        moved = {id(one) for one in moved_by_training(pl_module)}
        for average, own in zip(_state(self._average_model.module), _state(pl_module), strict=True):
            if id(own) not in moved:
                average.data = own.data

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the average, which the model now has: what is tested next is what is loaded."""
        self._average_model = None

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Where training is resumed, go on from both weights; elsewhere the average is loaded."""
        if self._average_model is not None:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


def _state(module: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(module.parameters(), module.buffers())


def moved_by_training(module: nn.Module) -> Iterator[Tensor]:
    """Trained parameters, and the running statistics of batch normalisation that has some."""
    yield from (one for one in module.parameters() if one.requires_grad)
    for part in module.modules():
        if isinstance(part, _BatchNorm) and any(one.requires_grad for one in part.parameters()):
            yield from part.buffers()
