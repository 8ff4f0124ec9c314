"""Writing a phantom's FINDINGS section from its facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from xray_report.data.phantom.findings import ALL_FACTS, KINDS, SIDES
from xray_report.data.phantom.normal import NORMAL
from xray_report.data.phantom.phrases import BILATERAL_PHRASES, PHRASES, RANKS, ZONE_WORDS
from xray_report.text.facts import Fact

RANK_JITTER = 0.12
"""Deviation of a sentence's place in a report, in the units of `phrases.RANKS`."""

MOST_SENTENCES = 9

PHRASE_POWER = 2.5
"""Phrasing number k (from 1) has a weight of k to the power of minus this.

Steeper than in real reports (ten sentences make 63 % of the phantom's, 12 % of IU X-ray's), so
that 1,200 reports are enough to learn from.
"""


def phrasings(fact: Fact) -> tuple[str, ...]:
    """Every sentence that states this one fact, likelier ones first."""
    templates = PHRASES.get(f"{fact.finding} {fact.size}") or PHRASES[fact.finding]
    return tuple(_filled(template, fact) for template in _with_zones(templates, fact.zone))


def bilateral_phrasings(fact: Fact) -> tuple[str, ...]:
    """Every sentence that states this fact of both sides at once; its own side is ignored."""
    templates = BILATERAL_PHRASES.get(fact.finding, ())
    return tuple(_filled(template, fact) for template in _with_zones(templates, fact.zone))


def all_sentences() -> Iterator[tuple[str, tuple[Fact, ...]]]:
    """Every sentence a phantom report can hold, with exactly the facts that it states.

    Normal statements come with no facts; a bilateral sentence with its left and its right fact.
    """
    for fact in ALL_FACTS:
        for sentence in phrasings(fact):
            yield sentence, (fact,)
        if fact.side == SIDES[0] and KINDS[fact.finding].bilateral:
            for sentence in bilateral_phrasings(fact):
                yield sentence, tuple(fact._replace(side=side) for side in SIDES)
    for topic in NORMAL.values():
        for sentence in topic.statements:
            yield sentence, ()


def write_report(facts: Sequence[Fact], rng: np.random.Generator) -> str:
    """A random FINDINGS section that states exactly these facts.

    Args:
        facts: what the study's views show; two facts that differ by side alone are told together.
        rng: chooses phrasings, normal statements and the order of sentences.
    """
    ranked = _fact_sentences(facts, rng) + _normal_sentences(facts, rng)
    ranked.sort(key=lambda item: item[0])
    return " ".join(sentence for _, sentence in ranked)


def _fact_sentences(facts: Sequence[Fact], rng: np.random.Generator) -> list[tuple[float, str]]:
    """A sentence for each fact or two-sided pair of facts, with its place in the report."""
    sentences = []
    for _, group in groupby(sorted(facts), key=lambda fact: fact._replace(side="")):
        sides = list(group)
        options = phrasings(sides[0]) if len(sides) == 1 else bilateral_phrasings(sides[0])
        rank = RANKS[sides[0].finding] + RANK_JITTER * rng.normal()
        sentences.append((rank, _choose(options, rng)))
    return sentences


def _normal_sentences(facts: Sequence[Fact], rng: np.random.Generator) -> list[tuple[float, str]]:
    """Normal statements that hold, with their places in the report; the usual ones if too many."""
    findings = {fact.finding for fact in facts}
    sentences: list[tuple[float, float, str]] = []
    said: set[str] = set()
    for name, topic in NORMAL.items():
        chance = topic.chance[1 if findings else 0]
        spoken, rank = rng.random() < chance, topic.rank + RANK_JITTER * rng.normal()
        sentence = _choose(topic.statements, rng)
        if findings & topic.unless or not spoken or (topic.unless <= said):
            continue
        said |= topic.unless if name == "pleura" else set()
        sentences.append((-chance, rank, sentence))
    room = max(MOST_SENTENCES - len(findings), 0)
    return [(rank, sentence) for _, rank, sentence in sorted(sentences)[:room]]


def _choose(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of the options; writers have favourites, so their shares fall as a power of the rank."""
    weights = (np.arange(len(options)) + 1.0) ** -PHRASE_POWER
    return options[int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum()))]


def _with_zones(templates: Sequence[str], zone: str) -> tuple[str, ...]:
    """Templates with `{zone}` and the zone inside `{place}` filled in, in every wording."""
    names = ZONE_WORDS[zone]
    filled = []
    for template in templates:
        wordings = names if "{place}" in template or "{zone}" in template else names[:1]
        filled += [
            template.replace("{place}", f"{{side}} {name}").replace("{zone}", name)
            for name in wordings
        ]
    return tuple(filled)


def _filled(template: str, fact: Fact) -> str:
    """A template with its side and size, beginning with a capital."""
    sentence = template.format(side=fact.side, size=fact.size)
    return sentence[0].upper() + sentence[1:]
