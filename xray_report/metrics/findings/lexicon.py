"""The words of the labeller, as data: findings, their attributes, cues and stems.

The long lists stand in terms.txt and spellings.txt beside this file.

Phrases are in the notation of `phrases.PhraseBook`: `a|b` is either word, `?a` is optional.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from xray_report.text.facts import IMPLIED_CLASS


def _sections(file: str) -> dict[str, list[str]]:
    """Lines of the sections of a text file beside this one, `#` lines left out."""
    sections: dict[str, list[str]] = {}
    for line in files(__package__).joinpath(file).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            sections[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            sections[list(sections)[-1]].append(line)
    return sections


# Findings, and parts of the chest with the states that make them a finding.

_TERMS = {name: tuple(lines) for name, lines in _sections("terms.txt").items()}

DEVICE_TERMS: Final = _TERMS.pop("devices")
"""Devices without a name of their own among the findings."""

OTHER_TERMS: Final = _TERMS.pop("other")
"""Abnormalities that count against No Finding alone."""

FINDING_TERMS: Final[Mapping[str, tuple[str, ...]]] = _TERMS
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


STATE_OF_ANOTHER: Final = frozenset(
    {"with", "due", "secondary", "given", "despite", "behind"}
    | {"surrounded", "silhouetted", "exaggerated", "hidden", "masked", "effaced", "displaced"}
)
"""After one of these words a state is said of something else than the part before it."""

OF_FINDINGS_TOO: Final = frozenset(
    {"large", "increased", "increase", "prominent", "small", "low", "decreased"}
)
"""States that, right before a finding, are the finding's: "large left effusion"."""


# Cues: what turns a mention into "absent" or "uncertain", after NegEx (Chapman et al. 2001),
# ConText (Harkema et al. 2009) and NegBio (Peng et al. 2018).
#
# A clause ends with its sentence, at a semicolon and where a line ends that was not just full. A
# `before` cue governs the mentions that follow it in its clause, an `after` cue those that go
# before it, an `either` cue those that follow it or, where none does, those before it. A pseudo
# cue looks like a negation and is none. A break ends a clause, and with it the reach of every cue.
#
# "Probable" and "likely" are no cues: who writes them commits to the finding, and annotators take
# them so. Of two findings with "versus" between them both are uncertain.

NEGATION_BEFORE: Final = (
    "no",
    "not",
    "not show|demonstrate|reveal|contain|have",
    "fails|failed show|demonstrate|reveal",
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
    "lung|lobe|base|apex|hemithorax|side has|have ?been|completely resolved|cleared",
    "not ?well|clearly|definitely seen|identified|present|visualized|evident|noted",
    "not ?well|clearly|definitely appreciated|demonstrated|visible|detected|suspected|found",
    "ruled out",
    "longer seen|identified|present|visualized|evident|noted|visible",
    "unlikely",
    "none",
)

NEGATION_EITHER: Final = ("resolved", "cleared", "removed", "absent", "nil")

NEGATION_ALONE: Final = ("no ?evidence|sign $", "negative $")
"""At the end of a sentence, right after a finding: "Pneumothorax: no"."""

PSEUDO_NEGATION: Final = (
    "no|without ?evidence|sign ?significant|interval|definite|appreciable|substantial|further "
    "?interval change|increase|decrease|reduction|improvement|worsening|progression|regression",
    "no|without ?evidence|sign ?significant|interval|definite|appreciable|substantial|further "
    "?interval resolution|clearing",
    "no interval|further enlargement",
    "not significantly|appreciably|substantially decreased",
    "not ?significantly|appreciably|substantially changed|improved|worsened|progressed|regressed",
    "?have|has|had not ?yet|been|completely|entirely|fully resolved|cleared|removed",
    "lung|lobe|base|apex|hemithorax|side has|have not ?yet|completely resolved|cleared",
    "lung|lobe|base|apex|hemithorax|side has|have partially|partly|nearly resolved|cleared",
    "partially|partly|incompletely|nearly|almost ?completely|entirely resolved|cleared|removed",
    "partial|incomplete|near|nearly ?complete resolution|clearing|removal",
    "not only",
    "not certain",
    "not necessarily",
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
    "exclude",
    "rule out",
    "equivocal",
    "differential",
    "favor",
    "favored",
)

UNCERTAIN_ANEW: Final = (
    "cannot|not ?entirely|completely|fully|definitely|definitively|reliably exclude",
    "cannot|not ?entirely|completely|fully|definitely|definitively|reliably rule out",
    "not possible|able ?entirely|completely|fully|definitely exclude",
    "not possible|able ?entirely|completely|fully|definitely rule out",
    "impossible|unable|difficult ?entirely|completely|fully|definitely exclude",
    "impossible|unable|difficult ?entirely|completely|fully|definitely rule out",
)
"""Doubt that a negation before it does not reach: "no pneumothorax, cannot exclude an effusion"."""

UNCERTAIN_AFTER: Final = (
    "would|may difficult|impossible exclude",
    "cannot ?entirely|completely|fully|definitely|definitively|reliably excluded",
    "?have|has not ?been ?entirely|completely|fully|definitely|definitively|reliably excluded",
    "cannot ?entirely|completely|fully|definitely|definitively|reliably ruled out",
    "?have|has not ?been ?entirely|completely|fully|definitely|definitively|reliably ruled out",
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
    "while",
    "whereas",
    "yet",
    "because",
    "obscured",
    "limited due|secondary|given",
    "clear with|and|bilaterally",
    "clear ?left|right lung",
    "show",
    "demonstrate",
    "reveal",
    "contain",
    "lung|lobe|base|apex|hemithorax|side has|have",
    "and the left|right|other lung|lobe|base|apex|hemithorax|side",
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

_SPELLINGS = {
    name: dict(line.split() for line in lines) for name, lines in _sections("spellings.txt").items()
}

STEMS: Final[Mapping[str, str]] = _SPELLINGS["stems"]
"""Beginning of a word -> the form the rules use; the longest beginning counts."""

FORMS: Final[Mapping[str, str]] = _SPELLINGS["forms"]
"""Single words that the stems and a dropped plural s do not bring together."""
