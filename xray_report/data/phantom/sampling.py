"""What study i of a seed is: its views, facts, body and lesions, before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xray_report.data.phantom.anatomy import Anatomy, adapt, sample_anatomy
from xray_report.data.phantom.conflicts import conflict
from xray_report.data.phantom.findings import (
    BOTH,
    COMPANIONS,
    FINDINGS_PER_STUDY,
    FRONTAL,
    KINDS,
    LATERAL,
    NORMAL_SHARE,
    SIDES,
    facts_of_kind,
)
from xray_report.text.facts import Fact

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
