"""What CheXNet learns from: image labels, and where they lie if the data know."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss  # type: ignore[import-untyped]

TOUCHED = 0.05
"""Share of a region cell that a finding must cover for the cell to count as its place."""


def label_loss(logits: Tensor, labels: Tensor, pos_weight: Tensor) -> Tensor:
    """Binary cross-entropy over known labels, positives weighted by class balance.

    Args:
        logits, labels: float [M, C]; NaN labels are unknown and cost nothing.
        pos_weight: float [C], weight of a positive (Rajpurkar et al. 2017, eq. 1).
    """
    known = ~labels.isnan()
    loss = functional.binary_cross_entropy_with_logits(
        logits, labels.nan_to_num(), pos_weight=pos_weight, reduction="none"
    )
    return (loss * known).sum() / known.sum().clamp(min=1)


def region_loss(cell_logits: Tensor, regions: Tensor) -> Tensor:
    """Focal loss (Lin et al. 2017) of the cells in which each label lies.

    Args:
        cell_logits: float [M, C, h, w].
        regions: float [M, C, G, G], the share of each cell covered, NaN unknown.
    """
    size = cell_logits.shape[-2:]
    known = ~regions.isnan().flatten(2).any(-1)[..., None, None]
    covered = functional.adaptive_max_pool2d(regions.nan_to_num(), size)
    target = (covered > TOUCHED).to(cell_logits)
    loss: Tensor = sigmoid_focal_loss(cell_logits, target, alpha=0.5, gamma=2.0)
    places: Tensor = (target * known).sum().clamp(min=1)
    return (loss * known).sum() / places


def balance(labels: Tensor, highest: float) -> Tensor:
    """Weight [C] of a positive: known negatives over positives of `labels` [M, C], 1..highest."""
    positive = (labels == 1).sum(0)
    negative = (labels == 0).sum(0)
    return (negative / positive.clamp(min=1)).clamp(1.0, highest).to(torch.float32)
