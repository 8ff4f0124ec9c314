from __future__ import annotations

import pytest

from xray_report.data.sources.mimic_cxr import split_report

FULL = """
                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with new onset ascites  // eval for infection

 COMPARISON:  None.

 FINDINGS:

 There is no focal consolidation, pleural effusion or
 pneumothorax.  Note: bilateral nodular opacities.

 IMPRESSION:

 No acute cardiopulmonary process.
"""


def test_findings_and_impression_with_single_spaces() -> None:
    found = split_report(FULL)
    assert found.findings == (
        "There is no focal consolidation, pleural effusion or pneumothorax. "
        "Note: bilateral nodular opacities."
    )
    assert found.impression == "No acute cardiopulmonary process."


@pytest.mark.parametrize(
    ("text", "findings", "impression"),
    [
        ("FINDINGS AND IMPRESSION:  Clear.", "Clear.", None),
        ("FINDINGS: Clear.\nCONCLUSION: Normal.", "Clear.", "Normal."),
        ("PA AND LATERAL CHEST FINDINGS: Clear.\nIMPRESSION:", "Clear.", None),
        ("INDICATION: Cough.\n No heading at all.", None, None),
        ("FINDINGS: A.\nIMPRESSION: B.\nADDENDUM:\nFINDINGS: A longer one.", "A longer one.", "B."),
        ("WET READ: pending.\nIMPRESSION: Edema.", None, "Edema."),
        ("", None, None),
    ],
)
def test_headings_that_occur(text: str, findings: str | None, impression: str | None) -> None:
    assert split_report(text) == (findings, impression)
