"""Which findings would hide or mimic one another and so are never drawn together."""

from __future__ import annotations

from typing import Final

from xray_report.text.facts import Fact

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
