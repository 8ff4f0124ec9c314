"""What study i of a seed is: the findings that can be drawn, and which of them it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from xray_report.data.phantom.anatomy import Anatomy, adapt, sample_anatomy
from xray_report.text.facts import CHEXPERT_CLASSES, Fact, chexpert_classes

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


# ------------------------------------------------------------------------------
# The labels of a phantom study and of each of its pictures.


def study_labels(facts: tuple[Fact, ...]) -> dict[str, float]:
    """Every label of a study, 1.0 or 0.0."""
    present = chexpert_classes(facts) | {fact.label for fact in facts}
    return {name: float(name in present) for name in LABEL_NAMES}


def image_labels(facts: tuple[Fact, ...], view: str) -> dict[str, float]:
    """The labels of one picture.

    On a lateral a finding of one side shows, but not which side: its fact and the same fact of the
    other side are left out, unknown, unless both are there.
    """
    seen = tuple(fact for fact in facts if view in KINDS[fact.finding].views)
    labels = study_labels(seen)
    if view == "lateral":
        for fact in seen:
            other = fact._replace(side={"left": "right", "right": "left"}.get(fact.side, ""))
            if fact.side and other not in seen:
                labels.pop(fact.label, None)
                labels.pop(other.label, None)
    return labels


# ------------------------------------------------------------------------------
# Which findings would hide or mimic one another and so are never drawn together.

_FOCAL: Final = frozenset({"consolidation", "opacity", "nodule", "mass", "granuloma"})
_BROAD: Final = frozenset({"consolidation", "opacity", "mass"})
_ZONES: Final = ("upper", "mid", "lower")
_LOWER_FROM: Final = {"small": 2, "moderate": 1, "large": 0}

_NEVER_TOGETHER: Final = (
    ({"edema"}, _FOCAL | {"hyperinflation", "low_lung_volumes", "atelectasis", "pneumothorax"}),
    (
        {"hyperinflation"},
        {"cardiomegaly", "low_lung_volumes", "pleural_effusion", "atelectasis", "hiatal_hernia"},
    ),
    (
        {"low_lung_volumes"},
        {"cardiomegaly", "pleural_effusion", "hiatal_hernia", "mass", "consolidation", "opacity"},
    ),
    ({"tortuous_aorta"}, {"widened_mediastinum"}),
    ({"hiatal_hernia"}, {"cardiomegaly"}),
)


def conflict(first: Fact, second: Fact) -> bool:
    """Whether the two facts, of different kinds, cannot be told when drawn together."""
    names = first.finding, second.finding
    for some, others in _NEVER_TOGETHER:
        if (names[0] in some and names[1] in others) or (names[1] in some and names[0] in others):
            return True
    if {"pneumothorax", "pleural_effusion"} == set(names) and "large" in (first.size, second.size):
        return first.side == second.side
    if {"cardiomegaly", "pleural_effusion"} == set(names):
        return False
    if {"atelectasis", "pleural_effusion"} == set(names):
        return first.side == second.side and "small" not in (first.size, second.size)
    if _BROAD.issuperset(names):
        return first.side == second.side
    return bool(_space(first) & _space(second))


def _space(fact: Fact) -> set[tuple[str, str]]:
    """The sides and zones that a finding claims; lesions are not laid over one another."""
    zones: tuple[str, ...] = ()
    side = fact.side
    if fact.finding in _FOCAL:
        zones = (fact.zone,)
    elif fact.finding == "pleural_effusion":
        zones = _ZONES[_LOWER_FROM[fact.size] :]
    elif fact.finding == "pneumothorax":
        zones = ("upper",) if fact.size == "small" else _ZONES
    elif fact.finding == "pleural_thickening":
        zones = ("upper",)
    elif fact.finding == "atelectasis":
        return {(side, "lower"), (side, "base")}
    elif fact.finding == "cardiomegaly":
        side, zones = "left", ("mid", "lower") if fact.size == "severe" else ("lower",)
    elif fact.finding == "hiatal_hernia":
        side, zones = "left", ("lower",)
    elif fact.finding in ("pacemaker", "central_line"):
        generator = fact.finding == "pacemaker"
        return {("left", "upper"), ("left", "vein")} if generator else {(side, "vein")}
    return {(side, zone) for zone in zones}


# ------------------------------------------------------------------------------
# What study i of a seed is: its views, facts, body and lesions, before anything is drawn.

DRAWING_VERSION = 2
"""Changes whenever any pixel of any study does."""

DICE = 24
_VIEWS, _FINDINGS, _ANATOMY, _LESIONS, REPORT, _NOISE = range(6)


class Lesion(NamedTuple):
    """A fact and the uniform numbers in 0..1 its shape and place are made from, [DICE]."""

    fact: Fact
    dice: tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that a study's pictures and report are made from."""

    views: frozenset[str]
    facts: tuple[Fact, ...]
    anatomy: Anatomy
    lesions: tuple[Lesion, ...]


def stream(seed: int, index: int, purpose: int, salt: int = 0) -> np.random.Generator:
    """The random numbers of one purpose of one study, independent of all others."""
    sequence = np.random.SeedSequence([seed, index, purpose, salt])
    return np.random.Generator(np.random.PCG64(sequence))


def sample_plan(seed: int, index: int) -> Plan:
    """Study `index` of `seed`: the same on every machine and in any order."""
    views = _sample_views(stream(seed, index, _VIEWS))
    facts = sample_facts(views, stream(seed, index, _FINDINGS))
    body = stream(seed, index, _ANATOMY)
    anatomy = adapt(sample_anatomy(body), facts, body)
    dice = stream(seed, index, _LESIONS).random((len(facts), DICE)).tolist()
    lesions = tuple(Lesion(fact, tuple(row)) for fact, row in zip(facts, dice, strict=True))
    return Plan(views, facts, anatomy, lesions)


def _sample_views(rng: np.random.Generator) -> frozenset[str]:
    """Both views of three studies in four; of the others mostly the frontal alone."""
    draw = rng.random()
    return LATERAL if draw < 0.05 else FRONTAL if draw < 0.25 else BOTH


def sample_facts(views: frozenset[str], rng: np.random.Generator) -> tuple[Fact, ...]:
    """The facts a study of these views shows; none for a normal one."""
    if rng.random() < NORMAL_SHARE:
        return ()
    wanted = 1 + _pick(FINDINGS_PER_STUDY, rng)
    names = [name for name, kind in KINDS.items() if kind.readable(views)]
    if len(views) == 1 and "lateral" in views:
        wanted = min(wanted, 2)
    facts: list[Fact] = []
    for _ in range(8 * wanted):
        name = names[_pick([_weight(name, facts) for name in names], rng)]
        more = _sample_kind(name, rng)
        if not any(conflict(new, old) for new in more for old in facts):
            facts += more
            wanted -= 1
        if not wanted:
            break
    return tuple(sorted(facts))


def _weight(name: str, facts: Sequence[Fact]) -> float:
    """How likely a kind joins the findings that are already there."""
    present = {fact.finding for fact in facts}
    if name in present:
        return 0.0
    factors = [COMPANIONS.get(other, {}).get(name, 1.0) for other in present]
    return KINDS[name].weight * max(factors, default=1.0)


def _sample_kind(name: str, rng: np.random.Generator) -> tuple[Fact, ...]:
    """One fact of a kind, or the two of both sides."""
    options = facts_of_kind(name)
    fact = options[int(rng.random() * len(options))]
    if rng.random() < KINDS[name].bilateral:
        return tuple(fact._replace(side=side) for side in SIDES)
    return (fact,)


def _pick(weights: Sequence[float], rng: np.random.Generator) -> int:
    """An index, by weight."""
    total = np.cumsum(np.asarray(weights, np.float64))
    return int(np.searchsorted(total, rng.random() * total[-1], side="right"))
