"""From the maps of both views to one vector for each of their locations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.models.decoder import GRID, VIEWS
from xray_report.models.view_maps import ViewMaps
from xray_report.options import check_count, check_flag


class LocationValues(nn.Module):
    """What is attended to: a projection of each location's features, and where it lies.

    A context is a weighted sum, so projecting locations once equals projecting every context,
    and no step of the decoder touches the C channels of the maps.

    Args:
        feature_size: C, channels of a view's map.
        value_size: D, length of a location's vector; None keeps the C channels as they are.
        norm: normalise each location's vector to mean 0 and variance 1 (LayerNorm).
        places: add learnt vectors of the location (7x7) and of the view.
    """

    place: Tensor | None
    view: Tensor | None

    def __init__(
        self, feature_size: int, value_size: int | None, norm: bool = True, places: bool = True
    ) -> None:
        super().__init__()
        self.size = feature_size if value_size is None else check_count("value_size", value_size)
        self.project = (
            None if value_size is None else nn.Linear(feature_size, self.size, bias=False)
        )
        self.norm = nn.LayerNorm(self.size) if check_flag("value_norm", norm) else nn.Identity()
        wanted = check_flag("location_embedding", places)
        self.place = nn.Parameter(0.3 * torch.randn(GRID * GRID, self.size)) if wanted else None
        self.view = nn.Parameter(0.3 * torch.randn(VIEWS, 1, self.size)) if wanted else None

    def forward(self, views: ViewMaps) -> tuple[Tensor, Tensor]:
        """Values [B, 98, D], zero in missing views, and bool [B, 98] which locations exist."""
        values = self.norm(self._projected(views))
        if self.place is not None and self.view is not None:
            values = values + self.place + self.view
        present = views.view_mask.unsqueeze(-1).expand(-1, -1, GRID * GRID)
        values = values.masked_fill(~present.unsqueeze(-1), 0.0)
        return values.flatten(1, 2), present.flatten(1)

    def _projected(self, views: ViewMaps) -> Tensor:
        """The maps standardised and projected, [B, 2, 49, D]."""
        if self.project is None:
            return views.standardised(views.maps)
        weight = self.project.weight
        return F.linear(views.maps, weight * views.scale, weight @ views.shift)
