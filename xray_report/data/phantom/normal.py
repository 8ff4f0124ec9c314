"""What phantom reports say of things that are normal, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


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
