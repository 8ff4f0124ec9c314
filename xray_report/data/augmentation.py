"""Films in training, as another exposure of the same chest would differ a little."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from xray_report.data.study import Pixels, Study
from xray_report.options import check_count, check_number, check_share


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
        copies: of each training film for a frozen encoder, whose features are read from disk:
            so many changed films are encoded once, and each epoch takes one of them or the film.

    Raises `OptionError` for a bad option.
    """

    shift: float = 0.0
    scale: float = 0.0
    rotation: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    copies: int = 0

    def __post_init__(self) -> None:
        for name in ("shift", "scale", "contrast"):
            check_share(f"augmentation.{name}", getattr(self, name))
        check_number("augmentation.rotation", self.rotation, least=0, most=45)
        check_number("augmentation.brightness", self.brightness, least=0, most=2)
        check_count("augmentation.copies", self.copies, 0)

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return any(astuple(replace(self, copies=0)))

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


# Copies of films, for encoders whose features are kept.


@dataclass(frozen=True)
class AugmentedPixels:
    """An image as `augmentation` changes it; which way, its identity and `number` decide.

    Args:
        pixels: the image.
        augmentation: how it may change.
        number: of the copy, from 1.
    """

    pixels: Pixels
    augmentation: Augmentation
    number: int

    @property
    def identity(self) -> str:
        """Of the image, the augmentation and the number."""
        changes = ", ".join(f"{one:g}" for one in astuple(replace(self.augmentation, copies=0)))
        return f"{self.pixels.identity} augmented by {changes}, copy {self.number}"

    def load(self) -> NDArray[np.uint8]:
        """Grey image, uint8 [H, W]. Raises `ImageError` where the image itself does."""
        film = torch.from_numpy(self.pixels.load().astype(np.float32))[None, None]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(self.identity.encode(errors="surrogateescape")))
            changed, _ = self.augmentation(film)
        gray: NDArray[np.uint8] = changed[0, 0].round().clamp(0, 255).byte().numpy()
        return gray


def augmented(studies: Sequence[Study], augmentation: Augmentation, number: int) -> list[Study]:
    """The studies, each of their images as copy `number` of it."""
    return [
        replace(
            study,
            images=tuple(
                replace(image, pixels=AugmentedPixels(image.pixels, augmentation, number))
                for image in study.images
            ),
        )
        for study in studies
    ]
