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
        "heart|ventricle|atrium enlargement",
        "ventricle hypertrophy",
    ),
    "widened_mediastinum": (
        "widening|enlargement ?the ?superior mediastinum",
        "?superior mediastinum widening|enlargement|fullness",
    ),
    "opacity": (
        "opacity",
        "density",
        "infiltrate",
        "haziness",
        "ground glass",
        "groundglass",
        "streakiness",
        "nodule infiltrate",
        "airspace disease|process|opacity|density|infiltrate",
        "air space disease|process|opacity|density|infiltrate",
        "alveolar opacity|disease|process|infiltrate",
    ),
    "scar": ("scar", "?pulmonary fibrosis"),
    "interstitial_markings": (
        "interstitial ?lung|pulmonary marking|prominent|pattern|change|thickening|disease|opacity",
        "interstitial density|infiltrate|scar",
        "prominent|increased|coarse|coarsened interstitial|interstitium ?marking",
        "interstitium prominent",
        "septal line|thickening",
        "reticulation",
        "honeycombing",
        "reticular marking|pattern|opacity|density|change",
        "reticulonodular marking|pattern|opacity|density|change",
        "peribronchial thickening|cuffing",
        "bronchial ?wall thickening",
    ),
    "nodule": (
        "nodule",
        "nodule density|opacity|airspace|mass",
        "nodule airspace opacity|density",
        "round|rounded ?airspace density|opacity",
        "fibronodular",
    ),
    "mass": (
        "mass",
        "mass like",
        "neoplasm",
        "carcinoma",
        "tumor",
        "masslike",
        "?lung malignancy|cancer",
    ),
    "granuloma": ("granuloma", "granulomatous calcified"),
    "edema": (
        "?pulmonary|interstitial|alveolar edema",
        "?pulmonary ?vascular|venous|interstitial congestion",
        "?congestive ?heart failure",
        "chf",
        "fluid|volume overload",
        "kerley",
        "?pulmonary vascular prominent|redistribution|cephalization",
        "cephalization",
        "pulmonary venous hypertension",
        "indistinct ?pulmonary vascular ?margination|marking",
    ),
    "consolidation": ("consolidation", "airspace consolidation", "air space consolidation"),
    "pneumonia": ("pneumonia", "bronchopneumonia", "pneumonitis"),
    "infection": ("infection", "infectious ?process"),
    "atelectasis": ("atelectasis", "collapse"),
    "pneumothorax": ("pneumothorax", "pleural air ?collection"),
    "hydropneumothorax": ("hydropneumothorax",),
    "pleural_effusion": (
        "?pleural effusion",
        "pleural fluid",
        "fluid ?within ?the ?left|right pleural",
        "hemothorax",
    ),
    "pleural_thickening": (
        "pleural ?based thickening ?and ?scar",
        "pleural ?parenchymal scar ?thickening",
        "pleuroparenchymal scar",
        "pleural plaque|reaction|calcified",
        "thickening ?the pleural|fissure",
        "fissure|fissural thickening",
        "apex capping|cap",
    ),
    "rib_fracture": ("rib fracture", "fracture ?the ?left|right ?lateral rib"),
    "fracture": ("fracture", "broken"),
    "pacemaker": ("pacemaker", "pacer", "?dual ?lead pacemaker"),
    "central_line": (
        "?central venous catheter",
        "central ?venous line",
        "picc ?line",
    ),
    "endotracheal_tube": ("endotracheal tube",),
    "sternotomy_wires": ("median sternotomy ?wire", "sternotomy wire"),
    "hyperinflation": ("hyperinflated", "large|increased lung volume"),
    "low_lung_volumes": ("hypoinflated", "low volume lung"),
    "degenerative_spine": ("osteophyte", "spondylosis"),
    "hiatal_hernia": ("?hiatal|hiatus hernia",),
}
"""Finding -> its terms."""

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "heart": ("heart", "heart size|silhouette|shadow|contour", "left|right ventricle|atrium"),
    "mediastinum": ("?superior|upper mediastinum ?contour|silhouette|width",),
    "cardiomediastinum": ("cardiomediastinum ?silhouette|contour|size",),
    "volumes": ("lung volume", "inspiration", "inspiratory effort"),
    "aorta": ("?descending|ascending ?thorax aorta",),
    "spine": ("?thorax|lumbar spine", "vertebra ?body"),
    "vessels": (
        "?central ?pulmonary vascular ?marking|vessel",
        "pulmonary vessel|vein",
    ),
    "diaphragm": ("?left|right diaphragm",),
    "hilum": ("hilar", "perihilar"),
}
"""Part of the chest -> its terms."""

STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "normal": (
        "normal",
        "unremarkable",
        "within ?normal limit",
        "?borderline|low|top normal",
        "within limit ?normal",
        "engorged appear within limit normal",
    ),
    "big": ("enlarged", "increased", "increase", "prominent", "generous"),
    "large": ("large",),
    "borderline": ("borderline",),
    "wide": ("widened", "wide"),
    "low": ("low", "small", "decreased", "shallow"),
    "winding": ("tortuous", "ectatic"),
    "worn": ("degenerative ?change|disease",),
    "engorged": ("engorged", "indistinct", "accentuated", "congestion"),
    "raised": ("elevated", "elevation", "flattened", "flattening"),
    "full": ("fullness", "full"),
}
"""State a part may be in -> its terms."""

PART_IN_STATE: Final[Mapping[tuple[str, str], tuple[str, bool]]] = {
    ("heart", "normal"): ("cardiomegaly", False),
    ("heart", "big"): ("cardiomegaly", True),
    ("heart", "large"): ("cardiomegaly", True),
    ("heart", "borderline"): ("cardiomegaly", True),
    ("cardiomediastinum", "normal"): ("cardiomegaly", False),
    ("cardiomediastinum", "big"): ("cardiomegaly", True),
    ("mediastinum", "normal"): ("widened_mediastinum", False),
    ("mediastinum", "wide"): ("widened_mediastinum", True),
    ("mediastinum", "big"): ("widened_mediastinum", True),
    ("cardiomediastinum", "wide"): ("widened_mediastinum", True),
    ("volumes", "normal"): ("other", False),
    ("aorta", "normal"): ("other", False),
    ("vessels", "normal"): ("other", False),
    ("diaphragm", "normal"): ("other", False),
    ("hilum", "normal"): ("other", False),
    ("volumes", "low"): ("low_lung_volumes", True),
    ("aorta", "winding"): ("tortuous_aorta", True),
    ("aorta", "big"): ("other", True),
    ("spine", "worn"): ("degenerative_spine", True),
    ("vessels", "big"): ("edema", True),
    ("vessels", "engorged"): ("edema", True),
    ("diaphragm", "raised"): ("other", True),
    ("hilum", "big"): ("other", True),
    ("hilum", "full"): ("other", True),
}
"""(part, state) -> the finding it speaks of, and whether it is there."""

STATES_ALONE: Final = frozenset({"winding", "worn"})
"""States that are abnormal whatever part they are said of."""

CLASSES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    **{finding: (name,) for finding, name in IMPLIED_CLASS.items()},
    "scar": ("Lung Opacity",),
    "interstitial_markings": ("Lung Opacity",),
    "pneumonia": ("Pneumonia",),
    "hydropneumothorax": ("Pneumothorax", "Pleural Effusion"),
    "fracture": ("Fracture",),
    "device": ("Support Devices",),
}
"""Finding -> its CheXpert classes; the others count against No Finding alone."""
