"""The encoder's maps as decoders read them: location by location, on one scale."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

MOMENTUM = 0.05
OBSERVED = 5
"""Every fifth location is observed, a lattice of ten: neighbours tell much the same."""

_EPS = 1e-5


class ViewMaps(NamedTuple):
    """Maps of both views of B studies.

    Args:
        maps: [B, 2, 49, C], zero in missing views, contiguous.
        view_mask: bool [B, 2].
        scale, shift: [C], what standardises the channels; not yet applied, since a linear layer
            can take them up for nothing.
    """

    maps: Tensor
    view_mask: Tensor
    scale: Tensor
    shift: Tensor

    def standardised(self, rows: Tensor) -> Tensor:
        """`rows` [..., C] of these maps, or pooled from them, with their channels on one scale."""
        return torch.addcmul(self.shift, rows, self.scale)


class MapReader(nn.Module):
    """Puts channels last and, if asked to, learns what brings them to one scale.

    A channel that answers to a rare finding is near zero almost everywhere; on its own scale the
    decoder would learn it last. Running mean and deviation over the training maps are used in
    training too, so an example's result never depends on its batch.

    Args:
        channels: C.
        channel_norm: standardise the channels; otherwise they stay as they are.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, channels: int, channel_norm: bool) -> None:
        super().__init__()
        self.channel_norm = channel_norm
        # Without channel_norm they still say in which dtype maps are read.
        self.register_buffer("mean", torch.zeros(channels), persistent=channel_norm)
        self.register_buffer("variance", torch.ones(channels), persistent=channel_norm)
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool), persistent=channel_norm)

    def forward(self, features: Tensor, view_mask: Tensor) -> ViewMaps:
        """Read features [B, 2, C, h, w] under bool view_mask [B, 2]; missing views are not.

        Args:
            features: of any floating type; channels-last ones save a transposition.
            view_mask: bool [B, 2].
        """
        maps = features.permute(0, 1, 3, 4, 2).flatten(2, 3)
        maps = maps.to(self.mean.dtype, memory_format=torch.contiguous_format, copy=True)
        maps = maps.masked_fill_(~view_mask[..., None, None], 0.0)
        if not self.channel_norm:
            return ViewMaps(maps, view_mask, torch.ones_like(self.mean), self.mean)
        if self.training:
            self._observe(maps.detach(), view_mask)
        scale = (self.variance + _EPS).rsqrt()
        return ViewMaps(maps, view_mask, scale, -self.mean * scale)

    @torch.no_grad()
    def _observe(self, maps: Tensor, view_mask: Tensor) -> None:
        rows = maps[:, :, ::OBSERVED].flatten(0, 2)
        count = (view_mask.sum() * (len(rows) // view_mask.numel())).clamp(min=1)
        mean, square = rows.sum(0) / count, rows.square().sum(0) / count
        variance = (square - mean.square()).clamp(min=0)
        share = torch.where(self.seen, MOMENTUM, 1.0)  # the first batch sets them
        self.mean.lerp_(mean, share.to(mean.dtype))
        self.variance.lerp_(variance, share.to(mean.dtype))
        self.seen.fill_(True)
