"""From the MeSH terms that NLM's annotators gave the Indiana studies to CheXpert's classes.

A term is a heading with qualifiers, "Opacity/lung/base/left/mild" (Demner-Fushman et al. 2016,
"Preparing a collection of radiology examinations for distribution and retrieval").

Where the two schemes differ, these choices hold for terms and for the labeller alike:
- Lung Opacity takes scars and interstitial markings, as CheXpert's mention list does; crowded
  bronchovascular markings are low volumes and no opacity. No class implies its parent.
- Lung Lesion takes granulomas, which are nodules with a name, and nodular ("round") opacities;
  granulomatous disease without a granuloma is outside the classes.
- Edema takes congestion and heart failure; Pneumonia wants the word, not "infection".
- Pleural Other is thickening, scar or calcification of the pleura; a blunted costophrenic angle
  alone is outside the classes. Fracture wants the word, not a deformity.
- Support Devices takes clips, implants and stents too, but not a sternotomy without its wires.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np

from xray_report.metrics.findings.labeller import label_reports
from xray_report.metrics.findings.scores import Bools, agreement, positives, precision_recall_f1
from xray_report.text.facts import CHEXPERT_CLASSES


class Rule(NamedTuple):
    """Terms that imply a class.

    Args:
        name: the CheXpert class.
        headings: any of these headings.
        needs: if given, one of these must be among the qualifiers.
        bars: none of these may be among the qualifiers.
    """

    name: str
    headings: tuple[str, ...]
    needs: frozenset[str] = frozenset()
    bars: frozenset[str] = frozenset()

    def holds(self, heading: str, qualifiers: frozenset[str]) -> bool:
        """Whether a term implies the class."""
        return (
            heading in self.headings
            and not (self.needs and self.needs.isdisjoint(qualifiers))
            and self.bars.isdisjoint(qualifiers)
        )


_OUTSIDE_LUNG: Final = frozenset(
    {
        "abdomen",
        "aorta",
        "aorta, thoracic",
        "breast",
        "cervical vertebrae",
        "clavicle",
        "heart",
        "humerus",
        "lumbar vertebrae",
        "mediastinum",
        "neck",
        "ribs",
        "shoulder",
        "spine",
        "thoracic vertebrae",
    }
)

RULES: Final = (
    Rule("Enlarged Cardiomediastinum", ("Mediastinum",), frozenset({"prominent", "enlarged"})),
    Rule("Cardiomegaly", ("Cardiomegaly",)),
    Rule(
        "Cardiomegaly",
        ("Cardiac Shadow", "Heart", "Heart Ventricles", "Heart Atria"),
        frozenset({"enlarged", "borderline"}),
    ),
    # "Round" is the annotators' word for nodular: a nodular opacity is a lesion.
    Rule("Lung Opacity", ("Opacity", "Density"), bars=_OUTSIDE_LUNG | {"round"}),
    Rule("Lung Opacity", ("Airspace Disease", "Infiltrate", "Pulmonary Fibrosis")),
    Rule("Lung Opacity", ("Lung Diseases, Interstitial",)),
    Rule("Lung Opacity", ("Cicatrix",), bars=_OUTSIDE_LUNG | {"pleura"}),
    Rule("Lung Opacity", ("Markings", "Lung", "Thickening"), frozenset({"interstitial"})),
    Rule("Lung Opacity", ("Thickening",), frozenset({"bronchi"})),
    Rule("Lung Lesion", ("Nodule", "Mass", "Granuloma", "Calcified Granuloma"), bars=_OUTSIDE_LUNG),
    Rule(
        "Lung Lesion",
        ("Opacity", "Density"),
        frozenset({"round"}),
        bars=_OUTSIDE_LUNG | {"reticular"},
    ),
    Rule("Edema", ("Pulmonary Edema", "Pulmonary Congestion", "Heart Failure")),
    Rule("Consolidation", ("Consolidation",)),
    Rule("Pneumonia", ("Pneumonia",)),
    Rule("Atelectasis", ("Pulmonary Atelectasis",)),
    Rule("Pneumothorax", ("Pneumothorax", "Hydropneumothorax", "Hemopneumothorax")),
    Rule(
        "Pleural Effusion",
        ("Pleural Effusion", "Hydropneumothorax", "Hemothorax", "Hemopneumothorax"),
    ),
    Rule("Pleural Other", ("Thickening", "Cicatrix", "Calcinosis"), frozenset({"pleura"})),
    Rule("Pleural Other", ("Pleura",)),
    Rule("Fracture", ("Fractures, Bone",)),
    Rule(
        "Support Devices",
        (
            "Breast Implants",
            "Catheters, Indwelling",
            "Implanted Medical Device",
            "Medical Device",
            "Spinal Fusion",
            "Stents",
            "Surgical Instruments",
            "Sutures",
            "Tube, Inserted",
        ),
    ),
)
"""Which terms imply which class."""

NO_ABNORMALITY: Final = frozenset({"normal", "Technical Quality of Image Unsatisfactory"})
"""Headings that name no abnormality."""

NOT_INDEXED: Final = "No Indexing"
"""Heading of the studies that the annotators left out."""


def classes_of_terms(terms: Iterable[str]) -> frozenset[str] | None:
    """CheXpert classes that the terms of a study imply; None where it was not annotated.

    "No Finding" where no term but support devices names an abnormality, inside CheXpert's classes
    or outside, as in CheXpert's labeller.
    """
    split = [term.strip().split("/") for term in terms if term.strip()]
    if not split or any(heading == NOT_INDEXED for heading, *_ in split):
        return None
    found: set[str] = set()
    normal = True
    for heading, *qualifiers in split:
        told = frozenset(qualifier.strip().lower() for qualifier in qualifiers)
        classes = {rule.name for rule in RULES if rule.holds(heading, told)}
        found |= classes
        normal &= heading in NO_ABNORMALITY or classes == {"Support Devices"}
    return frozenset(found | {"No Finding"} if normal else found)


# ------------------------------------------------------------------------------
# How well the labeller agrees with the MeSH terms of the Indiana collection.
#
# The studies are parted in two by a fixed hash of their number. The rules were developed on the
# `dev` half alone; the `held_out` half says how good they are.

HALVES: Final = ("dev", "held_out")
MIN_SUPPORT: Final = 30
"""Macro F1 is over the classes with at least this many positive studies in the half."""


class AnnotatedReport(NamedTuple):
    """A study's report (findings and impression) and the terms its annotators gave it.

    Args:
        study_id: the publisher's number, such as `"1"`.
        terms: MeSH terms, such as `Opacity/lung/base/left`.
    """

    study_id: str
    text: str
    terms: tuple[str, ...]


class ClassAgreement(NamedTuple):
    """Agreement on one class; support is the number of studies that have it by their terms."""

    precision: float
    recall: float
    f1: float
    support: int


class HalfAgreement(NamedTuple):
    """Agreement on one half of the studies.

    Args:
        studies: annotated studies with a text.
        classes: in CheXpert's order.
        macro_f1: mean F1 of the classes with at least `MIN_SUPPORT` positive studies.
    """

    studies: int
    classes: dict[str, ClassAgreement]
    macro_f1: float


class Validation(NamedTuple):
    """Agreement on each half, and how many reports a second were labelled, each for once."""

    halves: dict[str, HalfAgreement]
    reports_per_second: float


def half_of(study_id: str) -> str:
    """`dev` or `held_out`: by whether the first byte of its SHA-256 is even."""
    return HALVES[sha256(study_id.encode()).digest()[0] % 2]


def validate(reports: Sequence[AnnotatedReport]) -> Validation:
    """Label reports and compare with their terms; studies without terms or text are left out."""
    kept = [(report, classes_of_terms(report.terms)) for report in reports if report.text.strip()]
    known = [(report, classes) for report, classes in kept if classes is not None]
    began = time.process_time()
    labels = label_reports([report.text for report, _ in known])
    seconds = time.process_time() - began
    found = positives(labels)
    truth = np.array(
        [[name in classes for name in CHEXPERT_CLASSES] for _, classes in known], dtype=np.bool_
    ).reshape(found.shape)
    halves = {}
    for half in HALVES:
        rows = np.array([half_of(report.study_id) == half for report, _ in known], dtype=np.bool_)
        halves[half] = _agreement(found[rows], truth[rows])
    return Validation(halves, len(known) / seconds if known else 0.0)


def _agreement(found: Bools, truth: Bools) -> HalfAgreement:
    table = precision_recall_f1(np.moveaxis(agreement(found, truth).sum(axis=1), 0, -1))
    classes = {
        name: ClassAgreement(float(row[0]), float(row[1]), float(row[2]), int(support))
        for name, row, support in zip(CHEXPERT_CLASSES, table, truth.sum(axis=0), strict=True)
    }
    frequent = [row.f1 for row in classes.values() if row.support >= MIN_SUPPORT]
    return HalfAgreement(len(truth), classes, sum(frequent) / max(1, len(frequent)))
