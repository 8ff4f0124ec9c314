"""Sides, zones and sizes and the words for them, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LEFT, RIGHT = "left", "right"
_BOTH: Final = (LEFT, RIGHT)

SIDE_TERMS: Final[Mapping[str, tuple[str, ...]]] = {
    "left": (LEFT,),
    "right": (RIGHT,),
    "lingula": (LEFT,),
    "lingular": (LEFT,),
    "bilateral": _BOTH,
    "bilaterally": _BOTH,
    "both": _BOTH,
    "bibasilar": _BOTH,
    "bibasal": _BOTH,
    "biapical": _BOTH,
    "bihilar": _BOTH,
}
"""Word -> the patient's sides it names."""

ZONE_TERMS: Final[Mapping[str, str]] = {
    "upper": "upper",
    "apex": "upper",
    "biapical": "upper",
    "mid": "mid",
    "midlung": "mid",
    "lower": "lower",
    "base": "lower",
    "bibasilar": "lower",
    "bibasal": "lower",
}
"""Word in normal form -> zone of a lung."""

SIZE_TERMS: Final[Mapping[str, str]] = {
    "tiny": "small",
    "trace": "small",
    "small": "small",
    "minimal": "small",
    "moderate": "moderate",
    "moderately": "moderate",
    "large": "large",
    "massive": "large",
    "mild": "mild",
    "mildly": "mild",
    "slight": "mild",
    "slightly": "mild",
    "borderline": "mild",
    "severe": "severe",
    "severely": "severe",
    "marked": "severe",
    "markedly": "severe",
    "extensive": "severe",
}
"""Word in normal form -> size, or degree."""

DEGREES: Final[Mapping[str, str]] = {"small": "mild", "large": "severe"}
"""Size -> degree, for findings that come in degrees."""
SIZES: Final[Mapping[str, str]] = {"mild": "small", "severe": "large"}
"""Degree -> size, for findings that come in sizes."""

TOLD_BY: Final[Mapping[str, str]] = {
    "cardiomegaly": "degree",
    "pleural_effusion": "side size",
    "pneumothorax": "side size",
    "consolidation": "side zone",
    "opacity": "side zone",
    "nodule": "side zone",
    "mass": "side zone",
    "granuloma": "side zone",
    "atelectasis": "side",
    "edema": "degree",
    "hyperinflation": "",
    "low_lung_volumes": "",
    "rib_fracture": "side",
    "pacemaker": "",
    "central_line": "side",
    "endotracheal_tube": "",
    "sternotomy_wires": "",
    "tortuous_aorta": "",
    "degenerative_spine": "",
    "widened_mediastinum": "",
    "pleural_thickening": "side",
    "hiatal_hernia": "",
}
"""Finding that makes a fact -> what tells one such fact from another."""
