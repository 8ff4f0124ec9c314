"""The body of one study: the numbers that both of its drawings are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xray_report.text.facts import Fact


@dataclass(frozen=True)
class Anatomy:
    """Sizes are shares of the picture's side; v runs down from 0 (top) to 1.

    Args:
        centre, scale, angle: where each view (frontal, lateral) lies on its film; radians.
        chest: half the inner width of the chest.
        depth: half the inner depth of the chest.
        apex, dome: heights of the lungs' top and of the right diaphragm's top.
        dome_step: how much lower the left dome is.
        flatness: curvature of the diaphragms.
        heart: width of the heart over inner width of the chest.
        heart_height, heart_tilt, heart_left: its centre, slant, and share left of the midline.
        mediastinum: half the width of the upper mediastinum.
        knob: radius of the aortic knob.
        ribs: spacing of the ribs; rib_phase, rib_bend, rib_slope: where and how they run.
        bone, soft, air, vessels: densities.
        turn: shift of the mediastinum by the patient's rotation.
        breast: density of the breast shadows.
        kyphosis: curvature of the spine.
        gain, gamma, noise: exposure.
        salt: seeds what only textures are made from.
    """

    centre: tuple[tuple[float, float], tuple[float, float]]
    scale: tuple[float, float]
    angle: tuple[float, float]
    chest: float
    depth: float
    apex: float
    dome: float
    dome_step: float
    flatness: float
    heart: float
    heart_height: float
    heart_tilt: float
    heart_left: float
    mediastinum: float
    knob: float
    ribs: float
    rib_phase: float
    rib_bend: float
    rib_slope: float
    bone: float
    soft: float
    air: float
    vessels: float
    turn: float
    breast: float
    kyphosis: float
    gain: float
    gamma: float
    noise: float
    salt: int


def sample_anatomy(rng: np.random.Generator) -> Anatomy:
    """A healthy body and how it was exposed."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(rng.random())

    return Anatomy(
        centre=(
            (between(-0.025, 0.025), between(-0.02, 0.02)),
            (between(-0.03, 0.03), between(-0.02, 0.02)),
        ),
        scale=(between(0.94, 1.05), between(0.93, 1.06)),
        angle=(between(-0.055, 0.055), between(-0.07, 0.07)),
        chest=between(0.385, 0.425),
        depth=between(0.32, 0.37),
        apex=between(0.1, 0.135),
        dome=between(0.73, 0.77),
        dome_step=between(0.008, 0.035),
        flatness=between(1.6, 2.1),
        heart=between(0.4, 0.465),
        heart_height=between(0.635, 0.665),
        heart_tilt=between(0.35, 0.6),
        heart_left=between(0.66, 0.72),
        mediastinum=between(0.058, 0.072),
        knob=between(0.042, 0.052),
        ribs=between(0.066, 0.076),
        rib_phase=between(0.0, 1.0),
        rib_bend=between(0.6, 1.0),
        rib_slope=between(0.35, 0.5),
        bone=between(0.075, 0.115),
        soft=between(0.47, 0.55),
        air=between(0.33, 0.38),
        vessels=between(0.07, 0.11),
        turn=between(-0.014, 0.014),
        breast=between(-0.06, 0.06),
        kyphosis=between(0.25, 0.45),
        gain=between(0.9, 1.12),
        gamma=between(1.05, 1.35),
        noise=between(1.5, 4.5),
        salt=int(rng.integers(2**31)),
    )


def adapt(anatomy: Anatomy, facts: Sequence[Fact], rng: np.random.Generator) -> Anatomy:
    """The body changed by findings that are no lesions: the sizes of heart and lungs.

    Between a normal, a mild and a severe degree there is a gap, so that they can be told apart.
    """
    dice = [float(die) for die in rng.random(4)]
    present = {fact._replace(side="", zone="") for fact in facts}
    if Fact("cardiomegaly", size="mild") in present:
        anatomy = replace(anatomy, heart=0.555 + 0.03 * dice[0])
    if Fact("cardiomegaly", size="severe") in present:
        anatomy = replace(anatomy, heart=0.69 + 0.05 * dice[0], heart_height=0.64)
    if Fact("hyperinflation") in present:
        anatomy = replace(
            anatomy,
            dome=0.85 + 0.025 * dice[1],
            flatness=0.45 + 0.2 * dice[2],
            heart=0.33 + 0.03 * dice[0],
            air=anatomy.air + 0.055,
            depth=anatomy.depth + 0.045,
            ribs=anatomy.ribs + 0.014,
            apex=anatomy.apex - 0.025,
        )
    if Fact("low_lung_volumes") in present:
        anatomy = replace(
            anatomy,
            dome=0.595 + 0.025 * dice[1],
            heart=anatomy.heart + 0.02,
            heart_height=0.54,
            air=anatomy.air - 0.035,
            ribs=anatomy.ribs - 0.012,
            flatness=anatomy.flatness + 0.4,
        )
    return anatomy
