"""One vector for a study's images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.models.decoder import VIEWS
from xray_report.models.view_maps import ViewMaps
from xray_report.options import check_choice, check_flag

NORMS = ("layer", "unit", "none")


class PooledViews(nn.Module):
    """Pooled views side by side, normalised, then a dense layer without non-linearity.

    The image side of the merge architecture (Tanti, Gatt and Camilleri 2017, "What is the Role
    of Recurrent Neural Networks (RNNs) in an Image Caption Generator?", section 3).

    Args:
        feature_size: C, channels of a view's map.
        output_size: length of the result.
        norm: "layer" (each view to mean 0 and variance 1 over its channels, then a learnt
            affine map), "unit" (the joined vector to length 1, as in the paper) or "none".
        absent_vectors: learn a vector that stands for a missing view; otherwise zeros do.
        peaks: join each channel's maximum to its average (2C a view), so that a small finding is
            not averaged away. The paper has averages only.
    """

    absent: Tensor | None

    def __init__(
        self,
        feature_size: int,
        output_size: int,
        norm: str = "layer",
        absent_vectors: bool = True,
        peaks: bool = False,
    ) -> None:
        super().__init__()
        self.norm = check_choice("image_norm", norm, NORMS)
        self.peaks = check_flag("peaks", peaks)
        size = feature_size * (2 if peaks else 1)
        self.scale = nn.LayerNorm(size) if norm == "layer" else nn.Identity()
        learnt = check_flag("absent_vectors", absent_vectors)
        self.absent = nn.Parameter(torch.zeros(VIEWS, size)) if learnt else None
        self.dense = nn.Linear(VIEWS * size, output_size)

    def forward(self, views: ViewMaps) -> Tensor:
        """[B, output_size] of the maps of B studies."""
        pooled = [views.maps.mean(2), *([views.maps.amax(2)] if self.peaks else [])]
        view = self.scale(torch.cat([views.standardised(part) for part in pooled], dim=-1))
        missing = view.new_zeros(()) if self.absent is None else self.absent
        joined = torch.where(views.view_mask.unsqueeze(-1), view, missing).flatten(1)
        if self.norm == "unit":
            joined = F.normalize(joined, dim=-1)
        image: Tensor = self.dense(joined)
        return image
