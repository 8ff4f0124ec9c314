"""From the maps of both views to one vector for each of their locations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.models.channel_norm import ChannelNorm
from xray_report.models.decoder import GRID, VIEWS
from xray_report.models.options import positive, switch


class LocationValues(nn.Module):
    """What is attended to: a projection of each location's features, and where it lies.

    A context is a weighted sum, so projecting locations once equals projecting every context,
    and no step of the decoder touches the C channels of the maps.

    Args:
        feature_size: C, channels of a view's map.
        value_size: D, length of a location's vector; None keeps the C channels as they are.
        norm: normalise each location's vector to mean 0 and variance 1 (LayerNorm).
        places: add learnt vectors of the location (7x7) and of the view.
        channel_norm: standardise the channels first, folded into the projection.
    """

    place: Tensor | None
    view: Tensor | None
    _unit: Tensor

    def __init__(
        self, feature_size: int, value_size: int | None, norm: bool = True,
        places: bool = True, channel_norm: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.size = feature_size if value_size is None else positive("value_size", value_size)
        # Follows the module through .double() and .to(), also where it has no parameters.
        self.register_buffer("_unit", torch.zeros(()), persistent=False)
        self.project = (
            None if value_size is None else nn.Linear(feature_size, self.size, bias=False)
        )
        self.channel_norm = ChannelNorm(feature_size) if channel_norm else None
        self.norm = nn.LayerNorm(self.size) if switch("value_norm", norm) else nn.Identity()
        wanted = switch("location_embedding", places)
        self.place = nn.Parameter(0.3 * torch.randn(GRID * GRID, self.size)) if wanted else None
        self.view = nn.Parameter(0.3 * torch.randn(VIEWS, 1, self.size)) if wanted else None

    def forward(self, features: Tensor, view_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Values [B, 98, D], zero in missing views, and bool [B, 98] which locations exist.

        Args:
            features: [B, 2, C, 7, 7] of any floating type; channels-last maps save a copy.
            view_mask: bool [B, 2].
        """
        maps = features.permute(0, 1, 3, 4, 2)
        maps = maps.to(self._unit.dtype, memory_format=torch.contiguous_format)
        values = self.norm(self._projected(maps, features, view_mask).flatten(2, 3))
        if self.place is not None and self.view is not None:
            values = values + self.place + self.view
        present = view_mask.unsqueeze(-1).expand(-1, -1, GRID * GRID)
        values = values.masked_fill(~present.unsqueeze(-1), 0.0)
        return values.flatten(1, 2), present.flatten(1)

    def _projected(self, maps: Tensor, features: Tensor, view_mask: Tensor) -> Tensor:
        """Maps [B, 2, h, w, C], standardised and projected to [B, 2, h, w, D]."""
        weight = None if self.project is None else self.project.weight
        if self.channel_norm is None:
            return maps if weight is None else F.linear(maps, weight)
        scale: Tensor
        shift: Tensor
        scale, shift = self.channel_norm(features, view_mask)
        if weight is None:
            return maps * scale + shift
        return F.linear(maps, weight * scale, weight @ shift)
