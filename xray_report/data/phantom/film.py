"""The film both views are drawn on: shapes, exposure, and pictures of a body and its findings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from xray_report.data.phantom.anatomy import Anatomy
from xray_report.data.phantom.cases import Lesion, Plan
from xray_report.data.study import Region
from xray_report.text.facts import Fact

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


# ------------------------------------------------------------------------------
# The film both views are drawn on: coordinates, exposure, and what a lesion changes.

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


# ------------------------------------------------------------------------------
# A picture from a body and its findings, the same way for both views.


class Body(Protocol):
    """What the two views' bodies have in common; arrays are float [S, S]."""

    @property
    def film(self) -> Film:
        """Coordinates and exposure."""
        ...

    @property
    def density(self) -> Array:
        """The body without findings."""
        ...

    @property
    def heart(self) -> Array:
        """1 in the heart."""
        ...

    @property
    def lungs(self) -> Array:
        """1 in the lungs."""
        ...


AnyBody = TypeVar("AnyBody", bound=Body)
Changes = Mapping[str, Callable[[AnyBody, Lesion], Array]]
"""Finding -> the density that a lesion of it adds to a body."""


def picture(body: AnyBody, plan: Plan, changes: Changes[AnyBody], purpose: int) -> Drawing:
    """The picture of `body` with the lesions of `plan`, and a region for each that shows.

    Args:
        purpose: number of the random stream that the noise is drawn from.
    """
    regions, total = [], np.zeros_like(body.density)
    for lesion in plan.lesions:
        if lesion.fact.finding in changes:
            change = visible(changes[lesion.fact.finding](body, lesion))
            total += change
            regions.append(Region(lesion.fact.label, change != 0))
        elif (mask := _whole(body, lesion.fact)) is not None:
            regions.append(Region(lesion.fact.label, mask > 0.5))
    noise = picture_stream(plan, purpose)
    return Drawing(body.film.exposed(body.density + total, plan.anatomy, noise), tuple(regions))


def picture_stream(plan: Plan, purpose: int) -> np.random.Generator:
    """Random stream `purpose` of a study's pictures."""
    seed = np.random.SeedSequence([plan.anatomy.salt, purpose])
    return np.random.Generator(np.random.PCG64(seed))


def _whole(body: Body, fact: Fact) -> Array | None:
    """Where a finding lies that is no lesion but an organ's size."""
    if fact.finding == "cardiomegaly":
        return body.heart
    if fact.finding in ("hyperinflation", "low_lung_volumes"):
        return body.lungs
    return None
