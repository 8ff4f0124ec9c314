from __future__ import annotations

import pytest

from xray_report.data.study import Study, report_text
from xray_report.errors import OptionError


@pytest.mark.parametrize(
    ("findings", "impression", "both"),
    [("A.", "B.", "A. B."), ("A.", None, "A."), (None, "B.", "B."), (None, None, None)],
)
def test_targets(findings: str | None, impression: str | None, both: str | None) -> None:
    study = Study("1", findings=findings, impression=impression)
    found = [report_text(study, target) for target in ("findings", "impression", "both")]
    assert found == [findings, impression, both]


def test_unknown_target_is_refused() -> None:
    with pytest.raises(
        OptionError, match=r"data\.target must be one of findings, impression, both"
    ):
        report_text(Study("1"), "history")
