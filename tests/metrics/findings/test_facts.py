"""Which words of a sentence tell the side, zone and size of which finding."""

from __future__ import annotations

import pytest

from xray_report.metrics.findings.labeller import read_facts
from xray_report.metrics.findings.lexicon import TOLD_BY
from xray_report.text.facts import IMPLIED_CLASS, Fact

TABLE = [
    ("Small left pleural effusion.", "pleural_effusion|left|small"),
    ("Tiny left effusion.", "pleural_effusion|left|small"),
    (
        "Moderate bilateral effusions.",
        "pleural_effusion|left|moderate pleural_effusion|right|moderate",
    ),
    (
        "Small left and moderate right effusions.",
        "pleural_effusion|left|small pleural_effusion|right|moderate",
    ),
    (
        "Left effusion and right lower lobe consolidation.",
        "pleural_effusion|left consolidation|right|lower",
    ),
    (
        "Consolidation in the left base with a small right pneumothorax.",
        "consolidation|left|lower pneumothorax|right|small",
    ),
    ("Right upper and lower lobe opacities.", "opacity|right|upper opacity|right|lower"),
    ("Bibasilar opacities.", "opacity|left|lower opacity|right|lower"),
    ("Nodule in the lingula.", "nodule|left"),
    ("No left effusion. Right effusion.", "pleural_effusion|right"),
    ("Possible left pneumothorax.", ""),
    ("The left effusion has resolved.", ""),
    ("Minimal cardiomegaly.", "cardiomegaly|mild"),
    ("Markedly enlarged heart.", "cardiomegaly|severe"),
    ("Enlarged heart.", "cardiomegaly"),
    ("Large mass at the right apex.", "mass|right|upper"),
    ("Streaky opacity in the left base compatible with atelectasis.", "atelectasis|left"),
    ("Heart size upper limits of normal.", ""),
    ("Low lung volumes and a hiatal hernia.", "low_lung_volumes hiatal_hernia"),
    ("", ""),
]


@pytest.mark.parametrize(("sentence", "labels"), TABLE)
def test_facts_of_a_sentence(sentence, labels):
    assert {fact.label for fact in read_facts(sentence)} == set(labels.split())


def test_a_finding_is_one_fact_a_report_however_often_it_is_said():
    said = "Small left effusion. There is a small left pleural effusion."
    assert read_facts(said) == {Fact("pleural_effusion", "left", "", "small")}


def test_every_finding_of_the_inventory_can_be_a_fact():
    assert set(IMPLIED_CLASS) <= set(TOLD_BY)
