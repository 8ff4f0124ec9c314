"""The encoder's maps as decoders read them: on one scale, location by location, or pooled."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.errors import OptionError
from xray_report.models.decoders.protocol import VIEWS
from xray_report.models.maps import MapShape
from xray_report.options import check_choice, check_count, check_flag

MOMENTUM = 0.05
OBSERVED = 5
"""About every fifth location is observed: neighbours are much the same."""

_EPS = 1e-5


class ViewMaps(NamedTuple):
    """Maps of both views of B studies.

    Args:
        maps: [B, 2, h * w, C], zero in missing views, contiguous.
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
        maps: shape of a view's map, C channels of h by w.
        channel_norm: standardise the channels; otherwise they stay as they are.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, maps: MapShape, channel_norm: bool) -> None:
        super().__init__()
        channels = maps.channels
        self.maps = maps
        self.channel_norm = check_flag("channel_norm", channel_norm)
        # A lattice over all columns: a stride that divided the width would see a few alone.
        self.stride = next(n for n in itertools.count(OBSERVED) if math.gcd(n, maps.width) == 1)
        # Without channel_norm they still say in which dtype maps are read.
        self.register_buffer("mean", torch.zeros(channels), persistent=channel_norm)
        self.register_buffer("variance", torch.ones(channels), persistent=channel_norm)
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool), persistent=channel_norm)

    def forward(self, features: Tensor, view_mask: Tensor) -> ViewMaps:
        """Read features [B, 2, C, h, w] under bool view_mask [B, 2]; missing views are not.

        Args:
            features: of any floating type; channels-last ones save a transposition.
            view_mask: bool [B, 2].

        Raises:
            OptionError: maps of another shape than the decoder was built for.
        """
        if features.shape[1:] != (VIEWS, *self.maps):
            found, own = (" x ".join(map(str, shape)) for shape in (features.shape[2:], self.maps))
            raise OptionError(
                f"the decoder reads maps of {own} (channels x rows x columns), got {found}: use "
                "the encoder and the image size it was trained with"
            )
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
        rows = maps[:, :, :: self.stride].flatten(0, 2)
        count = (view_mask.sum() * (len(rows) // view_mask.numel())).clamp(min=1)
        mean, square = rows.sum(0) / count, rows.square().sum(0) / count
        variance = (square - mean.square()).clamp(min=0)
        share = torch.where(self.seen, MOMENTUM, 1.0)  # the first batch sets them
        self.mean.lerp_(mean, share.to(mean.dtype))
        self.variance.lerp_(variance, share.to(mean.dtype))
        self.seen.fill_(True)


# From the maps of both views to one vector for each of their locations.


class LocationValues(nn.Module):
    """What is attended to: a projection of each location's features, and where it lies.

    A context is a weighted sum, so projecting locations once equals projecting every context,
    and no step of the decoder touches the C channels of the maps.

    Args:
        maps: shape of a view's map, C channels of h by w.
        value_size: D, length of a location's vector; None keeps the C channels as they are.
        norm: normalise each location's vector to mean 0 and variance 1 (LayerNorm).
        places: add learnt vectors of the location (one of h by w) and of the view.
    """

    place: Tensor | None
    view: Tensor | None

    def __init__(
        self, maps: MapShape, value_size: int | None, norm: bool = True, places: bool = True
    ) -> None:
        super().__init__()
        channels = maps.channels
        self.size = channels if value_size is None else check_count("value_size", value_size)
        self.project = None if value_size is None else nn.Linear(channels, self.size, bias=False)
        self.norm = nn.LayerNorm(self.size) if check_flag("value_norm", norm) else nn.Identity()
        wanted = check_flag("location_embedding", places)
        self.place = nn.Parameter(0.3 * torch.randn(maps.locations, self.size)) if wanted else None
        self.view = nn.Parameter(0.3 * torch.randn(VIEWS, 1, self.size)) if wanted else None

    def forward(self, views: ViewMaps) -> tuple[Tensor, Tensor]:
        """Values [B, L, D], zero in missing views, and bool [B, L] which exist; L = 2 * h * w."""
        values = self.norm(self._projected(views))
        if self.place is not None and self.view is not None:
            values = values + self.place + self.view
        present = views.view_mask.unsqueeze(-1).expand(-1, -1, values.shape[2])
        values = values.masked_fill(~present.unsqueeze(-1), 0.0)
        return values.flatten(1, 2), present.flatten(1)

    def _projected(self, views: ViewMaps) -> Tensor:
        """The maps standardised and projected, [B, 2, h * w, D]."""
        if self.project is None:
            return views.standardised(views.maps)
        weight = self.project.weight
        return F.linear(views.maps, weight * views.scale, weight @ views.shift)


# One vector for a study's images.

NORMS = ("layer", "unit", "none")


class PooledViews(nn.Module):
    """Pooled views side by side, normalised, then a dense layer without non-linearity.

    The image side of the merge architecture (Tanti, Gatt and Camilleri 2017, "What is the Role
    of Recurrent Neural Networks (RNNs) in an Image Caption Generator?", section 3).

    Args:
        maps: shape of a view's map, C channels of h by w.
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
        maps: MapShape,
        output_size: int,
        norm: str = "layer",
        absent_vectors: bool = True,
        peaks: bool = False,
    ) -> None:
        super().__init__()
        self.norm = check_choice("image_norm", norm, NORMS)
        self.peaks = check_flag("peaks", peaks)
        size = maps.channels * (2 if peaks else 1)
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
