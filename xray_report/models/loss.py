"""Cross-entropy of the words of reports, blind to padding."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xray_report.options import check_share


def masked_cross_entropy(
    logits: Tensor, targets: Tensor, pad: int, label_smoothing: float = 0.0
) -> Tensor:
    """Mean over the real words of a batch; padding neither adds to it nor divides it.

    Args:
        logits: [B, T, V].
        targets: int64 [B, T], `pad` where there is no word.
        pad: the id of padding.
        label_smoothing: share in [0, 1) of the target spread evenly over the vocabulary
            (Szegedy et al. 2016, section 7).

    Returns:
        A scalar of at least 0, in nats a word; 0 for a batch of padding only.
    """
    summed = F.cross_entropy(
        logits.flatten(0, 1).float() if logits.dtype.itemsize < 4 else logits.flatten(0, 1),
        targets.flatten(),
        ignore_index=pad,
        reduction="sum",
        label_smoothing=check_share("label_smoothing", label_smoothing),
    )
    return summed / (targets != pad).sum().clamp(min=1)


def report_losses(logits: Tensor, targets: Tensor, pad: int) -> Tensor:
    """Mean cross-entropy of each report's words, and how many words: float [B, 2].

    Arguments as of `masked_cross_entropy`.
    """
    found = F.cross_entropy(
        logits.transpose(1, 2).float(), targets, ignore_index=pad, reduction="none"
    )
    words = (targets != pad).sum(1)
    return torch.stack([found.sum(1) / words.clamp(min=1), words.to(found.dtype)], 1)
