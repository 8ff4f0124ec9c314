"""Optimiser and learning rate schedule, the same for every LightningModule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from xray_report.options import check_number, check_share

FUSED_ON = ("cpu", "cuda")


def adam(
    module: pl.LightningModule,
    parameters: Iterable[nn.Parameter],
    *,
    lr: float,
    weight_decay: float,
    warmup: float,
    cosine: bool,
    slow: Iterable[nn.Parameter] = (),
    slow_factor: float = 1.0,
    encoder: Iterable[nn.Parameter] = (),
    encoder_factor: float = 1.0,
) -> dict[str, Any]:
    """AdamW (Adam where `weight_decay` is 0) with a schedule stepped once a batch.

    Args:
        warmup: share of all steps, 0..1, over which the rate rises linearly to `lr`.
        cosine: whether the rate then falls to zero along half a cosine; else it stays.
        slow: parameters that learn at `slow_factor` times the rate. Adam moves every weight by
            the rate, so a layer of thousands of inputs moves its outputs thousands of times that.
        encoder: those of a pretrained encoder, which learn at `encoder_factor` times the rate: what
            it has learnt is not to be lost in the first steps of a new decoder.
    """
    check_adam(
        lr=lr,
        weight_decay=weight_decay,
        warmup=warmup,
        slow_factor=slow_factor,
        encoder_factor=encoder_factor,
    )
    factors = {id(parameter): slow_factor for parameter in slow}
    factors |= {id(parameter): encoder_factor for parameter in encoder}
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {
            "params": [one for one in trainable if factors.get(id(one), 1.0) == factor],
            "lr": lr * factor,
        }
        for factor in sorted({1.0, *factors.values()}, reverse=True)
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=lr,
        weight_decay=weight_decay,
        fused=can_fuse(module.trainer, trainable),
    )
    total = max(1, int(module.trainer.estimated_stepping_batches))
    rising = warmup * total

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        progress = (step - rising) / max(1.0, total - rising)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress))) if cosine else 1.0

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def can_fuse(trainer: pl.Trainer, parameters: Iterable[nn.Parameter]) -> bool:
    """Whether one pass over the weights may replace a dozen: where there is a kernel for it.

    Not in mixed precision, in which Lightning does not clip the gradients of a fused optimiser.
    """
    on_known_device = all(one.device.type in FUSED_ON for one in parameters)
    return on_known_device and not str(trainer.precision).endswith("mixed")


def check_adam(
    *,
    lr: float,
    weight_decay: float,
    warmup: float,
    slow_factor: float = 1.0,
    encoder_factor: float = 1.0,
    **_: Any,
) -> None:
    """Raise OptionError, naming the option, unless `adam` can take these."""
    check_number("model.optimizer.lr", lr, above=0.0)
    check_number("model.optimizer.weight_decay", weight_decay, least=0.0)
    check_number("model.optimizer.slow_factor", slow_factor, above=0.0, most=1.0)
    check_number("model.optimizer.encoder_factor", encoder_factor, above=0.0, most=1.0)
    check_share("model.optimizer.warmup", warmup)
