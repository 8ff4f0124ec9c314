"""Bones, vessels, hernias and devices on the frontal view, as changes of density [S, S]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from xray_report.data.phantom.draw_frontal import (
    SIGN,
    Frontal,
    chest_half_width,
    rib_height,
)
from xray_report.data.phantom.frontal_lung import Change
from xray_report.data.phantom.sampling import Lesion
from xray_report.data.phantom.shapes import Array, bell, ellipse, step


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
