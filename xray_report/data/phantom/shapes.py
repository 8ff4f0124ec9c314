"""Soft-edged shapes on a square canvas, in coordinates that do not depend on its size."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
"""float32 everywhere; named loosely, since numpy's annotations lose the width on the way."""

Points = NDArray[np.float64]


def step(distance: Array, width: float = 0.008) -> Array:
    """1 inside (distance > 0), 0 outside, with an edge `width` wide."""
    share = distance * np.float32(1.0 / width)
    share += np.float32(0.5)
    shaped: Array = np.clip(share, 0.0, 1.0, out=share)  # thrice as fast as maximum and minimum
    return shaped


def bell(distance: Array, width: float) -> Array:
    """A Gaussian ridge along distance 0."""
    power = distance * np.float32(1.0 / width)
    power *= power
    np.negative(power, out=power)
    shaped: Array = np.exp(power, out=power)
    return shaped


def ellipse(
    u: Array, v: Array, centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0
) -> Array:
    """Distance inside an ellipse (about that; negative outside).

    Args:
        u, v: coordinates of the pixels.
        centre, radii: in the same units.
        angle: radians by which the first radius is turned from u towards v.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    du, dv = u - np.float32(centre[0]), v - np.float32(centre[1])
    first = du * np.float32(cos / radii[0])
    first += dv * np.float32(sin / radii[0])
    du *= np.float32(-sin / radii[1])
    dv *= np.float32(cos / radii[1])
    dv += du
    first *= first
    dv *= dv
    first += dv
    np.sqrt(first, out=first)
    np.subtract(np.float32(1.0), first, out=first)
    first *= np.float32(min(radii))
    return first


@lru_cache(maxsize=32)
def _spline(size: int, cells: int) -> tuple[NDArray[np.intp], Array]:
    """Cubic B-spline: the first of 4 knots for each pixel [size], and their weights [4, size]."""
    at = (np.arange(size) + 0.5) / size * cells
    first = np.floor(at).astype(np.intp)
    part = at - first
    weights = (
        (1 - part) ** 3 / 6,
        (3 * part**3 - 6 * part**2 + 4) / 6,
        (-3 * part**3 + 3 * part**2 + 3 * part + 1) / 6,
        part**3 / 6,
    )
    return first, np.stack(weights).astype(np.float32)


def texture(size: int, cells: int, rng: np.random.Generator) -> Array:
    """Smooth random hills between about -1 and 1, `cells` across, [size, size].

    Without matrix products, whose last bits depend on the machine and its threads.
    """
    knots = rng.uniform(-1.6, 1.6, (cells + 3, cells + 3)).astype(np.float32)
    first, weights = _spline(size, cells)
    down = sum(knots[first + k] * weights[k][:, None] for k in range(4))
    across = np.zeros((size, size), np.float32)
    for k in range(4):
        across += down[:, first + k] * weights[k]
    return across


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
    at = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    for (ax, ay), (bx, by) in pairwise(points.tolist()):
        columns = _span(ax, bx, half + soft, size)
        rows = _span(ay, by, half + soft, size)
        x, y = (at[columns] - ax)[None, :], (at[rows] - ay)[:, None]
        dx, dy = bx - ax, by - ay
        along = (x * dx + y * dy) * (1.0 / max(dx * dx + dy * dy, 1e-12))
        along = np.clip(along, 0.0, 1.0)
        x, y = x - along * dx, y - along * dy
        inside = (half / soft + 0.5) - np.sqrt(x * x + y * y) * (1.0 / soft)
        part = canvas[rows, columns]
        np.maximum(part, np.clip(inside, 0.0, 1.0), out=part)
    return canvas


def _span(first: float, last: float, reach: float, size: int) -> slice:
    """The pixels within reach of a segment along one axis; none if it is off the canvas."""
    low, high = min(first, last) - reach, max(first, last) + reach
    start = min(max(math.floor(low * size), 0), size)
    return slice(start, min(max(math.ceil(high * size), start), size))


def bearing(y: Array, x: Array) -> Array:
    """The angle of (x, y), as arctan2 to 0.005 but much faster."""
    across, along = np.abs(x), np.abs(y)
    ratio = np.minimum(across, along) / np.maximum(np.maximum(across, along), np.float32(1e-9))
    square = ratio * ratio
    angle = ((-0.0464964749 * square + 0.15931422) * square - 0.327622764) * square * ratio + ratio
    angle = np.where(along > across, np.float32(np.pi / 2) - angle, angle)
    angle = np.where(x < 0, np.float32(np.pi) - angle, angle)
    return np.where(y < 0, -angle, angle)
