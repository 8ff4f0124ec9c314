"""The lateral drawing: the patient faces the left of the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from xray_report.data.phantom.anatomy import Anatomy
from xray_report.data.phantom.cases import Lesion, Plan
from xray_report.data.phantom.film import (
    Array,
    Drawing,
    Film,
    bearing,
    bell,
    ellipse,
    picture,
    picture_stream,
    step,
    texture,
)
from xray_report.data.phantom.frontal import HEIGHT, lesion_stream

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


# ------------------------------------------------------------------------------
# Findings on the lateral view, each as a change of density [S, S].

_DEPTH: Final = {"upper": 0.5, "mid": 0.62, "lower": 0.72}
"""Zone -> how far back its lesions lie: away from the heart, in front of the spine."""


def blob(view: Lateral, lesion: Lesion, radii: tuple[float, float], wobble: float) -> Array:
    """Distance inside a spot at the same height as on the frontal view."""
    fact, dice = lesion
    deep = _DEPTH[fact.zone] + 0.16 * (dice[6] - 0.5)
    spot = view.place(deep, HEIGHT[fact.zone] + 0.06 * (dice[1] - 0.5))
    distance = ellipse(view.film.u, view.film.v, spot, radii, 3.0 * dice[7])
    if wobble:
        distance = distance + wobble * texture(view.film.size, 12, lesion_stream(lesion))
    return distance


def consolidation(view: Lateral, lesion: Lesion) -> Array:
    """A dense patch with a ragged edge."""
    dice = lesion.dice
    radii = (0.1 + 0.02 * dice[3], 0.085 + 0.015 * dice[4])
    distance = blob(view, lesion, radii, 0.028)
    rays = np.abs(np.sin(9.0 * view.film.u + 26.0 * view.film.v))
    bronchi = bell(rays, 0.16) * step(distance - 0.02, 0.03)
    return view.lungs * step(distance, 0.05) * (0.3 - 0.1 * bronchi)


def opacity(view: Lateral, lesion: Lesion) -> Array:
    """A faint haze without an edge."""
    dice = lesion.dice
    distance = blob(view, lesion, (0.14 + 0.02 * dice[3], 0.12 + 0.015 * dice[4]), 0.02)
    change: Array = view.lungs * np.clip(distance / 0.07, 0.0, 1.0) * (0.13 + 0.03 * dice[5])
    return change


def nodule(view: Lateral, lesion: Lesion) -> Array:
    """A round spot."""
    radius = 0.03 + 0.007 * lesion.dice[3]
    return view.lungs * step(blob(view, lesion, (radius, radius), 0.0), 0.012) * 0.28


def mass(view: Lateral, lesion: Lesion) -> Array:
    """A large lobulated ball."""
    radius = 0.078 + 0.014 * lesion.dice[3]
    return view.lungs * step(blob(view, lesion, (radius, radius * 0.92), 0.01), 0.012) * 0.33


def granuloma(view: Lateral, lesion: Lesion) -> Array:
    """A small spot as dense as metal."""
    radius = 0.021 + 0.004 * lesion.dice[3]
    return view.lungs * step(blob(view, lesion, (radius, radius * 0.85), 0.004), 0.007) * 0.95


def atelectasis(view: Lateral, lesion: Lesion) -> Array:
    """Two plates across the base, behind the heart."""
    dice = lesion.dice
    change = np.zeros_like(view.density)
    for plate in range(2):
        t = 0.86 + 0.09 * plate + 0.03 * dice[plate]
        ends = [view.place(deep, t + 0.1 * (dice[2] - 0.5) * deep) for deep in (0.5, 0.7, 0.88)]
        np.maximum(change, view.film.line(ends, 0.009 + 0.003 * dice[3 + plate]), out=change)
    return view.lungs * change * 0.3


def edema(view: Lateral, lesion: Lesion) -> Array:
    """Mild: thick vessels in a veil; severe: a white cloud about the hilum."""
    film = view.film
    about = np.sqrt(np.square((film.u - 0.03) / 0.22) + np.square((film.v - 0.48) / 0.24))
    if lesion.fact.size == "mild":
        veil = 0.09 * bell(np.clip(about - 0.2, 0.0, 9.0), 0.8)
        haze: Array = view.lungs * veil + 1.2 * view.vessels
        return haze
    hills = 0.3 * texture(film.size, 16, lesion_stream(lesion))
    change: Array = view.lungs * np.clip(1.5 - 1.1 * about + hills, 0.0, 1.0) * 0.33
    return change


def pleural_effusion(view: Lateral, lesion: Lesion) -> Array:
    """Fluid that rises at the back in a meniscus; one lung is seen through the other."""
    fact, dice = lesion
    level = {"small": 1.06, "moderate": 0.86, "large": 0.5}[fact.size] + 0.05 * dice[0]
    back = np.exp(-np.clip(view.back, 0.0, 1.0) / 0.06) + 0.5 * np.exp(
        -np.clip(view.front, 0.0, 1.0) / 0.05
    )
    surface = view.t - np.float32(level) + 0.24 * back
    return view.lungs * step(surface, 0.05) * 0.24


def tortuous_aorta(view: Lateral, lesion: Lesion) -> Array:
    """A broad arch and a broad descending aorta that winds over the spine."""
    dice, film, body = lesion.dice, view.film, view.anatomy
    bow = spine_axis(body, 0.5) - 0.02 + 0.02 * dice[1]
    way = [(-0.06, 0.44), (-0.045, 0.33), (0.03, 0.27), (0.12, 0.31), (bow - 0.05, 0.42)]
    way += [(bow, 0.54), (bow - 0.04, 0.66), (bow - 0.08, 0.8)]
    return film.line(way, 0.036 + 0.006 * dice[0]) * (0.24 * view.lungs + 0.05)


def hiatal_hernia(view: Lateral, lesion: Lesion) -> Array:
    """A ball behind the heart, half air and half fluid with a level between."""
    dice, film = lesion.dice, view.film
    radius = 0.08 + 0.01 * dice[0]
    centre = (0.09, view.anatomy.dome - 0.045)
    distance = ellipse(film.u, film.v, centre, (radius * 1.1, radius))
    ball, hollow = step(distance, 0.01), step(distance - 0.014, 0.01)
    above = step(np.float32(centre[1] + 0.005) - film.v, 0.006)
    return ball * (0.06 + 0.3 * view.lungs) - hollow * above * (0.18 + 0.28 * view.lungs)


def degenerative_spine(view: Lateral, lesion: Lesion) -> Array:
    """White beaks that bridge the discs at the front of the spine, and white end plates."""
    dice, film, body = lesion.dice, view.film, view.anatomy
    change = np.zeros_like(view.density)
    first = int(np.ceil((0.34 + 0.04 * dice[0]) / DISC - body.rib_phase))
    for number in range(first, first + 6):
        v = (number + body.rib_phase) * DISC
        axis = spine_axis(body, v)
        beak = ellipse(film.u, film.v, (axis - 0.052, v), (0.021, 0.024 + 0.005 * dice[number % 5]))
        plate = [(axis - 0.045, v), (axis + 0.045, v - 0.012)]
        np.maximum(change, 0.34 * step(beak, 0.01), out=change)
        np.maximum(change, 0.26 * film.line(plate, 0.009, 1), out=change)
    return change


def pacemaker(view: Lateral, lesion: Lesion) -> Array:
    """The box edge-on in front of the chest and its leads in the heart."""
    dice, film, body = lesion.dice, view.film, view.anatomy
    v = 0.26 + 0.03 * dice[1]
    u = front_edge(body, v) - 0.01
    box = np.maximum(np.abs(film.u - u + 0.5 * (film.v - v)) / 0.02, np.abs(film.v - v) / 0.05)
    metal = step((1.0 - box) * 0.02)
    dip = body.heart_height
    way = [(u, v), (-0.06, 0.2), (0.0, 0.27), (0.0, 0.45)]
    atrium = film.line([*way, (-0.02, dip - 0.06), (-0.08, dip - 0.1)], 0.0045)
    ventricle = film.line([*way, (-0.01, dip), (-0.1, dip + 0.07), (-0.18, dip + 0.06)], 0.0045)
    return 0.95 * metal + 0.6 * np.maximum(atrium, ventricle) * (1.0 - metal)


def sternotomy_wires(view: Lateral, lesion: Lesion) -> Array:
    """Six wire loops edge-on along the breastbone."""
    dice, film, body = lesion.dice, view.film, view.anatomy
    change = np.zeros_like(view.density)
    for loop in range(6):
        v = 0.27 + 0.07 * loop + 0.008 * dice[loop + 6]
        u = front_edge(body, v) - 0.012
        ring = [(u - 0.018, v - 0.006), (u, v - 0.012), (u + 0.018, v), (u, v + 0.012)]
        np.maximum(change, film.line([*ring, ring[0]], 0.0042, 2), out=change)
    return 0.75 * change


LATERAL_LESIONS: Final[Mapping[str, Callable[[Lateral, Lesion], Array]]] = {
    "consolidation": consolidation,
    "opacity": opacity,
    "nodule": nodule,
    "mass": mass,
    "granuloma": granuloma,
    "atelectasis": atelectasis,
    "edema": edema,
    "pleural_effusion": pleural_effusion,
    "tortuous_aorta": tortuous_aorta,
    "hiatal_hernia": hiatal_hernia,
    "degenerative_spine": degenerative_spine,
    "pacemaker": pacemaker,
    "sternotomy_wires": sternotomy_wires,
}
"""Finding -> how it changes a lateral view."""


# ------------------------------------------------------------------------------
# A lateral picture with its findings.

_BODY, _NOISE = 2, 3


def draw_lateral(plan: Plan, size: int) -> Drawing:
    """The lateral picture of a study, and a region for each finding that shows on it."""
    body = lateral_body(plan.anatomy, size, picture_stream(plan, _BODY))
    return picture(body, plan, LATERAL_LESIONS, _NOISE)
