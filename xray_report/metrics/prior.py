"""Claims of a comparison with an earlier study, which a model that sees one study cannot make.

The phrases follow the lists of Ramesh et al. 2022 ("Improving radiology report generation systems
by removing hallucinated references to non-existent priors"). They are matched on cleaned text, in
which words of one or two letters are gone, so that raw and generated texts are judged alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from xray_report.metrics.preparation import clean

_EXAM = r"(?:exam\w*|stud(?:y|ies)|radiograph\w*|films?|images?|imaging|rays?|chest|scans?)"
_EARLIER = rf"(?:prior|previous|earlier|last|old|preceding)(?: \w+){{0,2}} {_EXAM}"
_SEEN = r"(?:seen|noted|described|identified|demonstrated|visuali[sz]ed|present)"
_MOVED = r"(?:increased|decreased|improved|worsened|resolved|cleared|progressed|enlarged)"

_CLAIMS = re.compile(
    r"\b(?:"
    r"unchanged|stable|redemonstrat\w*|"
    r"(?:no|without)(?: (?!evidence)\w+){0,2} (?:interval )?change|"
    r"(?:the|short) interval|"
    r"interval (?:change|increas|decreas|develop|improve|worsen|resol|clear|placement|remov|"
    r"progress|appear|enlarge|growth|follow)\w*|"
    r"compar(?:ed|ing) (?:with|the|prior|previous|chest|study|exam)|comparison (?:with|the|made)|"
    rf"(?:since|from|than|with|per|seen|the|her|his|patient) (?:the )?{_EARLIER}|"
    r"(?:than|since) (?:before|previously|prior|previous|the (?:prior|previous))|"
    r"(?:the|from) (?:prior|previous)(?= \.|$)|"
    rf"previously {_SEEN}|"
    rf"(?:again|once more) (?:\w+ )?{_SEEN}|{_SEEN} again|(?:there|have been|has been|are) again|"
    rf"(?:has|have) (?:been )?(?:\w+ly )?{_MOVED}(?= \.| since| from| compared| size| the|$)|"
    r"(?:worsening|worsened|improving|progression)|"
    r"remain(?:s|ed)?|persist\w*|no longer|newly|similar (?:prior|previous)"
    r")(?!\w)"
)
_DENIALS = re.compile(
    r"\b(?:no|without|not|none)(?: \w+){0,2} "
    rf"(?:comparisons?|priors?|{_EARLIER})(?: \w+){{0,3}}(?: available| for comparison)?\b"
)


def claims_comparison(text: str) -> bool:
    """Whether a report, raw or cleaned, claims to compare with an earlier study.

    "No prior studies are available for comparison" is the opposite of a claim.
    """
    return _CLAIMS.search(_DENIALS.sub(" ", clean(text))) is not None


def comparison_rate(texts: Sequence[str]) -> float:
    """Share of texts that claim a comparison, 0..1; 0 for no texts."""
    return sum(map(claims_comparison, texts)) / max(len(texts), 1)
