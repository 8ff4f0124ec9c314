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

from collections.abc import Iterable
from typing import Final, NamedTuple


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
