"""The frontal drawing: the patient's right lung is on the left of the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xray_report.data.phantom.anatomy import Anatomy
from xray_report.data.phantom.film import Film
from xray_report.data.phantom.shapes import Array, bearing, bell, ellipse, step, texture

SIGN = {"right": -1.0, "left": 1.0}


@dataclass(frozen=True)
class Frontal:
    """A healthy frontal view, ready for lesions.

    Args:
        density: float32 [S, S], sum of what the rays pass.
        au: distance from the midline; t: height in the lung, 0 at the apex, 1 at the dome.
        wall: distance inside the chest wall; cap: distance below the apex's edge.
        lungs: share of aerated lung, 0..1; lung: the same by side.
        heart: 0..1; vessels: density of the lung vessels (in the lungs only).
    """

    film: Film
    anatomy: Anatomy
    density: Array
    au: Array
    t: Array
    wall: Array
    lungs: Array
    lung: Mapping[str, Array]
    heart: Array
    vessels: Array

    def place(self, side: str, across: float, t: float) -> tuple[float, float]:
        """Body coordinates of a point in a lung.

        Args:
            across: 0 at the mediastinum or heart, 1 at the chest wall.
            t: 0 at the apex, 1 at the top of the diaphragm.
        """
        body = self.anatomy
        dome = body.dome + (body.dome_step if side == "left" else 0.0)
        v = body.apex + t * (dome - body.apex)
        outer = chest_half_width(body, v)
        inner = max(body.mediastinum + 0.02, heart_edge(body, side, v))
        return SIGN[side] * (inner + across * (outer - inner)), v


def chest_half_width(body: Anatomy, v: float) -> float:
    """Inner half-width of the chest at a height, 0 above the apex."""
    rise = min(max((v - body.apex) / (0.6 * (body.dome - body.apex)), 0.0), 1.0)
    return body.chest * float(np.sqrt(1 - (1 - rise) ** 3))


def heart_shape(body: Anatomy) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Centre, radii and angle of the heart's ellipse, as wide as `body.heart` says."""
    width = body.heart * 2 * body.chest
    centre = (body.turn + width * (body.heart_left - 0.5), body.heart_height + 0.01)
    aspect = 0.78
    angle = body.heart_tilt
    long = 0.5 * width / float(np.hypot(np.cos(angle), aspect * np.sin(angle)))
    return centre, (long, aspect * long), angle


def heart_edge(body: Anatomy, side: str, v: float) -> float:
    """How far the heart reaches from the midline to a side at a height."""
    (cu, cv), (a, b), angle = heart_shape(body)
    u = np.linspace(0.0, 0.45, 91)
    du, dv = SIGN[side] * u - cu, v - cv
    first = (du * np.cos(angle) + dv * np.sin(angle)) / a
    second = (dv * np.cos(angle) - du * np.sin(angle)) / b
    inside = first**2 + second**2 < 1
    return float(u[inside].max()) if inside.any() else 0.0


def frontal_body(body: Anatomy, size: int, rng: np.random.Generator) -> Frontal:
    """Draw the healthy chest; `rng` makes textures only."""
    film = Film.of(body, 0, size)
    u, v = film.u, film.v
    au, mid = np.abs(u), u - np.float32(body.turn)
    rise = np.clip((v - body.apex) / np.float32(0.6 * (body.dome - body.apex)), 0.0, 1.0)
    wall = np.float32(body.chest) * np.sqrt(1.0 - (1.0 - rise) ** 3) - au
    left = u > 0
    dome = np.where(left, np.float32(body.dome + body.dome_step), np.float32(body.dome))
    floor = dome + np.float32(body.flatness) * np.square(au - 0.17) - v
    t = (v - np.float32(body.apex)) / (dome - np.float32(body.apex))
    neck = 0.08 * np.exp(np.minimum((np.float32(body.apex) - v) / 0.03, 0.0))
    middle = np.abs(mid) - np.float32(body.mediastinum) - neck
    cavity = step(np.minimum(np.minimum(wall, floor), middle))
    centre, radii, angle = heart_shape(body)
    heart = step(ellipse(u, v, centre, radii, angle), 0.012)
    knob = step(ellipse(u, v, (body.turn + 0.06, 0.335), (body.knob, body.knob * 1.1)))
    artery = step(ellipse(u, v, (body.turn + 0.062, 0.44), (0.04, 0.06)), 0.015)
    blocked = np.maximum(np.maximum(heart, knob), artery)
    lungs = cavity * (1.0 - blocked)
    air = cavity * (1.0 - 0.82 * blocked)
    vessels = lungs * _vessels(film, body, rng)
    density = _soft_tissue(film, body, au, floor, middle, rng)
    density += 0.1 * heart + 0.05 * knob - np.float32(body.air) * air + vessels
    density += _bones(film, body, au, wall, floor, mid)
    density -= 0.09 * step(0.02 - np.abs(mid), 0.01) * step(0.41 - v, 0.05)
    bubble = ellipse(u, v, (0.17, body.dome + 0.12), (0.07, 0.035))
    density -= 0.2 * step(bubble, 0.02) * (1.0 - cavity)
    sides = {"left": lungs * left, "right": lungs * ~left}
    return Frontal(film, body, density, au, t, wall, lungs, sides, heart, vessels)


def _soft_tissue(
    film: Film, body: Anatomy, au: Array, floor: Array, middle: Array, rng: np.random.Generator
) -> Array:
    """Skin to skin, without lungs and bones."""
    v = film.v
    shoulder = (
        0.16
        + 0.36 * np.clip((v - 0.02) / 0.14, 0.0, 1.0)
        - 0.05 * np.clip((v - 0.2) / 0.3, 0.0, 1.0)
    )
    inside = np.clip(shoulder - au, 0.0, 1.0)
    body_wall = np.float32(body.soft) * np.sqrt(np.clip(inside / 0.12, 0.0, 1.0))
    trunk = 0.16 * step(-middle, 0.02) + 0.13 * step(-floor, 0.015) * step(inside, 0.1)
    breasts = ellipse(au, v, (0.22, 0.64), (0.15, 0.15))
    trunk += np.float32(max(body.breast, 0.0)) * step(breasts, 0.03)
    summed: Array = body_wall + trunk + 0.016 * texture(film.size, 7, rng)
    return summed


def _vessels(film: Film, body: Anatomy, rng: np.random.Generator) -> Array:
    """Branches that radiate from the hila and thin out towards the wall."""
    hilum_u = np.abs(film.u) - 0.1
    hilum_v = film.v - np.where(film.u > 0, np.float32(0.45), np.float32(0.465))
    radius = np.sqrt(hilum_u * hilum_u + hilum_v * hilum_v)
    around = bearing(hilum_v, hilum_u) * np.sign(film.u)
    bent = around + 0.35 * texture(film.size, 9, rng)
    few = np.clip(np.cos(7.0 * bent) - 0.5, 0.0, 1.0)
    many = np.clip(np.cos(17.0 * bent + 1.0) - 0.45, 0.0, 1.0)
    fade = np.exp(-radius / 0.15) * np.clip(radius / 0.05, 0.0, 1.0)
    blob = bell(radius, 0.06)
    branches = fade * (3.0 * few) + np.clip(radius / 0.12, 0.0, 1.0) * fade * 2.6 * many
    fine = 0.13 * texture(film.size, 40, rng)
    summed: Array = np.float32(body.vessels) * (branches + 1.1 * blob + fine)
    return summed


def _ridge(phase: Array, half: float) -> Array:
    """Ribs across a phase that grows by 1 from rib to rib: a band with brighter edges."""
    off = np.abs(phase - np.rint(phase))
    band = np.clip((half - off) / 0.07 + 0.5, 0.0, 1.0)
    return band * (0.6 + 0.4 * np.clip(np.square(off / half), 0.0, 1.0))


def rib_height(body: Anatomy, number: int, u: float) -> float:
    """Height of a posterior rib's middle at a distance from the midline."""
    return (number + body.rib_phase) * body.ribs + body.rib_bend * (abs(u) - 0.1) ** 2


def _bones(film: Film, body: Anatomy, au: Array, wall: Array, floor: Array, mid: Array) -> Array:
    """Ribs, spine, clavicles and shoulder blades."""
    v, spacing = film.v, np.float32(1.0 / body.ribs)
    reach = step(wall + 0.018, 0.012) * step(v - np.float32(body.apex - 0.01), 0.02)
    reach *= 0.3 + 0.7 * step(floor + 0.02, 0.05)
    behind = (v - np.float32(body.rib_bend) * np.square(au - 0.1)) * spacing
    bones = _ridge(behind - np.float32(body.rib_phase), 0.21) * step(au - 0.04, 0.03) * 0.9
    front = (v - np.float32(body.rib_slope) * (body.chest - au)) * spacing
    bones += _ridge(front - np.float32(body.rib_phase + 0.4), 0.24) * np.clip(
        (au - 0.17) / 0.12, 0.0, 0.55
    )
    bones *= reach
    column = step(0.045 - np.abs(mid * 0.6 + film.u * 0.4), 0.012)
    discs = 0.5 + 0.5 * np.cos(v * np.float32(2 * np.pi / 0.062))
    bones += column * (0.75 + 0.35 * discs)
    for side in (-1.0, 1.0):
        ends = [(side * 0.04, 0.185), (side * 0.15, 0.165), (side * 0.27, 0.12), (side * 0.4, 0.1)]
        clavicle = film.line([(u + body.turn, w + 0.02) for u, w in ends], 0.016, 4)
        bones += 1.2 * clavicle
        blade = [(side * 0.4, 0.16), (side * 0.375, 0.26), (side * 0.41, 0.38)]
        bones += 0.5 * film.line(blade, 0.006, 3)
    return np.float32(body.bone) * bones
