"""The lateral drawing: the patient faces the left of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xray_report.data.phantom.anatomy import Anatomy
from xray_report.data.phantom.film import Film
from xray_report.data.phantom.shapes import Array, bearing, bell, ellipse, step, texture

DISC = 0.078
"""Height of a vertebra with its disc."""


@dataclass(frozen=True)
class Lateral:
    """A healthy lateral view, ready for lesions.

    Args:
        density: float32 [S, S], sum of what the rays pass.
        t: height in the lungs, 0 at the apex, 1 at the dome.
        front, back: distances inside the front and the back of the chest.
        lungs: share of aerated lung, 0..1, the heart's part taken off.
        heart: 0..1; vessels: density of the lung vessels (in the lungs only).
        spine: distance from the spine's axis, positive behind it.
    """

    film: Film
    anatomy: Anatomy
    density: Array
    t: Array
    front: Array
    back: Array
    lungs: Array
    heart: Array
    vessels: Array
    spine: Array

    def place(self, deep: float, t: float) -> tuple[float, float]:
        """Body coordinates of a point in the lungs: deep 0 at the front, 1 at the back."""
        v = self.anatomy.apex + t * (self.anatomy.dome - self.anatomy.apex)
        front, back = front_edge(self.anatomy, v), back_edge(self.anatomy, v)
        return front + deep * (back - front), v


def front_edge(body: Anatomy, v: float) -> float:
    """Where the breastbone's inner side is at a height."""
    rise = min(max((v - body.apex) / 0.5, 0.0), 1.2)
    return -body.depth * (0.3 + 0.85 * rise - 0.2 * rise * rise)


def back_edge(body: Anatomy, v: float) -> float:
    """Where the back of the chest is at a height."""
    return body.depth * (1.02 - 1.6 * body.kyphosis * 2.2 * (v - 0.52) ** 2)


def spine_axis(body: Anatomy, v: float) -> float:
    """Where the middle of the vertebrae is at a height."""
    return back_edge(body, v) - 0.06


def lateral_body(body: Anatomy, size: int, rng: np.random.Generator) -> Lateral:
    """Draw the healthy chest from the side; `rng` makes textures only."""
    film = Film.of(body, 1, size)
    u, v = film.u, film.v
    rise = np.clip((v - np.float32(body.apex)) * 2.0, 0.0, 1.2)
    front = u + np.float32(body.depth) * (0.3 + 0.85 * rise - 0.2 * rise * rise)
    behind = np.float32(body.depth) * (
        1.02 - np.float32(3.52 * body.kyphosis) * np.square(v - 0.52)
    )
    back = behind - u
    floor = np.float32(body.dome) + np.float32(0.7 * body.flatness) * np.square(u + 0.1) - v
    top = (v - np.float32(body.apex)) * 0.8 - 0.25 * np.clip(np.abs(u - 0.06) - 0.1, 0.0, 1.0)
    t = (v - np.float32(body.apex)) / np.float32(body.dome - body.apex)
    walls = np.minimum(np.minimum(front, back), top)
    right = step(np.minimum(walls, floor))
    lower = floor + np.float32(body.dome_step) - 0.006
    cavity = 0.5 * right + 0.5 * step(np.minimum(walls, lower))
    width = (0.36 + 0.55 * (body.heart - 0.43)) * 0.45
    centre = (-0.42 * body.depth + 0.3 * (width - 0.16), body.heart_height + 0.02)
    heart = step(ellipse(u, v, centre, (width * 1.04, 0.7 * width + 0.012), 0.75), 0.02) * step(
        front
    )
    spine = u - behind + 0.06
    column = step(0.045 - np.abs(spine), 0.012)
    lungs = cavity * (1.0 - 0.75 * heart) * (1.0 - 0.25 * column)
    vessels = lungs * _vessels(film, body, rng)
    density = _soft_tissue(film, body, front, back, floor, rng)
    density += 0.06 * heart - np.float32(body.air) * lungs + vessels
    density += _bones(film, body, front, back, spine, column)
    density += _great_vessels(film, body, cavity)
    bubble = ellipse(u, v, (-0.02, body.dome + 0.1), (0.08, 0.032))
    density -= 0.17 * step(bubble, 0.02) * (1.0 - right)
    return Lateral(film, body, density, t, front, back, lungs, heart, vessels, spine)


def _soft_tissue(
    film: Film, body: Anatomy, front: Array, back: Array, floor: Array, rng: np.random.Generator
) -> Array:
    """Skin to skin, without lungs and bones; shoulders and arms at the top."""
    v = film.v
    inside = np.clip(np.minimum(front + 0.06, back + 0.085), 0.0, 1.0)
    chest = np.float32(body.soft) * np.sqrt(np.clip(inside / 0.1, 0.0, 1.0))
    shoulders = 0.3 * step(ellipse(film.u, v, (0.06, 0.02), (0.3, 0.14)), 0.12)
    belly = 0.12 * step(-floor, 0.02) * np.clip(inside / 0.1, 0.0, 1.0)
    breasts = ellipse(film.u, v, (-body.depth - 0.02, 0.62), (0.09, 0.13))
    chest += np.float32(4.0 * max(body.breast, 0.0)) * step(breasts, 0.05)
    summed: Array = chest + shoulders + belly + 0.014 * texture(film.size, 7, rng)
    return summed


def _vessels(film: Film, body: Anatomy, rng: np.random.Generator) -> Array:
    """Branches that radiate from the hilum."""
    du, dv = film.u - 0.03, film.v - 0.46
    radius = np.sqrt(du * du + dv * dv)
    bent = bearing(dv, du) + 0.35 * texture(film.size, 9, rng)
    few = np.clip(np.cos(7.0 * bent) - 0.5, 0.0, 1.0)
    many = np.clip(np.cos(16.0 * bent) - 0.5, 0.0, 1.0)
    fade = np.exp(-radius / 0.13) * np.clip(radius / 0.06, 0.0, 1.0)
    fine = 0.12 * texture(film.size, 40, rng)
    summed: Array = np.float32(body.vessels) * (
        fade * (2.0 * few + 1.6 * many) + 0.8 * bell(radius, 0.065) + fine
    )
    return summed


def _bones(
    film: Film, body: Anatomy, front: Array, back: Array, spine: Array, column: Array
) -> Array:
    """Vertebrae with discs and processes, breastbone and faint ribs."""
    v = film.v
    phase = np.abs((v + 0.2 * spine) * np.float32(1 / DISC) - np.float32(body.rib_phase))
    off = np.abs(phase - np.rint(phase))
    vertebra = np.clip((off - 0.1) / 0.08, 0.0, 1.0)
    rim = bell(off - 0.17, 0.06)
    bones = column * (1.3 * vertebra + 0.5 * rim) * (1.35 - 0.55 * v)
    arches = step(0.02 - np.abs(spine - 0.075), 0.015) * vertebra
    bones += 0.6 * arches
    bones += 1.5 * bell(front + 0.012, 0.012) * step(v - 0.18, 0.04) * step(0.72 - v, 0.08)
    slant = (v - 0.75 * back) * np.float32(1 / (1.15 * body.ribs)) - np.float32(body.rib_phase)
    ribs = np.abs(slant - np.rint(slant))
    inside = step(np.minimum(front, back + 0.02), 0.03) * step(v - np.float32(body.apex), 0.04)
    bones += 0.42 * np.clip((0.17 - ribs) / 0.08, 0.0, 1.0) * inside * step(0.26 - back, 0.3)
    summed: Array = np.float32(body.bone) * bones
    return summed


def _great_vessels(film: Film, body: Anatomy, cavity: Array) -> Array:
    """Windpipe, aortic arch and descending aorta."""
    ring = ellipse(film.u, film.v, (0.03, 0.335), (0.075, 0.06))
    arch = step(ring, 0.02) * 0.08
    windpipe = film.line([(-0.03, 0.03), (0.0, 0.2), (0.035, 0.4)], 0.017, 3)
    return (arch + 0.04 * step(film.v - 0.36, 0.05) * cavity * bell(film.u - 0.14, 0.04)) - (
        0.11 * windpipe
    )
