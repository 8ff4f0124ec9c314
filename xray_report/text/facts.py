"""Facts a chest report states, and the 14 classes of CheXpert that they imply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

CHEXPERT_CLASSES: Final = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""In the order and spelling of the tables of CheXpert (Irvin et al. 2019)."""

IMPLIED_CLASS: Final[Mapping[str, str]] = {
    "atelectasis": "Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "central_line": "Support Devices",
    "consolidation": "Consolidation",
    "edema": "Edema",
    "endotracheal_tube": "Support Devices",
    "granuloma": "Lung Lesion",
    "mass": "Lung Lesion",
    "nodule": "Lung Lesion",
    "opacity": "Lung Opacity",
    "pacemaker": "Support Devices",
    "pleural_effusion": "Pleural Effusion",
    "pleural_thickening": "Pleural Other",
    "pneumothorax": "Pneumothorax",
    "rib_fracture": "Fracture",
    "sternotomy_wires": "Support Devices",
    "widened_mediastinum": "Enlarged Cardiomediastinum",
}
"""Finding -> its CheXpert class; findings outside those classes are not in it."""


class Fact(NamedTuple):
    """One positive finding. Names are lower-case with underscores; "" where none applies.

    Args:
        finding: such as `pleural_effusion`.
        side: `left` or `right`, the patient's.
        zone: `upper`, `mid` or `lower`.
        size: `small`, `moderate`, `large`, `mild` or `severe`.
    """

    finding: str
    side: str = ""
    zone: str = ""
    size: str = ""

    @property
    def label(self) -> str:
        """`finding|side|zone|size` with empty parts dropped."""
        return "|".join(part for part in self if part)


def chexpert_classes(facts: Iterable[Fact]) -> frozenset[str]:
    """CheXpert classes present, given all facts of a study or of an image.

    "No Finding" is present where nothing but support devices is: as CheXpert has it, except that
    findings outside the 14 classes (a tortuous aorta) count as findings here.
    """
    findings = {fact.finding for fact in facts}
    present = {IMPLIED_CLASS[name] for name in findings if name in IMPLIED_CLASS}
    if all(IMPLIED_CLASS.get(name) == "Support Devices" for name in findings):
        present.add("No Finding")
    return frozenset(present)
