"""Which text of a study is written, and which image fills which slot."""

from __future__ import annotations

import numpy as np
import pytest

from xray_report.data.study import Study, StudyImage, View, pair_views, report_text
from xray_report.errors import OptionError


class Named:
    """Pixels that are only a name."""

    def __init__(self, name: str) -> None:
        self.identity = name

    def load(self) -> np.ndarray:
        return np.zeros((1, 1), np.uint8)


VIEWS = {"F": View.FRONTAL, "L": View.LATERAL, "U": View.UNKNOWN}


@pytest.mark.parametrize(
    ("images", "frontal", "lateral"),
    [
        ("", None, None),
        ("F", 0, None),
        ("L", None, 0),
        ("U", 0, None),
        ("FL", 0, 1),
        ("LF", 1, 0),
        ("FF", 0, None),
        ("LL", None, 0),
        ("UF", 1, 0),
        ("UL", 0, 1),
        ("LU", 1, 0),
        ("UU", 0, 1),
        ("UUU", 0, 1),
        ("FFLUL", 0, 2),
    ],
)
def test_slots(images: str, frontal: int | None, lateral: int | None) -> None:
    made = tuple(StudyImage(Named(str(i)), VIEWS[view]) for i, view in enumerate(images))
    pair = pair_views(Study("s", images=made))
    expected = tuple(None if slot is None else made[slot] for slot in (frontal, lateral))
    assert tuple(pair) == expected


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
