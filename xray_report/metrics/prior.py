"""Claims of a comparison with an earlier study, which a model that sees one study cannot make.

The phrases follow the lists of Ramesh et al. 2022 ("Improving radiology report generation systems
by removing hallucinated references to non-existent priors").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_EXAM = (
    r"(?:exam\w*|stud(?:y|ies)|radiograph\w*|films?|images?|imaging|x-?rays?|chest|ct|scans?|x{3,})"
)
_EARLIER = rf"(?:prior|previous|earlier|last|old|preceding)(?: \w+){{0,2}} {_EXAM}"

_CLAIMS = re.compile(
    r"\b(?:"
    r"unchanged|stable|redemonstrat\w*|"
    r"(?:no|without)(?: \w+){0,2} (?:interval )?change|"
    r"(?:in|during|over|for) (?:the )?(?:short )?interval|"
    r"interval (?:change|increase|decrease|development|improve\w*|worsen\w*|resol\w*|clear\w*|"
    r"placement|remov\w*|progress\w*|appearance|enlargement|growth|follow)\w*|"
    r"compar(?:ed|ing) (?:to|with)|(?:in|by|on|with) comparison|"
    rf"(?:since|from|than|to|with|on|per|as) (?:the |her |his )?{_EARLIER}|"
    r"(?:than|since|as|from) (?:before|previously|prior|(?:the )?previous)|"
    r"previously (?:seen|noted|described|identified|demonstrated|visuali[sz]ed)|"
    r"(?:again|once more) (?:\w+ )?(?:seen|noted|identified|demonstrated|visuali[sz]ed|is|are)|"
    r"(?:is|are|has|have)(?: been)? (?:again|now) |"
    r"(?:has|have) (?:\w+ )?(?:increased|decreased|improved|worsened|resolved|cleared|progressed)|"
    r"(?:worsening|worsened|improving|progression of)|"
    r"(?:remains?|remained) (?:\w+ )?(?:enlarged|elevated|normal|clear|present|prominent|low)|"
    r"no longer|(?:no )?new(?:ly)? (?:\w+ )?since"
    r")\b"
)
_DENIALS = re.compile(
    r"\b(?:no|without|not|none)(?: \w+){0,2} "
    rf"(?:comparisons?|priors?|{_EARLIER})(?: \w+){{0,3}}(?: available| for comparison)?\b|"
    r"\bin no interval\b"
)


def claims_comparison(text: str) -> bool:
    """Whether a report claims to compare with an earlier study.

    "No prior studies are available for comparison" is the opposite of a claim.
    """
    words = " ".join(text.lower().replace("-", " ").split())
    return _CLAIMS.search(_DENIALS.sub(" ", words)) is not None


def comparison_rate(texts: Sequence[str]) -> float:
    """Share of texts that claim a comparison, 0..1; 0 for no texts."""
    return sum(map(claims_comparison, texts)) / max(len(texts), 1)
