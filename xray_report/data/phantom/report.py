"""Writing a phantom's FINDINGS section: the grammar as tables, and the writer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np

from xray_report.data.phantom.cases import ALL_FACTS, KINDS, SIDES
from xray_report.text.facts import Fact

ZONE_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("",),
    "upper": ("upper lobe", "upper lung zone"),
    "mid": ("mid lung", "mid lung zone"),
    "lower": ("lower lobe", "lung base"),
}
"""Zone -> its names; `{place}` in a phrasing is the side and one of them."""

PHRASES: Final[Mapping[str, tuple[str, ...]]] = {
    "cardiomegaly mild": (
        "The heart is mildly enlarged.",
        "There is mild cardiomegaly.",
        "Mild enlargement of the cardiac silhouette.",
        "Heart size is mildly increased.",
    ),
    "cardiomegaly severe": (
        "The heart is severely enlarged.",
        "There is severe cardiomegaly.",
        "Marked enlargement of the cardiac silhouette.",
        "Massive cardiomegaly is present.",
    ),
    "pleural_effusion": (
        "There is a {size} {side} pleural effusion.",
        "{size} {side} pleural effusion.",
        "{size} {side} effusion is present.",
        "{size} volume of pleural fluid on the {side}.",
    ),
    "pneumothorax": (
        "There is a {size} {side} pneumothorax.",
        "{size} {side} pneumothorax is seen.",
        "A {size} pneumothorax is present on the {side}.",
    ),
    "consolidation": (
        "There is consolidation in the {place}.",
        "Dense airspace consolidation with air bronchograms in the {place}.",
        "{place} consolidation is present.",
        "Focal consolidation is noted within the {place}.",
    ),
    "opacity": (
        "There is a hazy opacity in the {place}.",
        "Hazy {place} opacity.",
        "Ill defined ground glass opacity in the {place}.",
        "Faint patchy opacity is seen within the {place}.",
    ),
    "nodule": (
        "There is a nodule in the {place}.",
        "{place} pulmonary nodule.",
        "A rounded nodule projects over the {place}.",
        "Solitary nodular density in the {place}.",
    ),
    "mass": (
        "There is a large mass in the {place}.",
        "{place} mass is present.",
        "A lobulated mass projects over the {place}.",
    ),
    "granuloma": (
        "There is a calcified granuloma in the {place}.",
        "Calcified {place} granuloma.",
        "Densely calcified granuloma is noted within the {place}.",
    ),
    "atelectasis": (
        "There is linear atelectasis at the {side} base.",
        "{side} basilar atelectasis.",
        "Bandlike opacity at the {side} base consistent with subsegmental atelectasis.",
        "Discoid atelectasis is present in the {side} base.",
    ),
    "edema mild": (
        "There is mild interstitial edema.",
        "Mild pulmonary vascular congestion and interstitial edema.",
        "Findings are consistent with mild pulmonary edema.",
    ),
    "edema severe": (
        "There is severe pulmonary edema.",
        "Extensive perihilar airspace disease consistent with severe pulmonary edema.",
        "Severe alveolar edema in a bat wing distribution.",
    ),
    "hyperinflation": (
        "The lungs are hyperinflated.",
        "Hyperexpanded lungs with flattening of the diaphragms.",
        "The lungs are hyperexpanded consistent with emphysema.",
        "There is hyperinflation with flattened diaphragms.",
    ),
    "low_lung_volumes": (
        "Lung volumes are low.",
        "Low lung volumes with bronchovascular crowding.",
        "There are low lung volumes.",
        "The lungs are hypoinflated.",
    ),
    "rib_fracture": (
        "There are displaced {side} rib fractures.",
        "Multiple {side} rib fractures are present.",
        "Fractures of the {side} lateral ribs.",
    ),
    "pacemaker": (
        "A dual lead pacemaker is in place.",
        "Left chest pacemaker with leads in the right atrium and right ventricle.",
        "Cardiac pacemaker generator overlies the left chest.",
    ),
    "central_line": (
        "A {side} central venous catheter terminates in the superior vena cava.",
        "{side} central line with its tip in the superior vena cava.",
        "There is a {side} venous catheter in place.",
    ),
    "endotracheal_tube": (
        "The endotracheal tube terminates above the carina.",
        "An endotracheal tube is in place.",
        "Endotracheal tube tip is well positioned above the carina.",
    ),
    "sternotomy_wires": (
        "Median sternotomy wires are intact.",
        "Sternotomy wires are present.",
        "The patient is status post median sternotomy.",
    ),
    "tortuous_aorta": (
        "The thoracic aorta is tortuous.",
        "There is a tortuous aorta.",
        "Tortuosity of the descending thoracic aorta.",
        "Aortic ectasia and tortuosity are noted.",
    ),
    "degenerative_spine": (
        "Degenerative changes of the thoracic spine.",
        "There are degenerative changes in the spine.",
        "Multilevel osteophytes are noted along the thoracic spine.",
        "Spondylosis of the thoracic spine is present.",
    ),
    "widened_mediastinum": (
        "The superior mediastinum is widened.",
        "There is widening of the mediastinum.",
        "Widened mediastinal contour.",
    ),
    "pleural_thickening": (
        "There is {side} apical pleural thickening.",
        "{side} apical pleural thickening and scarring.",
        "Pleural thickening is noted at the {side} apex.",
    ),
    "hiatal_hernia": (
        "There is a hiatal hernia.",
        "Retrocardiac density with air fluid level consistent with hiatal hernia.",
        "A hiatal hernia is present.",
    ),
}
"""Finding (and size, where the wording hangs on it) -> phrasings of one fact."""

BILATERAL_PHRASES: Final[Mapping[str, tuple[str, ...]]] = {
    "pleural_effusion": (
        "There are {size} bilateral pleural effusions.",
        "{size} bilateral pleural effusions.",
        "Bilateral {size} effusions are present.",
    ),
    "opacity": (
        "There are hazy opacities in the bilateral {zone}s.",
        "Hazy opacities in both {zone}s.",
        "Faint patchy opacities are seen within both {zone}s.",
    ),
    "atelectasis": (
        "There is bilateral basilar atelectasis.",
        "Linear atelectasis at both bases.",
        "Bandlike opacities at both bases consistent with subsegmental atelectasis.",
    ),
    "pleural_thickening": (
        "There is biapical pleural thickening.",
        "Bilateral apical pleural thickening and scarring.",
        "Pleural thickening is noted at both apices.",
    ),
}
"""Finding -> phrasings of the two facts left and right at once."""

RANKS: Final[Mapping[str, float]] = {
    "cardiomegaly": 0.0,
    "widened_mediastinum": 1.0,
    "tortuous_aorta": 1.1,
    "hiatal_hernia": 1.2,
    "pleural_effusion": 2.9,
    "pneumothorax": 2.9,
    "pleural_thickening": 2.8,
    "low_lung_volumes": 1.7,
    "hyperinflation": 1.7,
    "edema": 1.8,
    "mass": 1.9,
    "consolidation": 2.0,
    "opacity": 2.1,
    "nodule": 2.2,
    "granuloma": 2.3,
    "atelectasis": 2.4,
    "rib_fracture": 4.0,
    "degenerative_spine": 4.1,
    "pacemaker": 4.5,
    "central_line": 4.6,
    "endotracheal_tube": 4.4,
    "sternotomy_wires": 4.3,
}
"""Finding -> where in a report it tends to stand, ascending (see `report.RANK_JITTER`)."""


# ------------------------------------------------------------------------------
# What phantom reports say of things that are normal, as tables.


class Topic(NamedTuple):
    """Something a report may call normal.

    Args:
        statements: phrasings.
        unless: findings that make it untrue.
        chance: how often it is said of a normal study, and of an abnormal one.
        rank: where in a report it tends to stand (see `phrases.RANKS`).
    """

    statements: tuple[str, ...]
    unless: frozenset[str]
    chance: tuple[float, float]
    rank: float


_AIRSPACE = frozenset({"consolidation", "opacity", "edema"})
_LESIONS = frozenset({"nodule", "mass", "granuloma"})
_VOLUME = frozenset({"hyperinflation", "low_lung_volumes"})
_PLEURA = frozenset({"pleural_effusion", "pneumothorax", "pleural_thickening"})
_CONTOUR = frozenset({"widened_mediastinum", "tortuous_aorta", "hiatal_hernia"})

NORMAL: Final[Mapping[str, Topic]] = {
    "heart": Topic(
        (
            "The heart is normal in size.",
            "Heart size and contour are normal.",
            "The cardiac silhouette is within normal limits.",
            "Heart size is within normal limits.",
        ),
        frozenset({"cardiomegaly"}),
        (0.95, 0.9),
        0.0,
    ),
    "mediastinum": Topic(
        (
            "The mediastinum is unremarkable.",
            "Mediastinal contours are normal.",
            "The mediastinal silhouette is stable and within normal limits.",
        ),
        _CONTOUR | {"cardiomegaly"},
        (0.85, 0.8),
        1.0,
    ),
    "lungs": Topic(
        (
            "The lungs are clear.",
            "Lungs are clear bilaterally.",
            "Both lungs are clear and well expanded.",
            "The lungs are free of focal airspace disease.",
        ),
        _AIRSPACE | _LESIONS | _VOLUME | _PLEURA | {"atelectasis"},
        (0.95, 0.9),
        2.0,
    ),
    "airspace": Topic(
        (
            "No focal consolidation or infiltrate is seen.",
            "There is no focal airspace disease or infiltrate.",
            "No focal infiltrate.",
        ),
        _AIRSPACE | {"atelectasis"},
        (0.08, 0.08),
        2.4,
    ),
    "vessels": Topic(
        (
            "Pulmonary vascularity is within normal limits.",
            "The pulmonary vasculature is normal.",
            "Pulmonary vascular markings are unremarkable.",
        ),
        frozenset({"edema", "low_lung_volumes"}),
        (0.1, 0.08),
        1.5,
    ),
    "pleura": Topic(
        (
            "No pneumothorax or pleural effusion is seen.",
            "There is no pleural effusion or pneumothorax.",
            "No pleural effusion or pneumothorax is identified.",
        ),
        frozenset({"pneumothorax", "pleural_effusion"}),
        (0.95, 0.9),
        3.0,
    ),
    "effusion": Topic(
        ("No pleural effusion.", "There is no pleural effusion.", "No effusion is seen."),
        frozenset({"pleural_effusion"}),
        (0.0, 0.9),
        3.1,
    ),
    "pneumothorax": Topic(
        ("No pneumothorax.", "There is no pneumothorax.", "No pneumothorax is seen."),
        frozenset({"pneumothorax"}),
        (0.0, 0.9),
        3.2,
    ),
    "lesions": Topic(
        (
            "No suspicious nodule or mass.",
            "There are no suspicious pulmonary nodules or masses.",
            "No nodules are seen.",
        ),
        _LESIONS,
        (0.06, 0.06),
        2.6,
    ),
    "hila": Topic(
        (
            "The hilar contours are normal.",
            "Hilar structures appear within normal limits.",
            "The hila and trachea are unremarkable.",
        ),
        _AIRSPACE | _CONTOUR,
        (0.08, 0.06),
        1.6,
    ),
    "diaphragm": Topic(
        (
            "The diaphragm is smooth in contour.",
            "Costophrenic angles are sharp and the diaphragms are smooth.",
            "Both hemidiaphragms are well defined.",
        ),
        _PLEURA | _VOLUME | _AIRSPACE | {"hiatal_hernia", "atelectasis"},
        (0.06, 0.06),
        3.4,
    ),
    "tissues": Topic(
        (
            "Soft tissues are unremarkable.",
            "The visualized upper abdomen and soft tissues are normal.",
            "No free air beneath the diaphragm.",
        ),
        frozenset({"hiatal_hernia"}),
        (0.08, 0.06),
        4.2,
    ),
    "bones": Topic(
        (
            "The osseous structures are intact.",
            "No acute bony abnormality.",
            "Visualized bony structures are unremarkable.",
            "The bony thorax appears intact without acute abnormality.",
        ),
        frozenset({"rib_fracture", "degenerative_spine"}),
        (0.9, 0.85),
        4.0,
    ),
}
"""Topic -> what is said of it when it is normal."""


# ------------------------------------------------------------------------------
# Writing a phantom's FINDINGS section from its facts.

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
