"""Bringing the encoder's channels to one scale, as far as training has seen them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOMENTUM = 0.05
_EPS = 1e-5


class ChannelNorm(nn.Module):
    """Standardises each channel by its mean and deviation over the training maps.

    A channel that answers to a rare finding is near zero almost everywhere; on its own scale the
    decoder would learn it last. Running statistics are used in training too, so an example's
    result never depends on its batch, and the affine map folds into the layer that follows.

    Args:
        channels: C.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))

    def forward(self, features: Tensor, view_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift, each [C], after learning from [B, 2, C, h, w] while training.

        Views that `view_mask` (bool [B, 2]) calls missing are not read.
        """
        if self.training:
            self._observe(features, view_mask)
        scale = (self.variance + _EPS).rsqrt()
        return scale, -self.mean * scale

    @torch.no_grad()
    def _observe(self, features: Tensor, view_mask: Tensor) -> None:
        maps = features.to(self.mean.dtype).flatten(3)
        missing = ~view_mask.unsqueeze(-1)
        count = (view_mask.sum() * maps.shape[-1]).clamp(min=1)
        # Summed over the map first: what is left to mask is 49 times smaller.
        mean, square = (
            part.sum(-1).masked_fill(missing, 0.0).sum((0, 1)) / count
            for part in (maps, maps.square())
        )
        variance = (square - mean.square()).clamp(min=0)
        share = torch.where(self.seen, MOMENTUM, 1.0)  # the first batch sets them
        self.mean.lerp_(mean, share.to(mean.dtype))
        self.variance.lerp_(variance, share.to(mean.dtype))
        self.seen.fill_(True)
