from __future__ import annotations

import pytest

from tests.metrics.conftest import Corpus
from xray_report.metrics.diagnostics import claims_comparison, comparison_rate
from xray_report.metrics.protocols import clean

CLAIMS = [
    "The heart size is unchanged.",
    "Stable cardiomegaly.",
    "There has been no significant interval change.",
    "No change in the right effusion.",
    "The effusion has increased in the interval.",
    "Interval development of a left effusion.",
    "Compared to prior examination, the opacity is larger.",
    "In comparison with the prior study, no pneumothorax.",
    "Opacities seen on the previous radiograph are smaller.",
    "Since the prior XXXX, the lungs have cleared.",
    "Again noted is a calcified granuloma.",
    "The right opacity is no longer seen.",
    "Previously seen effusion.",
]
NO_CLAIMS = [
    "",
    "The heart is normal in size. The lungs are clear.",
    "Degenerative changes of the spine.",
    "Surgical changes of prior sternotomy.",
    "Evidence of prior granulomatous disease.",
    "No prior studies are available for comparison.",
    "No comparison available.",
    "Increased opacity in the left base.",
    "New right effusion.",
    "Left lower lobe has an increased density.",
]


@pytest.mark.parametrize("text", CLAIMS)
def test_claims(text: str) -> None:
    assert claims_comparison(text)


@pytest.mark.parametrize("text", NO_CLAIMS)
def test_no_claims(text: str) -> None:
    assert not claims_comparison(text)


def test_rate() -> None:
    assert comparison_rate(["stable", "clear", "clear", "unchanged"]) == 0.5
    assert comparison_rate([]) == 0


@pytest.mark.parametrize("text", [*CLAIMS, *NO_CLAIMS])
def test_cleaned_text_is_judged_as_raw(text: str) -> None:
    assert claims_comparison(clean(text)) == claims_comparison(text)


def test_a_fifth_of_real_reports_claim_one(real: Corpus) -> None:
    assert 0.1 < comparison_rate(real.test) < 0.3
