"""Films made alike: grey levels that depend on the film, not on how its file stores it.

The same film comes as PNG, as JPEG and as DICOM, in more or less of the 256 levels. Stretching it
between two percentiles of its exposed field takes out brightness and contrast, and neither a
burnt-in marker nor a black or white border decides them, as minimum and maximum would let them.

Computed on a batch, at the size that the encoder takes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

INTENSITIES = ("as_stored", "percentile", "standardised")
"""Grey levels as the file holds them; stretched between percentiles; and then, of each film, to
mean 0 and deviation 1."""

PERCENTILES = (0.005, 0.995)
"""Shares of the exposed field's pixels that lie below black and below white."""

NEAR = 0.02
"""Share of the grey range within which a border counts as black or as white."""

SEEN = 112
"""Side of the grid of pixels that statistics are taken of; all pixels would say the same."""


def exposed_field(pixels: Tensor) -> Tensor:
    """Where films uint8 [N, 1, H, W] show more than a border, bool [N, 1, H, W].

    A border is black or white from the edge inwards: what collimation left unexposed, what a
    viewer or an archive has filled up, air beside the body that is black through and through. A
    film that would be border all over is all field.
    """
    low, high = (limit.view(-1, 1, 1, 1).float() for limit in pixels.flatten(1).aminmax(dim=1))
    near = NEAR * (high - low)
    inside = (pixels > (low + near).byte()) & (pixels < (high - near).ceil().byte())
    # Or black or white, and yet between what is not, along its row and its column.
    enclosed = torch.ones_like(inside)
    for axis in (-1, -2):
        count = inside.cumsum(axis, dtype=torch.int32)
        enclosed &= (count > 0) & (count < count.narrow(axis, count.shape[axis] - 1, 1))
    field = inside | enclosed
    return field | ~field.flatten(1).any(1).view(-1, 1, 1, 1)


def grey_range(pixels: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
    """Black and white of each film, float [N, 1, 1, 1] each: percentiles of its field.

    Interpolated between levels, so that a film rounded to other levels has nearly the same.

    Args:
        pixels: uint8 [N, 1, H, W].
        field: bool [N, 1, H, W], somewhere True on each film.
    """
    levels = pixels.long().masked_fill_(~field, 256).flatten(1)
    counts = levels.new_zeros(levels.shape[0], 257).scatter_add_(1, levels, torch.ones_like(levels))
    counts = counts[:, :256].float()
    up_to = counts.cumsum(1)
    wanted = up_to[:, -1:] * up_to.new_tensor(PERCENTILES)
    # As `searchsorted` finds it, of which ONNX knows nothing.
    level = (up_to.unsqueeze(1) < wanted.unsqueeze(2)).sum(2)
    there, reached = counts.gather(1, level), up_to.gather(1, level)
    found = level + 0.5 - (reached - wanted) / there.clamp(min=1)
    low, high = (found[:, n].view(-1, 1, 1, 1) for n in range(2))
    return low, torch.maximum(high, low + 1)


class Stretched(NamedTuple):
    """Films between black and white of their own.

    Args:
        levels: float32 [N, 1, H, W] from 0 (black) to 255 (white), what lies beyond cut off.
        mean: of the levels of each film's exposed field, float [N, 1, 1, 1].
        deviation: theirs, likewise; at least one level.
    """

    levels: Tensor
    mean: Tensor
    deviation: Tensor


def stretched(pixels: Tensor) -> Stretched:
    """Stretch films uint8 [N, 1, H, W] between two percentiles of their exposed fields."""
    step = max(1, pixels.shape[-1] // SEEN)
    seen = pixels[:, :, ::step, ::step]
    field = exposed_field(seen)
    low, high = grey_range(seen, field)
    levels = (pixels - low).mul_(255 / (high - low)).clamp_(0, 255)
    counted = levels[:, :, ::step, ::step]
    count = field.sum((1, 2, 3), keepdim=True)
    mean = (counted * field).sum((1, 2, 3), keepdim=True) / count
    variance = ((counted - mean).square() * field).sum((1, 2, 3), keepdim=True) / count
    return Stretched(levels, mean, variance.sqrt().clamp(min=1))
