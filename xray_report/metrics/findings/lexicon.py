"""The words of the labeller, as data: findings, their attributes, cues and stems.

Phrases are in the notation of `phrases.PhraseBook`: `a|b` is either word, `?a` is optional.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xray_report.text.facts import IMPLIED_CLASS

# Findings, and parts of the chest with the states that make them a finding.

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
    "central_line": ("?central venous catheter", "central ?venous line", "picc ?line"),
    "endotracheal_tube": ("endotracheal tube",),
    "sternotomy_wires": ("median sternotomy ?wire", "sternotomy wire"),
    "hyperinflation": ("hyperinflated", "large|increased lung volume"),
    "low_lung_volumes": ("hypoinflated", "low volume lung"),
    "degenerative_spine": ("osteophyte", "spondylosis"),
    "hiatal_hernia": ("?hiatal|hiatus hernia",),
}
"""Finding -> its terms."""

CHEST_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "heart": ("heart", "heart size|silhouette|shadow|contour", "left|right ventricle|atrium"),
    "mediastinum": ("?superior|upper mediastinum ?contour|silhouette|width",),
    "cardiomediastinum": ("cardiomediastinum ?silhouette|contour|size",),
    "volumes": ("lung volume", "inspiration", "inspiratory effort"),
    "aorta": ("?descending|ascending ?thorax aorta",),
    "spine": ("?thorax|lumbar spine", "vertebra ?body"),
    "vessels": ("?central ?pulmonary vascular ?marking|vessel", "pulmonary vessel|vein"),
    "diaphragm": ("?left|right diaphragm",),
    "hilum": ("hilar", "perihilar"),
}
"""Part of the chest -> its terms."""

PART_STATES: Final[Mapping[str, tuple[str, ...]]] = {
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
"""(part, state) -> the finding they are about, and whether it is present."""

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


# Devices, and abnormalities outside CheXpert's classes.

DEVICE_TERMS: Final = (
    "aicd",
    "anchor",
    "arthroplasty",
    "balloon",
    "cannula",
    "catheter",
    "clip",
    "coil",
    "defibrillator",
    "device",
    "drain",
    "electrode",
    "filter",
    "fixation",
    "fusion",
    "generator",
    "hardware",
    "icd",
    "implant",
    "instrumentation",
    "lead",
    "marker",
    "mediport",
    "occluder",
    "pin",
    "plate",
    "port",
    "prostheses",
    "prosthesis",
    "prosthetic",
    "pump",
    "rod",
    "screw",
    "sheath",
    "shunt ?tubing",
    "staple",
    "stent",
    "stimulator",
    "subclavian|jugular|dialysis line",
    "suture",
    "tip",
    "tracheostomy",
    "tube",
    "tubing",
    "valve replacement",
    "wire",
)
"""Devices without a name of their own among the findings."""

OTHER_TERMS: Final = (
    "adenopathy",
    "air trapping",
    "aneurysm",
    "anterolisthesis",
    "arthritis",
    "atherosclerosis",
    "azygos",
    "bleb",
    "blunted",
    "bone island",
    "bronchiectasis",
    "bronchitis",
    "bulla",
    "bullous",
    "calcific",
    "calcified",
    "cavitary",
    "cavitation",
    "cholelithiasis",
    "copd",
    "crowded",
    "crowding",
    "curvature",
    "cyst",
    "deformity",
    "demineralization",
    "dilated",
    "disc ?space narrowing",
    "disc disease",
    "dish",
    "dislocation",
    "emphysema",
    "endplate change",
    "epicardial fat",
    "eventration",
    "fat pad",
    "foreign body",
    "free ?intraperitoneal air",
    "gallstone",
    "goiter",
    "granulomatous ?disease|infection",
    "height loss",
    "hyperlucent",
    "hyperostosis",
    "hypertension",
    "hypertrophic",
    "kyphosis",
    "lesion",
    "lordosis",
    "loss ?vertebral ?body height",
    "lucency",
    "lung marking",
    "lymphadenopathy",
    "lytic",
    "mastectomy",
    "metastasis",
    "mycetoma",
    "obstructive ?airway ?pulmonary|lung disease",
    "osteopenia",
    "osteopenic",
    "osteoporosis",
    "pectus",
    "pericardial effusion|fluid",
    "piercing",
    "pneumomediastinum",
    "pneumoperitoneum",
    "retrolisthesis",
    "rotator",
    "sarcoidosis",
    "sclerosis",
    "sclerotic",
    "scoliosis",
    "shift",
    "splenic granuloma",
    "spondylolisthesis",
    "spur",
    "spurring",
    "subcutaneous emphysema",
    "subluxation",
    "syndesmophyte",
    "thyroid enlargement",
    "tuberculosis",
    "unfolded",
    "volume loss",
    "wedge",
    "wedging",
)
"""Abnormalities that count against No Finding alone."""

NOT_A_MENTION: Final = (
    "collapse ?the vertebral",
    "hip|femur|femoral fracture",
    "retrosternal airspace",
    "screw|wire|catheter|lead fracture",
    "soft tissue edema",
    "vertebral ?body collapse",
)
"""Phrases whose words would say something else."""


# Attributes: sides, zones and sizes.

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

FACT_ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "cardiomegaly": ("degree",),
    "pleural_effusion": ("side", "size"),
    "pneumothorax": ("side", "size"),
    "consolidation": ("side", "zone"),
    "opacity": ("side", "zone"),
    "nodule": ("side", "zone"),
    "mass": ("side", "zone"),
    "granuloma": ("side", "zone"),
    "atelectasis": ("side",),
    "edema": ("degree",),
    "hyperinflation": (),
    "low_lung_volumes": (),
    "rib_fracture": ("side",),
    "pacemaker": (),
    "central_line": ("side",),
    "endotracheal_tube": (),
    "sternotomy_wires": (),
    "tortuous_aorta": (),
    "degenerative_spine": (),
    "widened_mediastinum": (),
    "pleural_thickening": ("side",),
    "hiatal_hernia": (),
}
"""Finding that makes a fact -> the attributes of that fact; a degree is mild or severe."""


# Cues: what turns a mention into "absent" or "uncertain", after NegEx (Chapman et al. 2001),
# ConText (Harkema et al. 2009) and NegBio (Peng et al. 2018).
#
# A `before` cue governs the mentions that follow it in its clause, an `after` cue those that go
# before it, an `either` cue those that follow it or, where none does, those before it. A pseudo
# cue looks like a negation and is none. A break ends a clause, and with it the reach of every cue.
#
# "Probable" and "likely" are no cues: who writes them commits to the finding, and annotators take
# them so. Of two findings with "versus" between them both are uncertain.

NEGATION_BEFORE: Final = (
    "no",
    "not",
    "without",
    "free",
    "clear",
    "negative",
    "absence",
    "rather than",
    "instead",
    "resolution",
    "clearing",
    "removal",
    "never",
    "nor",
    "neither",
    "denies",
)

NEGATION_AFTER: Final = (
    "?have|has|had ?been|completely resolved|cleared|removed|excluded",
    "not ?well|clearly|definitely seen|identified|present|visualized|evident|noted",
    "not ?well|clearly|definitely appreciated|demonstrated|visible|detected|suspected|found",
    "ruled out",
    "longer seen|identified|present|visualized|evident|noted|visible",
    "unlikely",
)

NEGATION_EITHER: Final = ("resolved", "cleared", "removed", "absent")

PSEUDO_NEGATION: Final = (
    "no ?significant|interval|definite ?interval change",
    "without ?significant|interval ?interval change",
    "not ?significantly changed",
    "no increase|worsening|progression",
    "not only",
    "not certain",
)

UNCERTAIN_BEFORE: Final = (
    "possibly",
    "possibility",
    "may",
    "maybe",
    "might",
    "could",
    "can",
    "perhaps",
    "question",
    "questionable",
    "suggest",
    "suggests",
    "suggesting",
    "suggestive",
    "suggestion",
    "suspicious",
    "suspicion",
    "concern",
    "concerning",
    "cannot ?entirely|completely exclude",
    "cannot rule out",
    "not ?entirely exclude",
    "exclude",
    "rule out",
    "equivocal",
    "differential",
    "favor",
    "favored",
)

UNCERTAIN_AFTER: Final = (
    "cannot ?entirely|completely excluded",
    "not ?entirely|completely excluded",
    "cannot ruled out",
    "questioned",
    "consideration",
    "considered",
)

UNCERTAIN_EITHER: Final = ("possible", "suspected")

UNCERTAIN_BETWEEN: Final = ("versus",)

NOT_SAID: Final = (
    "evaluation",
    "evaluate",
    "assess",
    "assessment",
    "correlate",
    "correlation",
    "history",
    "followup",
)
"""What follows is not said of this study."""

BREAKS: Final = (
    "but",
    "however",
    "although",
    "though",
    "there",
    "which",
    "except",
    "besides",
    "clear with",
    "otherwise",
    "aside from",
    "apart from",
    "other than",
    "stable",
    "unchanged",
    "persistent",
    "again",
    "status post",
)

EXPLANATIONS: Final = ("consistent with", "compatible with")
"""What goes before is a sign of what follows."""


# Spellings of one word.

STEMS: Final[Mapping[str, str]] = {
    "arthrit": "arthritis",
    "atelect": "atelectasis",
    "atheroscler": "atherosclerosis",
    "blunt": "blunted",
    "calcif": "calcified",
    "calcium": "calcified",
    "cardiomeg": "cardiomegaly",
    "cardiomediastin": "cardiomediastinum",
    "cephaliz": "cephalization",
    "collaps": "collapse",
    "congest": "congestion",
    "consolid": "consolidation",
    "degenerat": "degenerative",
    "densit": "density",
    "dilat": "dilated",
    "ectasi": "ectatic",
    "ectati": "ectatic",
    "effus": "effusion",
    "emphys": "emphysema",
    "enlarge": "enlarged",
    "enlargement": "enlargement",
    "eventrat": "eventration",
    "engorge": "engorged",
    "fibronodul": "fibronodular",
    "fibros": "fibrosis",
    "fibrot": "fibrosis",
    "fractur": "fracture",
    "granuloma": "granuloma",
    "granulomatous": "granulomatous",
    "hyperaer": "hyperinflated",
    "hyperdisten": "hyperinflated",
    "hyperexpan": "hyperinflated",
    "hyperinflat": "hyperinflated",
    "hypoaer": "hypoinflated",
    "hypoexpan": "hypoinflated",
    "hypoinflat": "hypoinflated",
    "hypoventilat": "hypoinflated",
    "infect": "infection",
    "infiltr": "infiltrate",
    "implant": "implant",
    "indistinct": "indistinct",
    "kypho": "kyphosis",
    "levoscolio": "scoliosis",
    "dextroscolio": "scoliosis",
    "scolio": "scoliosis",
    "rotoscolio": "scoliosis",
    "dextrocurv": "curvature",
    "levocurv": "curvature",
    "metasta": "metastasis",
    "mediastin": "mediastinum",
    "nodul": "nodule",
    "opaci": "opacity",
    "osteoarthr": "arthritis",
    "osteophyt": "osteophyte",
    "overexpan": "hyperinflated",
    "overinflat": "hyperinflated",
    "pleura": "pleural",
    "pneumoni": "pneumonia",
    "pneumonit": "pneumonitis",
    "pneumothor": "pneumothorax",
    "hydropneumothor": "hydropneumothorax",
    "prominen": "prominent",
    "scar": "scar",
    "spondyl": "spondylosis",
    "thicken": "thickening",
    "tortuo": "tortuous",
    "torturo": "tortuous",
    "tumor": "tumor",
    "underinflat": "hypoinflated",
    "unfold": "unfolded",
    "vascula": "vascular",
    "widen": "widened",
    "widening": "widening",
}
"""Beginning of a word -> the form the rules use; the longest beginning counts."""

FORMS: Final[Mapping[str, str]] = {
    "apices": "apex",
    "aortic": "aorta",
    "apical": "apex",
    "bases": "base",
    "basal": "base",
    "basilar": "base",
    "basis": "base",
    "bodies": "body",
    "cardiac": "heart",
    "clavicular": "clavicle",
    "cyst": "cyst",
    "cystic": "cyst",
    "diaphragmatic": "diaphragm",
    "hemidiaphragm": "diaphragm",
    "hemidiaphragms": "diaphragm",
    "infrahilar": "perihilar",
    "parahilar": "perihilar",
    "suprahilar": "perihilar",
    "lines": "line",
    "lobar": "lobe",
    "masses": "mass",
    "middle": "mid",
    "silhouettes": "silhouette",
    "spinal": "spine",
    "shadows": "shadow",
    "thoracic": "thorax",
    "ventricular": "ventricle",
    "atrial": "atrium",
    "bronchi": "bronchial",
    "bronchus": "bronchial",
    "hila": "hilar",
    "hilum": "hilar",
    "vertebrae": "vertebra",
    "vertebral": "vertebra",
}
"""Single words that the stems and a dropped plural s do not bring together."""
