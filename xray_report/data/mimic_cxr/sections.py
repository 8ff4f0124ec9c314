"""FINDINGS and IMPRESSION of a free-text report."""

from __future__ import annotations

import re
from typing import NamedTuple

# A heading stands at the start of a line, in capitals, and ends in a colon.
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z0-9 ,/&()'-]{2,60}):", re.MULTILINE)
_FINDINGS = re.compile(r"FINDINGS?\b|.*\bFINDINGS?$")
_IMPRESSION = re.compile(r".*\b(IMPRESSIONS?|CONCLUSIONS?)$|IMPRESSION\b.*")


class Sections(NamedTuple):
    """Text with white space made single; None where the report has no such section."""

    findings: str | None
    impression: str | None


def split_report(text: str) -> Sections:
    """Sections of a MIMIC-CXR report.

    Headings such as `FINDINGS:`, `FINDINGS AND IMPRESSION:`, `IMPRESSION:`, `CONCLUSION:`; the
    longest section of a kind is taken, as addenda repeat headings. A combined section counts as
    findings.
    """
    headings = list(_HEADING.finditer(text))
    ends = [*(match.start() for match in headings), len(text)][1:]
    findings, impression = "", ""
    for match, end in zip(headings, ends, strict=True):
        name, body = match[1].strip(), " ".join(text[match.end() : end].split())
        if _FINDINGS.match(name):
            findings = max(findings, body, key=len)
        elif _IMPRESSION.match(name):
            impression = max(impression, body, key=len)
    return Sections(findings or None, impression or None)
