"""The film both views are drawn on: coordinates, exposure, and what a lesion changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xray_report.data.phantom.anatomy import Anatomy
from xray_report.data.phantom.shapes import Array, Points, curve, stroke
from xray_report.data.study import Region

_TONES_PER_UNIT = np.float32(4096.0)
_DENSEST = 2.5

VISIBLE = 0.01
"""Changes of density smaller than this are dropped, so that a lesion's mask is exact."""


class Drawing(NamedTuple):
    """A picture, uint8 [S, S], and where its findings lie."""

    image: NDArray[np.uint8]
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class Film:
    """Body coordinates of a view's pixels.

    Args:
        size: pixels a side.
        u: float32 [S, S], runs from the body's midline to the right of the picture.
        v: float32 [S, S], runs down; 0 and 1 are about the film's edges.
        centre, scale, cos, sin: the transform back to the film.
    """

    size: int
    u: Array
    v: Array
    centre: tuple[float, float]
    scale: float
    cos: float
    sin: float

    @classmethod
    def of(cls, anatomy: Anatomy, view: int, size: int) -> Film:
        """The film of view 0 (frontal) or 1 (lateral)."""
        dx, dy = anatomy.centre[view]
        scale, angle = anatomy.scale[view], anatomy.angle[view]
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        at = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
        x = (at - np.float32(0.5 + dx))[None, :] * np.float32(1 / scale)
        y = (at - np.float32(0.5 + dy))[:, None] * np.float32(1 / scale)
        u = x * np.float32(cos) + y * np.float32(sin)
        v = y * np.float32(cos) - x * np.float32(sin) + np.float32(0.5)
        return cls(size, u, v, (0.5 + dx, 0.5 + dy), scale, cos, sin)

    def points(self, body: Points) -> Points:
        """Film coordinates (x, y in 0..1) of body points [N, 2]."""
        u, v = body[:, 0], body[:, 1] - 0.5
        x = self.centre[0] + self.scale * (u * self.cos - v * self.sin)
        y = self.centre[1] + self.scale * (u * self.sin + v * self.cos)
        return np.stack([x, y], axis=1)

    def line(self, body: list[tuple[float, float]], half: float, pieces: int = 5) -> Array:
        """A smooth line of half-width `half` through body points, 0..1, [S, S]."""
        return stroke(self.size, self.points(curve(np.asarray(body), pieces)), half * self.scale)

    def exposed(
        self, density: Array, anatomy: Anatomy, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Grey levels uint8 [S, S] of summed densities: brighter where more is absorbed."""
        grey = _tones(anatomy).take((density * _TONES_PER_UNIT).astype(np.int32), mode="clip")
        grain = rng.standard_normal((self.size, self.size), np.float32)
        grain += 0.5 * np.roll(grain, 1, axis=1) + 0.5 * np.roll(grain, 1, axis=0)
        noisy = grey + grain * np.float32(0.8 * anatomy.noise)
        return np.clip(noisy + np.float32(0.5), 0.0, 255.0).astype(np.uint8)


def _tones(anatomy: Anatomy) -> Array:
    """Grey level of each step of density, 0 to `_DENSEST`: attenuation, then the film's gamma."""
    density = np.arange(int(_DENSEST * float(_TONES_PER_UNIT))) / float(_TONES_PER_UNIT)
    light = 1.0 - np.exp(-1.95 * anatomy.gain * density)
    return (258.0 * light**anatomy.gamma).astype(np.float32)


def visible(change: Array) -> Array:
    """A lesion's change of density with its invisible rim cut off."""
    return change * (np.abs(change) > VISIBLE)
