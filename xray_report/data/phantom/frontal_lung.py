"""Lung and pleural findings on the frontal view, each as a change of density [S, S]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from xray_report.data.phantom.draw_frontal import SIGN, Frontal
from xray_report.data.phantom.sampling import Lesion
from xray_report.data.phantom.shapes import Array, bell, ellipse, step, texture

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
