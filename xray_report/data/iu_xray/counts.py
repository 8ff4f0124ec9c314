"""What the publisher's reports say, counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from xray_report.data.iu_xray.published import PublishedReport

_DEIDENTIFIED = re.compile(r"XX+")


def count_published(reports: Sequence[PublishedReport]) -> dict[str, Any]:
    """Counts of reports and listed images; `r2gen rule`: FINDINGS present, two images or more."""
    found = [report.findings for report in reports if report.findings]
    per_study = Counter(len(report.image_keys) for report in reports)
    return {
        "reports": len(reports),
        "images": sum(len(report.image_keys) for report in reports),
        "images per study": {str(n): count for n, count in sorted(per_study.items())},
        "without findings": len(reports) - len(found),
        "without impression": sum(not report.impression for report in reports),
        "without both": sum(not (report.findings or report.impression) for report in reports),
        "findings with XXXX": sum(bool(_DEIDENTIFIED.search(text)) for text in found),
        "normal": sum(report.mesh == ("normal",) for report in reports),
        "not indexed": sum(report.mesh in ((), ("No Indexing",)) for report in reports),
        "r2gen rule": sum(
            bool(report.findings) and len(report.image_keys) >= 2 for report in reports
        ),
    }
