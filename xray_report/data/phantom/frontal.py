"""The frontal drawing: the patient's right lung is on the left of the picture."""

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


# ------------------------------------------------------------------------------
# Lung and pleural findings on the frontal view, each as a change of density [S, S].

HEIGHT: Final = {"upper": 0.24, "mid": 0.54, "lower": 0.83}
"""Zone -> height in the lung, 0 at the apex, 1 at the dome of the diaphragm."""


def blob(view: Frontal, lesion: Lesion, radii: tuple[float, float], wobble: float) -> Array:
    """Distance inside a spot with an uneven edge, in the lesion's lung and zone."""
    fact, dice = lesion
    across = 0.36 + 0.3 * dice[0] if min(radii) < 0.05 else 0.42 + 0.16 * dice[0]
    spot = view.place(fact.side, across, HEIGHT[fact.zone] + 0.06 * (dice[1] - 0.5))
    distance = ellipse(view.film.u, view.film.v, spot, radii, 3.0 * dice[2])
    if wobble:
        distance = distance + wobble * texture(view.film.size, 12, lesion_stream(lesion))
    return distance


def lesion_stream(lesion: Lesion) -> np.random.Generator:
    """Random numbers for textures of a lesion, the same on either view."""
    return np.random.Generator(np.random.PCG64(int(lesion.dice[-1] * 2**40)))


def consolidation(view: Frontal, lesion: Lesion) -> Array:
    """A dense patch with a ragged edge, and dark branching bronchi in it."""
    dice = lesion.dice
    radii = (0.105 + 0.025 * dice[3], 0.085 + 0.015 * dice[4])
    distance = blob(view, lesion, radii, 0.028)
    patch = step(distance, 0.05)
    rays = np.abs(np.sin(9.0 * view.film.u + 26.0 * view.film.v * SIGN[lesion.fact.side]))
    bronchi = bell(rays, 0.16) * step(distance - 0.02, 0.03)
    return view.lung[lesion.fact.side] * patch * (0.39 + 0.05 * dice[5] - 0.15 * bronchi)


def opacity(view: Frontal, lesion: Lesion) -> Array:
    """A faint haze without an edge."""
    dice = lesion.dice
    distance = blob(view, lesion, (0.155 + 0.02 * dice[3], 0.125 + 0.015 * dice[4]), 0.02)
    haze = np.square(np.clip(distance / 0.075, 0.0, 1.0)) * (
        3.0 - 2.0 * np.clip(distance / 0.075, 0.0, 1.0)
    )
    mottle = 1.0 + 0.25 * texture(view.film.size, 26, lesion_stream(lesion))
    change: Array = view.lung[lesion.fact.side] * haze * mottle * (0.18 + 0.03 * dice[5])
    return change


def nodule(view: Frontal, lesion: Lesion) -> Array:
    """A round spot, 13 to 17 pixels wide on a picture of 224."""
    radius = 0.03 + 0.007 * lesion.dice[3]
    inside = step(blob(view, lesion, (radius, radius), 0.0), 0.012)
    return view.lung[lesion.fact.side] * inside * (0.3 + 0.06 * lesion.dice[4])


def mass(view: Frontal, lesion: Lesion) -> Array:
    """A large lobulated ball with a sharp edge."""
    radius = 0.078 + 0.014 * lesion.dice[3]
    distance = blob(view, lesion, (radius, radius * 0.92), 0.01)
    inside = step(distance, 0.012) * (0.8 + 0.2 * np.clip(distance / 0.05, 0.0, 1.0))
    change: Array = view.lung[lesion.fact.side] * inside * (0.36 + 0.05 * lesion.dice[4])
    return change


def granuloma(view: Frontal, lesion: Lesion) -> Array:
    """A small spot as dense as metal, with a satellite."""
    radius = 0.021 + 0.004 * lesion.dice[3]
    distance = blob(view, lesion, (radius, radius * 0.85), 0.004)
    return view.lung[lesion.fact.side] * step(distance, 0.007) * (0.95 + 0.2 * lesion.dice[4])


def atelectasis(view: Frontal, lesion: Lesion) -> Array:
    """Two plates across the base."""
    fact, dice = lesion
    change = np.zeros_like(view.density)
    for plate in range(2):
        t = 0.84 + 0.09 * plate + 0.03 * dice[plate]
        ends = [view.place(fact.side, a, t + 0.08 * (dice[2] - 0.5) * a) for a in (0.12, 0.5, 0.86)]
        lifted = [(u, v - 0.012 * (i == 1)) for i, (u, v) in enumerate(ends)]
        np.maximum(change, view.film.line(lifted, 0.009 + 0.003 * dice[3 + plate]), out=change)
    return view.lung[fact.side] * change * (0.34 + 0.06 * dice[5])


def edema(view: Frontal, lesion: Lesion) -> Array:
    """Mild: thick vessels, a veil about the hila and Kerley lines; severe: white bat wings."""
    dice, film = lesion.dice, view.film
    about = np.sqrt(np.square((view.au - 0.17) / 0.17) + np.square((view.t - 0.58) / 0.42))
    if lesion.fact.size == "mild":
        veil = (0.085 + 0.02 * dice[0]) * bell(np.clip(about - 0.3, 0.0, 9.0), 0.8)
        kerley = np.clip(np.cos(film.v * 330.0 + 9.0 * view.au) - 0.55, 0.0, 1.0)
        edge = step(view.wall - 0.004, 0.01) * step(0.06 - view.wall, 0.02)
        lines = 0.42 * kerley * edge * step(view.t - 0.6, 0.1)
        return view.lungs * (veil + lines) + 1.1 * view.vessels
    cloud = np.clip(
        1.5 - 1.15 * about + 0.3 * texture(film.size, 16, lesion_stream(lesion)), 0.0, 1.0
    )
    change: Array = view.lungs * cloud * (0.33 + 0.06 * dice[0])
    return change


def pleural_effusion(view: Frontal, lesion: Lesion) -> Array:
    """Fluid that rises along the wall in a meniscus."""
    fact, dice = lesion
    level, rise = {
        "small": (1.03 + 0.03 * dice[0], 0.12),
        "moderate": (0.76 + 0.05 * dice[0], 0.12),
        "large": (0.4 + 0.07 * dice[0], 0.12),
    }[fact.size]
    lateral = np.exp(-np.clip(view.wall, 0.0, 1.0) / 0.05)
    surface = view.t - np.float32(level) + np.float32(rise) * lateral
    return view.lung[fact.side] * step(surface, 0.05) * (0.36 + 0.05 * dice[1])


def pneumothorax(view: Frontal, lesion: Lesion) -> Array:
    """Black air without vessels outside a fine white line, the edge of the lung."""
    fact, dice = lesion
    top = np.clip(0.55 * (view.film.v - np.float32(view.anatomy.apex)), 1e-3, 1.0)
    side_wall = np.clip(view.wall, 1e-3, 1.0)
    depth = top * side_wall / np.sqrt(top * top + side_wall * side_wall)
    if fact.size == "small":
        gap = (0.055 + 0.015 * dice[0]) * np.clip(1.25 - view.t / 0.45, 0.0, 1.0)
        collapse = np.float32(0.0)
    else:
        gap = 0.155 + 0.03 * dice[0] + 0.01 * np.sin(9.0 * view.t)
        collapse = np.float32(0.1)
    inside = step(depth - gap, 0.008)
    line = 0.26 * bell(depth - gap, 0.0065) * step(gap - 0.012, 0.01)
    lung = view.lung[fact.side]
    air = -(1.0 - inside) * (0.085 * lung + view.vessels * (lung > 0))
    return air + lung * (line + collapse * inside)


def pleural_thickening(view: Frontal, lesion: Lesion) -> Array:
    """A dense uneven cap over the apex."""
    dice = lesion.dice
    hang = 0.2 + 0.03 * dice[0] + 0.03 * texture(view.film.size, 22, lesion_stream(lesion))
    side_wall = 0.05 * bell(view.wall, 0.04)
    cap = step(hang + side_wall - view.t, 0.05)
    return view.lung[lesion.fact.side] * cap * (0.33 + 0.05 * dice[1])


Change = Callable[[Frontal, Lesion], Array]

LUNG_LESIONS: Final[Mapping[str, Change]] = {
    "consolidation": consolidation,
    "opacity": opacity,
    "nodule": nodule,
    "mass": mass,
    "granuloma": granuloma,
    "atelectasis": atelectasis,
    "edema": edema,
    "pleural_effusion": pleural_effusion,
    "pneumothorax": pneumothorax,
    "pleural_thickening": pleural_thickening,
}
"""Finding -> how it changes a frontal view."""


# ------------------------------------------------------------------------------
# Bones, vessels, hernias and devices on the frontal view, as changes of density [S, S].


def rib_fracture(view: Frontal, lesion: Lesion) -> Array:
    """Three neighbouring ribs broken near the wall: a dark gap between white, shifted ends."""
    dice, body = lesion.dice, view.anatomy
    sign = SIGN[lesion.fact.side]
    change = np.zeros_like(view.density)
    first = round((body.apex + 0.26 + 0.06 * dice[0]) / body.ribs)
    for number in range(first, first + 3):
        u = chest_half_width(body, rib_height(body, number, 0.3)) * (0.8 + 0.05 * dice[1])
        v = rib_height(body, number, u)
        slope = 2 * body.rib_bend * (u - 0.1)
        for way in (-1.0, 1.0):
            near, far = u + way * 0.009, u + way * 0.05
            shift = way * 0.012
            ends = [
                (sign * near, v + slope * (near - u) + shift),
                (sign * far, v + slope * (far - u) + shift * 0.5),
            ]
            np.maximum(change, 0.27 * view.film.line(ends, 0.0105, 1), out=change)
        gap = [(sign * (u - 0.006), v - 0.03), (sign * (u + 0.006), v + 0.03)]
        change = np.where(change > 0, change, -0.14 * view.film.line(gap, 0.006, 1))
    return change


def tortuous_aorta(view: Frontal, lesion: Lesion) -> Array:
    """A large knob and a descending aorta that bows out to the left."""
    dice, body, film = lesion.dice, view.anatomy, view.film
    radius = 0.082 + 0.012 * dice[0]
    knob = step(ellipse(film.u, film.v, (body.turn + 0.075, 0.32), (radius, radius * 0.95)))
    bow = body.turn + 0.13 + 0.02 * dice[1]
    run = [
        (bow - 0.05, 0.34),
        (bow - 0.01, 0.44),
        (bow - 0.02, 0.56),
        (bow - 0.07, 0.7),
        (0.03, 0.8),
    ]
    aorta = np.maximum(knob, film.line(run, 0.055))
    calcified = bell(ellipse(film.u, film.v, (body.turn + 0.075, 0.32), (radius, radius)), 0.007)
    arch = calcified * step(film.u - np.float32(body.turn + 0.09), 0.01) * step(0.4 - film.v)
    change: Array = aorta * (0.34 * view.lungs + 0.07) + 0.25 * arch
    return change


def widened_mediastinum(view: Frontal, lesion: Lesion) -> Array:
    """Broad dense stripes on both sides of the upper mediastinum."""
    dice, body, film = lesion.dice, view.anatomy, view.film
    half = 0.15 + 0.02 * dice[0] + 0.008 * np.sin(30.0 * film.v + 6.0 * dice[1])
    across = np.abs(film.u - np.float32(body.turn + 0.012))
    taper = 0.1 * np.square(np.clip((film.v - 0.34) / 0.22, 0.0, 1.0))
    stripe = step(half - taper - across, 0.014) * step(0.56 - film.v, 0.05)
    return stripe * (0.36 * view.lungs + 0.03)


def hiatal_hernia(view: Frontal, lesion: Lesion) -> Array:
    """A ball behind the heart, half air and half fluid with a level between."""
    dice, film = lesion.dice, view.film
    radius = 0.078 + 0.01 * dice[0]
    centre = (0.035 + 0.02 * dice[1], view.anatomy.dome - 0.06)
    distance = ellipse(film.u, film.v, centre, (radius * 1.1, radius))
    ball, hollow = step(distance, 0.01), step(distance - 0.014, 0.01)
    above = step(np.float32(centre[1] + 0.005) - film.v, 0.006)
    return ball * (0.14 + 0.3 * view.lungs) - hollow * above * (0.34 + 0.3 * view.lungs)


def pacemaker(view: Frontal, lesion: Lesion) -> Array:
    """A metal box on the left chest with two leads to the heart."""
    dice, film = lesion.dice, view.film
    u, v = 0.285 + 0.03 * dice[0], 0.235 + 0.03 * dice[1]
    box = np.maximum(np.abs(film.u - u) / 0.058, np.abs(film.v - v) / 0.046)
    rounded = ellipse(film.u, film.v, (u, v), (0.068, 0.058))
    metal = step(np.minimum((1.0 - box) * 0.046, rounded))
    way = [(u, v), (0.18, 0.185), (0.06, 0.225), (-0.03, 0.32), (-0.05, 0.46)]
    atrium = film.line([*way, (-0.055, 0.56), (-0.02, 0.585), (-0.005, 0.555)], 0.0045)
    dip = view.anatomy.heart_height
    ventricle = film.line(
        [*way, (-0.03, dip - 0.02), (0.05, dip + 0.07), (0.12, dip + 0.08)], 0.0045
    )
    return 0.95 * metal + 0.6 * np.maximum(atrium, ventricle) * (1.0 - metal)


def central_line(view: Frontal, lesion: Lesion) -> Array:
    """A catheter from the arm's vein to the superior vena cava, right of the midline."""
    dice, lift = lesion.dice, 0.02 * (lesion.dice[0] - 0.5)
    tip = (-0.042, 0.46 + 0.03 * dice[1])
    if lesion.fact.side == "right":
        way = [(-0.46, 0.3), (-0.36, 0.19 + lift), (-0.22, 0.15 + lift), (-0.09, 0.2)]
        way += [(-0.048, 0.3), tip]
    else:
        way = [(0.46, 0.3), (0.36, 0.19 + lift), (0.22, 0.15 + lift), (0.09, 0.2)]
        way += [(-0.01, 0.26), (-0.045, 0.34), tip]
    return 0.52 * view.film.line(way, 0.006)


def endotracheal_tube(view: Frontal, lesion: Lesion) -> Array:
    """A tube down the windpipe that ends above its fork."""
    dice, turn = lesion.dice, view.anatomy.turn
    end = 0.33 + 0.03 * dice[0]
    way = [(0.012 * (dice[1] - 0.5), -0.05), (turn, 0.14), (turn + 0.004, end)]
    stripe = [(u + 0.006, v) for u, v in way]
    film = view.film
    return 0.3 * film.line(way, 0.0135) + 0.5 * film.line(stripe, 0.0045)


def sternotomy_wires(view: Frontal, lesion: Lesion) -> Array:
    """Six wire loops along the breastbone."""
    dice, film, turn = lesion.dice, view.film, view.anatomy.turn
    change = np.zeros_like(view.density)
    for loop in range(6):
        u = turn * 1.5 + 0.012 * (dice[loop] - 0.5)
        v = 0.3 + 0.07 * loop + 0.008 * dice[loop + 6]
        ring = [(u - 0.028, v), (u, v - 0.013), (u + 0.028, v), (u, v + 0.013), (u - 0.028, v)]
        np.maximum(change, film.line(ring, 0.0042, 2), out=change)
        knot = [(u - 0.004, v + 0.008), (u + 0.006, v + 0.026)]
        np.maximum(change, film.line(knot, 0.0045, 1), out=change)
    return 0.75 * change


OTHER_LESIONS: Final[Mapping[str, Change]] = {
    "rib_fracture": rib_fracture,
    "tortuous_aorta": tortuous_aorta,
    "widened_mediastinum": widened_mediastinum,
    "hiatal_hernia": hiatal_hernia,
    "pacemaker": pacemaker,
    "central_line": central_line,
    "endotracheal_tube": endotracheal_tube,
    "sternotomy_wires": sternotomy_wires,
}
"""Finding -> how it changes a frontal view."""


# ------------------------------------------------------------------------------
# A frontal picture with its findings.

_CHANGES = {**LUNG_LESIONS, **OTHER_LESIONS}
_BODY, _NOISE = 0, 1


def draw_frontal(plan: Plan, size: int) -> Drawing:
    """The frontal picture of a study, and a region for each finding that shows on it."""
    body = frontal_body(plan.anatomy, size, picture_stream(plan, _BODY))
    return picture(body, plan, _CHANGES, _NOISE)
