from __future__ import annotations

import pytest

from xray_report.errors import DataError
from xray_report.metrics.diagnostics import (
    collapse_panel,
    collapse_verdict,
    constant_verdict,
    exchange,
    reliance_verdict,
    verdicts,
    with_warnings,
)


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


def test_panel_survives_nothing_but_empty_reports() -> None:
    panel = collapse_panel(["", ""], ["heart", "lungs"])
    assert panel["collapse/distinct_reports"] == 1
    assert panel["collapse/length_ratio"] == 0
    assert "collapse/copied_share" not in panel
    with pytest.raises(DataError):
        collapse_panel(["a"], [])


def judged(hypotheses: list[str], references: list[str]) -> str | None:
    return collapse_verdict(
        collapse_panel(hypotheses, references) | {"studies": float(len(hypotheses))}
    )


NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
VARIED = [f"{a} {b}" for a in NUMBERS for b in NUMBERS]


def test_one_report_for_all_is_collapse() -> None:
    verdict = judged(["heart normal"] * 100, VARIED)
    assert verdict is not None
    assert verdict.startswith("COLLAPSED: 1 different report for 100 studies")
    assert "100%" in verdict


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


@pytest.mark.parametrize("studies", [2, 3, 10, 57])
def test_exchange_gives_everybody_anothers(studies: int) -> None:
    items = list(range(studies))
    exchanged = exchange(items)
    assert sorted(exchanged) == items
    assert all(a != b for a, b in zip(items, exchanged, strict=True))
    assert exchange(items) == exchanged


def test_exchange_of_few() -> None:
    assert exchange(["only"]) == ["only"]
    assert exchange([]) == []


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
    assert reliance_verdict(reliance(0.1, 0.05, 0.5, 0.3)) is None
    assert "IMAGE-BLIND" in (reliance_verdict(reliance(0.0, -0.02, 0.01, -0.1)) or "")
    # One score alone may fall by chance; a loss that is sure but tiny is none.
    assert reliance_verdict(reliance(0.0, -0.02, 0.5, 0.3)) is not None
    assert reliance_verdict(reliance(0.001, 0.0005, 0.001, 0.0005)) is not None
    assert reliance_verdict({"studies": 100.0}) is None


def test_constant_must_be_beaten_clearly() -> None:
    metrics = {
        "clean/bleu4": 0.2,
        "baseline/constant/clean/bleu4": 0.19,
        "versus_constant/clean/bleu4": 0.01,
        "versus_constant/clean/bleu4_low": -0.01,
        "versus_constant/clean/bleu4_high": 0.03,
    }
    assert "NOT BETTER THAN ONE FIXED REPORT" in (constant_verdict(metrics) or "")
    assert verdicts(metrics) == {"not_better_than_constant": constant_verdict(metrics)}
    assert set(with_warnings(metrics)) == {*metrics, "warning/not_better_than_constant"}
    assert constant_verdict(metrics | {"versus_constant/clean/bleu4_low": 0.005}) is None
    assert verdicts({}) == with_warnings({}) == {}


def test_the_warning_tells_what_the_findings_say() -> None:
    bleu = {"clean/bleu4": 0.2, "baseline/constant/clean/bleu4": 0.2}
    bleu |= {f"versus_constant/clean/bleu4{end}": 0.0 for end in ("", "_low", "_high")}
    found = {"findings/micro_f1": 0.8, "baseline/constant/findings/micro_f1": 0.3}
    better, worse = (
        {**bleu, **found, "versus_constant/findings/micro_f1_low": low} for low in (0.4, -0.1)
    )
    assert "findings do beat it: findings/micro_f1 0.800 against 0.300" in str(
        constant_verdict(better)
    )
    assert "findings do not beat it either" in str(constant_verdict(worse))


def test_the_warning_names_the_protocol_there_is() -> None:
    metrics = {"r2gen/bleu4": 0.1, "baseline/constant/r2gen/bleu4": 0.2}
    metrics |= {f"versus_constant/r2gen/bleu4{end}": -0.1 for end in ("", "_low", "_high")}
    assert "r2gen/bleu4 0.100 against 0.200" in (constant_verdict(metrics) or "")
