"""Scores against counts made by hand and by scikit-learn's definitions."""

from __future__ import annotations

import numpy as np
import pytest

from xray_report.errors import DataError
from xray_report.metrics.findings.labeller import label_reports
from xray_report.metrics.findings.scores import (
    FACT_KEYS,
    FINDING_KEYS,
    fact_scores,
    fact_study_scores,
    finding_scores,
    finding_study_scores,
    positives,
    study_f1,
)
from xray_report.text.facts import CHEXPERT_CLASSES

REFERENCES = [
    "Small left pleural effusion. Cardiomegaly.",
    "The lungs are clear.",
    "Right upper lobe consolidation.",
    "The heart is normal.",
    "Right rib fracture. Small left effusion.",
]
HYPOTHESES = [
    "Small right pleural effusion. Cardiomegaly.",
    "Possible nodule. The lungs are clear.",
    "The lungs are clear.",
    "No effusion.",
    "Small left effusion.",
]


def test_fact_scores_by_hand():
    # Hits: cardiomegaly, the last effusion. Wrong: the right effusion. Missed: three.
    scores = fact_scores(HYPOTHESES, REFERENCES)
    assert scores == pytest.approx(
        {"facts/precision": 2 / 3, "facts/recall": 2 / 5, "facts/f1": 0.5}
    )
    assert fact_study_scores(HYPOTHESES, REFERENCES).rows.T.tolist() == [
        [1, 0, 0, 0, 1],
        [1, 0, 0, 0, 0],
        [1, 0, 1, 0, 1],
    ]


def test_finding_scores_by_hand():
    scores = finding_scores(HYPOTHESES, REFERENCES)
    assert tuple(scores) == FINDING_KEYS
    expected = {
        # effusion 2 hits, cardiomegaly 1, no finding 1 hit 1 wrong 1 missed,
        # consolidation and fracture missed.
        "findings/micro_f1": 2 * 4 / (2 * 4 + 1 + 3),
        "findings/micro_f1_without_no_finding": 2 * 3 / (2 * 3 + 2),
        "findings/macro_f1": (1 + 1 + 0.5 + 0 + 0) / 5,
        "findings/macro_f1_without_no_finding": (1 + 1 + 0 + 0) / 4,
        "findings/pleural_effusion/f1": 1.0,
        "findings/no_finding/precision": 0.5,
        "findings/consolidation/recall": 0.0,
        "findings/abnormal_sensitivity": 2 / 3,
        "findings/abnormal_specificity": 1 / 2,
    }
    assert {key: scores[key] for key in expected} == pytest.approx(expected)


def test_scores_of_single_studies_by_hand():
    classes, facts = study_f1(HYPOTHESES, REFERENCES)
    # The last finds the effusion, not the fracture; the second is normal, but for a possible nodule
    # of which nothing is certain: no class at all.
    assert classes == pytest.approx([1, 0, 0, 1, 2 / 3])
    assert facts == pytest.approx([1 / 2, 1, 0, 1, 2 / 3])
    for number, pair in enumerate(zip(HYPOTHESES, REFERENCES, strict=True)):
        one = finding_scores(pair[:1], pair[1:])["findings/micro_f1"]
        assert classes[number] == pytest.approx(one)


def test_where_nothing_is_to_find_and_nothing_is_found_studies_agree():
    # A tortuous aorta is a finding, and none of the 14 classes.
    classes, facts = study_f1(["Tortuous aorta."] * 2, ["Tortuous aorta.", "Cardiomegaly."])
    assert classes.tolist() == [1, 0]
    assert facts.tolist() == [1, 0]


def test_a_blank_hypothesis_is_neither_normal_nor_abnormal():
    scores = finding_scores(["", ""], ["The lungs are clear.", "Cardiomegaly."])
    assert scores["findings/abnormal_sensitivity"] == 0
    assert scores["findings/abnormal_specificity"] == 0


def test_identity_scores_one():
    scores = finding_scores(REFERENCES, REFERENCES)
    assert scores["findings/micro_f1"] == scores["findings/macro_f1"] == 1
    assert scores["findings/abnormal_sensitivity"] == 1
    assert set(fact_scores(REFERENCES, REFERENCES).values()) == {1.0}


def test_order_of_studies_changes_nothing():
    swapped = finding_scores(HYPOTHESES[::-1], REFERENCES[::-1])
    assert swapped == pytest.approx(finding_scores(HYPOTHESES, REFERENCES))


def test_studies_resample_like_the_corpora_they_make():
    chosen = [0, 0, 2, 4, 4]
    texts = [HYPOTHESES[index] for index in chosen], [REFERENCES[index] for index in chosen]
    for rows, whole in ((finding_study_scores, finding_scores), (fact_study_scores, fact_scores)):
        family = rows(HYPOTHESES, REFERENCES)
        assert family.corpus(chosen) == pytest.approx(whole(*texts))
        weights = np.bincount(chosen, minlength=5)[None] / 5
        assert family.resampled(weights)[0] == pytest.approx(list(whole(*texts).values()))


def test_counts_part_every_study_and_class():
    rows = finding_study_scores(HYPOTHESES, REFERENCES).rows
    counts = rows[:, : 3 * len(CHEXPERT_CLASSES)].reshape(5, -1, 3).transpose(2, 0, 1)
    found, truth = positives(label_reports(HYPOTHESES)), positives(label_reports(REFERENCES))
    assert np.array_equal(counts[0] + counts[1], found)
    assert np.array_equal(counts[0] + counts[2], truth)


def test_no_studies_score_zero():
    assert finding_scores([], []) == dict.fromkeys(FINDING_KEYS, 0.0)
    assert fact_scores([], []) == dict.fromkeys(FACT_KEYS, 0.0)


@pytest.mark.parametrize("score", [finding_scores, fact_scores])
def test_lists_of_different_length_are_refused(score):
    with pytest.raises(DataError, match="one hypothesis for each reference"):
        score(["a"], ["a", "b"])
