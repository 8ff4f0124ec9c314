"""Films in training, as another exposure of the same chest would differ a little."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from xray_report.options import check_number, check_share


@dataclass(frozen=True)
class Augmentation:
    """Shifts, resizes and turns each film by chance, and changes its grey levels.

    Never a flip: the heart has a side, and so has what the report says. Works on whole batches on
    whatever device they are; what moves in from outside a film is black.

    Args:
        shift: most that a film moves in each direction, share of its side.
        scale: most that its size changes, share: 0.1 gives 0.9 to 1.1.
        rotation: most that it turns, degrees.
        contrast: most that the deviation of its grey levels changes, share.
        brightness: most that their mean changes, deviations.

    Raises `OptionError` for a bad option.
    """

    shift: float = 0.0
    scale: float = 0.0
    rotation: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0

    def __post_init__(self) -> None:
        for name in ("shift", "scale", "contrast"):
            check_share(f"augmentation.{name}", getattr(self, name))
        check_number("augmentation.rotation", self.rotation, least=0, most=45)
        check_number("augmentation.brightness", self.brightness, least=0, most=2)

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return any(astuple(self))

    def __call__(
        self, images: Tensor, regions: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Films changed, each in its own way, and where labels lie on them.

        Args:
            images: float [N, 3, S, S], normalised grey films.
            regions: float [N, C, G, G], NaN unknown; moved as the films are.
        """
        chance = 2 * torch.rand(6, len(images), device=images.device) - 1
        turn, size, across, down, contrast, brightness = chance
        # A film is grey: its channels are one picture, each from its own black to its own white.
        black, white = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
        film = (images[:, :1] - black[:, :1]) / (white - black)[:, :1].clamp(min=1e-6)
        if self.shift or self.scale or self.rotation:
            angle, zoom = turn * math.radians(self.rotation), 1 / (1 + size * self.scale)
            cosine, sine = angle.cos() * zoom, angle.sin() * zoom
            rows = [cosine, -sine, 2 * self.shift * across, sine, cosine, 2 * self.shift * down]
            places = torch.stack(rows, dim=1).view(-1, 2, 3)
            film = moved(film, places)
            if regions is not None:
                there = moved(regions.nan_to_num(), places)
                regions = there.masked_fill(regions.isnan(), torch.nan)
        if self.contrast or self.brightness:
            deviation, mean = torch.std_mean(film, (2, 3), keepdim=True)
            factor = 1 + self.contrast * contrast.view(-1, 1, 1, 1)
            offset = self.brightness * brightness.view(-1, 1, 1, 1) * deviation
            film = torch.addcmul((1 - factor) * mean + offset, film, factor)
        return torch.addcmul(black, film, white - black), regions


def moved(images: Tensor, places: Tensor) -> Tensor:
    """Images [N, C, H, W] as `places` [N, 2, 3] of `affine_grid` say; 0 moves in from outside."""
    grid = functional.affine_grid(places, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
