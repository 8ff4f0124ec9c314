"""The findings and the words for them, as data.

The vocabulary follows the published mention lists of CheXpert's labeller (Irvin et al. 2019) and
of NegBio (Peng et al. 2018), widened by what reports of the Indiana collection say. Phrases are
in the notation of `phrases.PhraseBook`, words in the normal form of `words.normal_form`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xray_report.text.facts import IMPLIED_CLASS

FINDING_TERMS: Final[Mapping[str, tuple[str, ...]]] = {
    "cardiomegaly": (
        "cardiomegaly",
        "enlargement ?the heart ?silhouette|shadow",
        "heart enlargement",
    ),
    "widened_mediastinum": (
        "widening ?the ?superior mediastinum",
        "mediastinum widening",
    ),
    "opacity": (
        "opacity",
        "density",
        "infiltrate",
        "airspace disease|process|opacity|density|infiltrate",
        "air space disease|process|opacity|density|infiltrate",
    ),
    "scar": ("scar", "fibrosis"),
    "interstitial_markings": (
        "interstitial ?lung marking|prominent|pattern|change|thickening|disease|opacity",
        "reticular marking|pattern|opacity|density",
        "peribronchial thickening|cuffing",
        "bronchial wall thickening",
    ),
    "nodule": (
        "nodule",
        "nodule density|opacity|airspace|mass",
        "round|rounded density|opacity",
    ),
    "mass": ("mass", "neoplasm", "carcinoma", "tumor", "masslike", "malignancy"),
    "granuloma": ("granuloma",),
    "edema": (
        "edema",
        "vascular|venous|pulmonary congestion",
        "pulmonary vascular|venous congestion",
        "heart failure",
        "congestive ?heart failure",
        "chf",
    ),
    "consolidation": (
        "consolidation",
        "airspace consolidation",
        "air space consolidation",
    ),
    "pneumonia": ("pneumonia", "infection", "infectious ?process", "bronchopneumonia"),
    "atelectasis": ("atelectasis", "collapse"),
    "pneumothorax": ("pneumothorax",),
    "pleural_effusion": (
        "effusion",
        "pleural effusion",
        "pleural fluid",
        "fluid ?the pleural",
    ),
    "hydropneumothorax": ("hydropneumothorax",),
    "pleural_thickening": (
        "pleural thickening ?and ?scar",
        "pleural scar",
        "pleural plaque",
        "pleuroparenchymal scar",
    ),
    "rib_fracture": ("rib fracture", "fracture ?the ?left|right ?lateral rib"),
    "fracture": ("fracture",),
    "pacemaker": ("pacemaker", "pacer", "?dual ?lead pacemaker"),
    "central_line": (
        "?central venous catheter",
        "central line",
        "picc ?line",
    ),
    "endotracheal_tube": ("endotracheal tube",),
    "sternotomy_wires": ("?median sternotomy ?wire",),
    "device": ("catheter", "tube", "port"),
    "hyperinflation": ("hyperinflated",),
    "low_lung_volumes": ("hypoinflated",),
    "tortuous_aorta": (),
    "degenerative_spine": ("osteophyte", "spondylosis"),
    "hiatal_hernia": ("hiatal hernia",),
    "other": (),
}
"""Finding -> its terms."""

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "heart": ("heart", "heart size|silhouette|shadow|contour"),
    "mediastinum": ("?superior mediastinum ?contour|silhouette|width",),
    "volumes": ("lung volume", "inspiration", "inspiratory effort"),
    "aorta": ("?descending|ascending ?thorax aorta", "aortic"),
    "spine": ("?thorax|lumbar spine", "vertebra ?body"),
}
"""Part of the chest -> its terms."""

STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "normal": ("normal", "unremarkable", "within ?normal limit", "intact"),
    "big": ("enlarged", "increased", "large", "prominent"),
    "wide": ("widened", "wide"),
    "low": ("low", "small", "decreased", "shallow"),
    "winding": ("tortuous", "ectatic"),
    "worn": ("degenerative ?change|disease",),
}
"""State a part may be in -> its terms."""

PART_IN_STATE: Final[Mapping[tuple[str, str], tuple[str, bool]]] = {
    ("heart", "normal"): ("cardiomegaly", False),
    ("heart", "big"): ("cardiomegaly", True),
    ("mediastinum", "normal"): ("widened_mediastinum", False),
    ("mediastinum", "wide"): ("widened_mediastinum", True),
    ("mediastinum", "big"): ("widened_mediastinum", True),
    ("volumes", "low"): ("low_lung_volumes", True),
    ("aorta", "winding"): ("tortuous_aorta", True),
    ("spine", "worn"): ("degenerative_spine", True),
}
"""(part, state) -> the finding it speaks of, and whether it is there."""

CLASS_OF: Final[Mapping[str, str]] = {
    **IMPLIED_CLASS,
    "scar": "Lung Opacity",
    "interstitial_markings": "Lung Opacity",
    "pneumonia": "Pneumonia",
    "fracture": "Fracture",
    "device": "Support Devices",
}
"""Finding -> its CheXpert class; the others count against No Finding alone."""
