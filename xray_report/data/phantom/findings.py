"""The inventory of findings that can be drawn, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from xray_report.text.facts import CHEXPERT_CLASSES, Fact

SIDES: Final = ("left", "right")
FRONTAL: Final = frozenset({"frontal"})
LATERAL: Final = frozenset({"lateral"})
BOTH: Final = FRONTAL | LATERAL


class Kind(NamedTuple):
    """One kind of finding.

    Args:
        weight: how often it is drawn into an abnormal study, relative to the others.
        views: the views that show it.
        sides, zones, sizes: what it may be told apart by; empty where it is not.
        bilateral: chance that it is drawn on both sides, alike.
    """

    weight: float
    views: frozenset[str] = BOTH
    sides: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    bilateral: float = 0.0

    def readable(self, views: frozenset[str]) -> bool:
        """Whether all of the fact can be told from a study of these views.

        Left and right lungs lie over one another on a lateral, so a side needs the frontal.
        """
        return bool(self.views & views) and not (self.sides and "frontal" not in views)


KINDS: Final[Mapping[str, Kind]] = {
    "cardiomegaly": Kind(1.9, sizes=("mild", "severe")),
    "pleural_effusion": Kind(
        7.0, sides=SIDES, sizes=("small", "moderate", "large"), bilateral=0.25
    ),
    "pneumothorax": Kind(4.6, FRONTAL, SIDES, sizes=("small", "large")),
    "consolidation": Kind(7.8, sides=SIDES, zones=("upper", "mid", "lower")),
    "opacity": Kind(5.6, sides=SIDES, zones=("upper", "lower"), bilateral=0.2),
    "nodule": Kind(6.8, sides=SIDES, zones=("upper", "mid", "lower")),
    "mass": Kind(5.6, sides=SIDES, zones=("upper", "lower")),
    "granuloma": Kind(4.8, sides=SIDES, zones=("upper", "lower")),
    "atelectasis": Kind(2.5, sides=SIDES, bilateral=0.15),
    "edema": Kind(3.2, sizes=("mild", "severe")),
    "hyperinflation": Kind(1.3),
    "low_lung_volumes": Kind(2.2),
    "rib_fracture": Kind(1.9, FRONTAL, SIDES),
    "pacemaker": Kind(1.3),
    "central_line": Kind(2.2, FRONTAL, SIDES),
    "endotracheal_tube": Kind(0.9, FRONTAL),
    "sternotomy_wires": Kind(1.2),
    "tortuous_aorta": Kind(1.1),
    "degenerative_spine": Kind(1.1, LATERAL),
    "widened_mediastinum": Kind(1.1, FRONTAL),
    "pleural_thickening": Kind(2.4, FRONTAL, SIDES, bilateral=0.3),
    "hiatal_hernia": Kind(1.4),
}

COMPANIONS: Final[Mapping[str, Mapping[str, float]]] = {
    "cardiomegaly": {"edema": 4, "pleural_effusion": 2, "sternotomy_wires": 4, "pacemaker": 4},
    "edema": {"cardiomegaly": 5, "pleural_effusion": 2.5, "endotracheal_tube": 4},
    "pleural_effusion": {"atelectasis": 2, "edema": 3, "cardiomegaly": 2, "central_line": 1.5},
    "sternotomy_wires": {"pacemaker": 5, "cardiomegaly": 4, "tortuous_aorta": 2},
    "pacemaker": {"sternotomy_wires": 5, "cardiomegaly": 4},
    "endotracheal_tube": {"central_line": 4, "consolidation": 1.5, "edema": 3},
    "central_line": {"endotracheal_tube": 5},
    "rib_fracture": {"pneumothorax": 2.5},
    "pneumothorax": {"rib_fracture": 2.5},
    "low_lung_volumes": {"atelectasis": 4},
    "atelectasis": {"low_lung_volumes": 4},
    "hyperinflation": {"nodule": 1.5, "pleural_thickening": 2.5},
    "tortuous_aorta": {"degenerative_spine": 4, "cardiomegaly": 2},
    "degenerative_spine": {"tortuous_aorta": 3, "hiatal_hernia": 2.5},
}
"""Finding -> how many times likelier others become once it is there."""

FINDINGS_PER_STUDY: Final = (0.42, 0.33, 0.18, 0.07)
"""Chance of 1, 2, 3 and 4 findings in an abnormal study."""

NORMAL_SHARE: Final = 0.33


def facts_of_kind(name: str) -> tuple[Fact, ...]:
    """Every fact a kind of finding can make, in a fixed order."""
    kind = KINDS[name]
    return tuple(
        Fact(name, side, zone, size)
        for side in kind.sides or ("",)
        for zone in kind.zones or ("",)
        for size in kind.sizes or ("",)
    )


ALL_FACTS: Final = tuple(fact for name in KINDS for fact in facts_of_kind(name))
"""Every fact that can be drawn."""

LABEL_NAMES: Final = (*CHEXPERT_CLASSES, *(fact.label for fact in ALL_FACTS))
"""Labels of a phantom study: the CheXpert classes, then the facts."""
