"""Soft-edged shapes on a square canvas, in coordinates that do not depend on its size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Points = NDArray[np.float64]


def step(distance: Array, width: float = 0.008) -> Array:
    """1 inside (distance > 0), 0 outside, with an edge `width` wide."""
    return np.clip(distance * np.float32(1.0 / width) + np.float32(0.5), 0.0, 1.0)


def bell(distance: Array, width: float) -> Array:
    """A Gaussian ridge along distance 0."""
    return np.exp(-np.square(distance * np.float32(1.0 / width)))


def ellipse(
    u: Array, v: Array, centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0
) -> Array:
    """Distance inside an ellipse (about that; negative outside).

    Args:
        u, v: coordinates of the pixels.
        centre, radii: in the same units.
        angle: radians by which the first radius is turned from u towards v.
    """
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    du, dv = u - np.float32(centre[0]), v - np.float32(centre[1])
    first = (du * cos + dv * sin) * np.float32(1.0 / radii[0])
    second = (dv * cos - du * sin) * np.float32(1.0 / radii[1])
    return (1.0 - np.sqrt(first * first + second * second)) * np.float32(min(radii))


@lru_cache(maxsize=32)
def _spline(size: int, cells: int) -> Array:
    """Cubic B-spline weights that spread `cells + 3` knots over `size` pixels."""
    at = (np.arange(size) + 0.5) / size * cells
    whole = np.floor(at).astype(int)
    part = at - whole
    weights = np.zeros((size, cells + 3))
    rows = np.arange(size)
    weights[rows, whole] = (1 - part) ** 3 / 6
    weights[rows, whole + 1] = (3 * part**3 - 6 * part**2 + 4) / 6
    weights[rows, whole + 2] = (-3 * part**3 + 3 * part**2 + 3 * part + 1) / 6
    weights[rows, whole + 3] = part**3 / 6
    return weights.astype(np.float32)


def texture(size: int, cells: int, rng: np.random.Generator) -> Array:
    """Smooth random hills between about -1 and 1, `cells` across, [size, size]."""
    knots = rng.uniform(-1.6, 1.6, (cells + 3, cells + 3)).astype(np.float32)
    spread = _spline(size, cells)
    smooth: Array = spread @ knots @ spread.T
    return smooth


def curve(controls: Points, pieces: int = 5) -> Points:
    """A smooth line through control points [K, 2] (Catmull-Rom), as points [N, 2]."""
    padded = np.vstack([2 * controls[0] - controls[1], controls, 2 * controls[-1] - controls[-2]])
    t = np.linspace(0.0, 1.0, pieces, endpoint=False)[:, None]
    parts = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        cubic = t**3 * (3 * (b - c) + d - a) + t**2 * (2 * a - 5 * b + 4 * c - d)
        parts.append(0.5 * (2 * b + t * (c - a) + cubic))
    return np.vstack([*parts, controls[-1:]])


def stroke(size: int, points: Points, half: float, soft: float = 0.004) -> Array:
    """A line of half-width `half` along canvas points [N, 2] (x, y in 0..1), [size, size]."""
    canvas = np.zeros((size, size), np.float32)
    soft = max(soft, 0.9 / size)
    for first, last in pairwise(points):
        with suppress(StopIteration):
            window, distance = next(_near_segment(size, first, last, half + soft))
            part = canvas[window]
            np.maximum(part, np.clip((half - distance) / soft + 0.5, 0.0, 1.0), out=part)
    return canvas


def _near_segment(
    size: int, first: Points, last: Points, reach: float
) -> Iterator[tuple[tuple[slice, slice], Array]]:
    """The window around a segment and the pixels' distances to it; nothing if off the canvas."""
    low = np.floor((np.minimum(first, last) - reach) * size).astype(int).clip(0, size)
    high = np.ceil((np.maximum(first, last) + reach) * size).astype(int).clip(0, size)
    if (high <= low).any():
        return
    x = ((np.arange(low[0], high[0]) + 0.5) / size - first[0]).astype(np.float32)[None, :]
    y = ((np.arange(low[1], high[1]) + 0.5) / size - first[1]).astype(np.float32)[:, None]
    dx, dy = (float(part) for part in last - first)
    along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12), 0.0, 1.0)
    distance = np.sqrt(np.square(x - along * dx) + np.square(y - along * dy))
    yield (slice(low[1], high[1]), slice(low[0], high[0])), distance.astype(np.float32)
