"""The grammar of phantom reports, as tables: how each fact is worded.

Every phrasing states its fact whole (finding, side, zone, size), in words that outlive a cleaner
that drops digits, punctuation and words of one or two letters. Earlier phrasings are likelier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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
