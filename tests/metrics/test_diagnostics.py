from __future__ import annotations

import pytest

from tests.metrics.conftest import Corpus
from xray_report.errors import DataError
from xray_report.metrics.diagnostics import (
    claims_comparison,
    collapse_panel,
    collapse_warning,
    comparison_rate,
    constant_warning,
    is_abnormal,
    reliance_warning,
    strata,
    warnings_of,
    with_warnings,
)
from xray_report.metrics.protocols import clean_tokens

# Collapse, exchange and warnings.


def test_panel_of_a_hand_made_corpus() -> None:
    panel = collapse_panel(
        ["Heart normal.", "heart normal.", "Lungs clear. Lungs clear."],
        ["Heart normal.", "Small effusion.", "Lungs clear."],
        train_texts=["HEART NORMAL."],
        vocabulary_words=["heart", "normal", "lungs", "clear", ".", "effusion", "small", "mass"],
    )
    assert panel["collapse/distinct_reports"] == 2
    assert panel["collapse/most_frequent_share"] == pytest.approx(2 / 3)
    assert panel["collapse/reference_distinct_reports"] == 3
    assert panel["collapse/distinct1"] == pytest.approx(5 / 12)
    # heart-normal, normal-., lungs-clear, clear-., .-lungs among 2 + 2 + 5 pairs
    assert panel["collapse/distinct2"] == pytest.approx(5 / 9)
    assert panel["collapse/words_used"] == 5
    assert panel["collapse/vocabulary_share"] == pytest.approx(5 / 8)
    assert panel["collapse/copied_share"] == pytest.approx(2 / 3)
    assert panel["collapse/reference_copied_share"] == pytest.approx(1 / 3)
    assert panel["collapse/length_ratio"] == pytest.approx(12 / 9)


def test_only_words_that_clean_text_has_count_as_vocabulary() -> None:
    words = ["Heart", "heart", "of", "2.5", ",", "well-defined", "mass", "."]
    panel = collapse_panel(["Heart, 2.5 of."], ["heart"], vocabulary_words=words)
    assert panel["collapse/vocabulary_share"] == pytest.approx(2 / 5)


def test_panel_survives_nothing_but_empty_reports() -> None:
    panel = collapse_panel(["", ""], ["heart", "lungs"])
    assert panel["collapse/distinct_reports"] == 1
    assert panel["collapse/length_ratio"] == 0
    assert "collapse/copied_share" not in panel
    with pytest.raises(DataError):
        collapse_panel(["a"], [])


def judged(hypotheses: list[str], references: list[str]) -> str | None:
    return collapse_warning(
        collapse_panel(hypotheses, references) | {"studies": float(len(hypotheses))}
    )


NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
VARIED = [f"{a} {b}" for a in NUMBERS for b in NUMBERS]


def test_one_report_for_all_is_collapse() -> None:
    warning = judged(["heart normal"] * 100, VARIED)
    assert warning is not None
    assert warning.startswith("COLLAPSED: 1 different report for 100 studies")
    assert "100%" in warning


def test_a_few_reports_for_all_are_collapse() -> None:
    assert judged([VARIED[i % 8] for i in range(100)], VARIED) is not None


def test_varied_reports_and_honest_repetition_are_not() -> None:
    assert judged(VARIED[::-1], VARIED) is None
    third_normal = ["heart normal"] * 33 + VARIED[33:]
    assert judged(third_normal, VARIED) is None
    mostly_normal = ["heart normal"] * 60 + VARIED[60:]
    assert judged(mostly_normal, mostly_normal) is None


def test_a_handful_of_studies_says_nothing() -> None:
    assert judged(["heart normal"] * 5, VARIED[:5]) is None


def reliance(bleu: float, low: float, cider: float, cider_low: float) -> dict[str, float]:
    return {
        "studies": 100.0,
        "clean/bleu4": 0.3,
        "clean/cider": 1.0,
        "reliance/clean/bleu4": bleu,
        "reliance/clean/bleu4_low": low,
        "reliance/clean/cider": cider,
        "reliance/clean/cider_low": cider_low,
    }


def test_image_blind_where_exchanging_costs_nothing() -> None:
    assert reliance_warning(reliance(0.1, 0.05, 0.5, 0.3)) is None
    assert "IMAGE-BLIND" in (reliance_warning(reliance(0.0, -0.02, 0.01, -0.1)) or "")
    # One score alone may fall by chance; a loss that is sure but tiny is none.
    assert reliance_warning(reliance(0.0, -0.02, 0.5, 0.3)) is not None
    assert reliance_warning(reliance(0.001, 0.0005, 0.001, 0.0005)) is not None
    assert reliance_warning({"studies": 100.0}) is None


def test_constant_must_be_beaten_clearly() -> None:
    metrics = {
        "clean/bleu4": 0.2,
        "baseline/constant/clean/bleu4": 0.19,
        "versus_constant/clean/bleu4": 0.01,
        "versus_constant/clean/bleu4_low": -0.01,
        "versus_constant/clean/bleu4_high": 0.03,
    }
    assert "NOT BETTER THAN ONE FIXED REPORT" in (constant_warning(metrics) or "")
    assert warnings_of(metrics) == {"not_better_than_constant": constant_warning(metrics)}
    assert set(with_warnings(metrics)) == {*metrics, "warning/not_better_than_constant"}
    assert constant_warning(metrics | {"versus_constant/clean/bleu4_low": 0.005}) is None
    assert warnings_of({}) == with_warnings({}) == {}


def test_the_warning_says_what_the_findings_say() -> None:
    bleu = {"clean/bleu4": 0.2, "baseline/constant/clean/bleu4": 0.2}
    bleu |= {f"versus_constant/clean/bleu4{end}": 0.0 for end in ("", "_low", "_high")}
    found = {"findings/micro_f1": 0.8, "baseline/constant/findings/micro_f1": 0.3}
    better, worse = (
        {**bleu, **found, "versus_constant/findings/micro_f1_low": low} for low in (0.4, -0.1)
    )
    assert "findings do beat it: findings/micro_f1 0.800 against 0.300" in str(
        constant_warning(better)
    )
    assert "findings do not beat it either" in str(constant_warning(worse))


def test_the_warning_names_the_protocol_there_is() -> None:
    metrics = {"r2gen/bleu4": 0.1, "baseline/constant/r2gen/bleu4": 0.2}
    metrics |= {f"versus_constant/r2gen/bleu4{end}": -0.1 for end in ("", "_low", "_high")}
    assert "r2gen/bleu4 0.100 against 0.200" in (constant_warning(metrics) or "")


# Claims of a comparison.

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
def test_texts_that_claim_a_comparison(text: str) -> None:
    assert claims_comparison(text)


@pytest.mark.parametrize("text", NO_CLAIMS)
def test_texts_that_claim_none(text: str) -> None:
    assert not claims_comparison(text)


def test_comparison_rate() -> None:
    assert comparison_rate(["stable", "clear", "clear", "unchanged"]) == 0.5
    assert comparison_rate([]) == 0


@pytest.mark.parametrize("text", [*CLAIMS, *NO_CLAIMS])
def test_cleaned_text_is_judged_as_raw(text: str) -> None:
    assert claims_comparison(clean_tokens(text)) == claims_comparison(text)


def test_a_fifth_of_real_reports_claim_one(real: Corpus) -> None:
    assert 0.1 < comparison_rate(real.test) < 0.3


# Strata.


@pytest.mark.parametrize(
    ("labels", "abnormal"),
    [
        (None, None),
        ({}, None),
        ({"No Finding": 1.0}, False),
        ({"No Finding": 0.0}, True),
        ({"No Finding": float("nan"), "Edema": 1.0}, True),
        ({"Edema": 1.0, "Fracture": 0.0}, True),
        ({"Edema": 0.0, "Fracture": 0.0}, None),
        ({"Edema": float("nan"), "Fracture": 0.0}, None),
        ({"Support Devices": 1.0, "Edema": 0.0}, None),
        ({"Support Devices": 1.0}, None),
    ],
)
def test_abnormal(labels: dict[str, float] | None, abnormal: bool | None) -> None:
    assert is_abnormal(labels) is abnormal


def test_groups_of_a_hand_made_corpus() -> None:
    groups = strata(
        ["Heart normal.", "Lungs clear today here.", "Large effusion on the left side today."],
        abnormal=[False, None, True],
        train_texts=["heart normal ."],
        views=[2, 1, 3],
    )
    found = {name: indices.tolist() for name, indices in groups.items()}
    assert found == {
        "short_reference": [0],
        "medium_reference": [1],
        "long_reference": [2],
        "normal": [0],
        "abnormal": [2],
        "seen_reference": [0],
        "novel_reference": [1, 2],
        "two_views": [0, 2],
        "one_view": [1],
    }


def test_half_of_the_real_test_reports_stand_in_train(real: Corpus) -> None:
    groups = strata(real.test, train_texts=real.train)
    assert len(groups["seen_reference"]) == 277
    lengths = [len(groups[f"{name}_reference"]) for name in ("short", "medium", "long")]
    assert sum(lengths) == 590
    assert min(lengths) > 150


def test_lists_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="two_views: 1 values for 2 studies"):
        strata(["a", "b"], views=[2])
