"""What sentences say of classes and facts: hand-made tables, and laws over random reports."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xray_report.metrics.findings.labeller import (
    Labels,
    finding_words,
    label_report,
    label_reports,
    read_facts,
)
from xray_report.metrics.findings.lexicon import FACT_ATTRIBUTES
from xray_report.metrics.findings.negation import Assertion
from xray_report.metrics.findings.phrases import cleaned_sentences
from xray_report.text.cleaning import Cleaner
from xray_report.text.facts import CHEXPERT_CLASSES, IMPLIED_CLASS, Fact

P, A, U, N = Assertion.PRESENT, Assertion.ABSENT, Assertion.UNCERTAIN, Assertion.UNMENTIONED

PRESENT_ABSENT_UNCERTAIN = {
    "Enlarged Cardiomediastinum": (
        "The superior mediastinum is widened.",
        "There is no mediastinal widening.",
        "Possible mediastinal widening.",
    ),
    "Cardiomegaly": (
        "The cardiac silhouette is mildly enlarged.",
        "Heart size is normal.",
        "The heart may be enlarged.",
    ),
    "Lung Opacity": (
        "Patchy airspace disease in the left lower lobe.",
        "The lungs are clear of focal airspace disease.",
        "Questionable opacity in the right base.",
    ),
    "Lung Lesion": (
        "A 1.4 cm nodule projects over the right apex.",
        "No suspicious pulmonary nodules or masses.",
        "A mass cannot be excluded.",
    ),
    "Edema": (
        "Pulmonary vascular congestion is present.",
        "No typical findings of pulmonary edema.",
        "Findings suggest interstitial edema.",
    ),
    "Consolidation": (
        "There is dense consolidation in the lingula.",
        "Negative for focal consolidation.",
        "Cannot exclude an early consolidation.",
    ),
    "Pneumonia": (
        "Left lower lobe pneumonia.",
        "No evidence of acute pneumonia.",
        "This could represent pneumonia.",
    ),
    "Atelectasis": (
        "Bibasilar atelectasis.",
        "Lungs are expanded without atelectasis.",
        "Opacity which may represent atelectasis.",
    ),
    "Pneumothorax": (
        "Small right apical pneumothorax.",
        "Pneumothorax is not seen.",
        "A tiny pneumothorax is possible.",
    ),
    "Pleural Effusion": (
        "Fluid within the left pleural space.",
        "There are no pleural effusions.",
        "Possible small effusions.",
    ),
    "Pleural Other": (
        "Biapical pleural thickening.",
        "No pleural thickening.",
        "Questionable right pleural thickening.",
    ),
    "Fracture": (
        "Old healed left rib fractures.",
        "No displaced rib fracture is identified.",
        "Suspected fracture of the right clavicle.",
    ),
    "Support Devices": (
        "Right internal jugular catheter with its tip in the SVC.",
        "The endotracheal tube has been removed.",
        "Possible tubing over the abdomen.",
    ),
}

SCOPE = [
    ("No effusion but cardiomegaly is present.", {"Pleural Effusion": A, "Cardiomegaly": P}),
    ("Heart size is normal without effusion.", {"Cardiomegaly": A, "Pleural Effusion": A}),
    ("Cardiomegaly without pulmonary edema.", {"Cardiomegaly": P, "Edema": A}),
    ("No pneumothorax, the heart is enlarged.", {"Pneumothorax": A, "Cardiomegaly": P}),
    ("No consolidation, effusion or pneumothorax.", {"Consolidation": A, "Pneumothorax": A}),
    ("No evidence of acute infiltrate or edema.", {"Lung Opacity": A, "Edema": A}),
    ("No focal consolidation to suggest pneumonia.", {"Consolidation": A, "Pneumonia": A}),
    ("Without change in the left effusion.", {"Pleural Effusion": P}),
    ("No significant interval change in the left effusion.", {"Pleural Effusion": P}),
    ("No increase in the right pneumothorax.", {"Pneumothorax": P}),
    ("The left effusion has resolved.", {"Pleural Effusion": A}),
    ("Interval resolution of the right pneumothorax.", {"Pneumothorax": A}),
    ("Resolved interstitial edema.", {"Edema": A}),
    ("The effusion is no longer seen.", {"Pleural Effusion": A}),
    ("Scarring rather than infiltrate.", {"Lung Opacity": P}),
    ("Atelectasis rather than consolidation.", {"Atelectasis": P, "Consolidation": A}),
    ("Pneumonia cannot be excluded.", {"Pneumonia": U}),
    ("Pneumonia is not excluded.", {"Pneumonia": U}),
    ("Pneumonia has been excluded.", {"Pneumonia": A}),
    ("Atelectasis versus pneumonia.", {"Atelectasis": U, "Pneumonia": U}),
    ("Probable small effusion, likely atelectasis.", {"Pleural Effusion": P, "Atelectasis": P}),
    ("No definite pleural effusion.", {"Pleural Effusion": A}),
    ("The heart is not enlarged.", {"Cardiomegaly": A}),
    ("The heart and mediastinum are normal.", {"Cardiomegaly": A, "Lung Opacity": N}),
    ("The heart size is within normal limits.", {"Cardiomegaly": A}),
    ("Normal heart size and tortuous aorta.", {"Cardiomegaly": N, "No Finding": A}),
    ("Lungs are clear with calcified granulomas.", {"Lung Lesion": P}),
    ("Small pericardial effusion.", {"Pleural Effusion": N, "No Finding": A}),
    ("Soft tissue edema of the ankle.", {"Edema": N}),
    ("Evaluation for pneumothorax is limited.", {"Pneumothorax": N}),
    ("Please correlate clinically for pneumonia.", {"Pneumonia": N}),
    ("Large hydropneumothorax.", {"Pneumothorax": P, "Pleural Effusion": P}),
    ("Bandlike opacity consistent with atelectasis.", {"Lung Opacity": N, "Atelectasis": P}),
    ("Opacity consistent with pneumonia.", {"Lung Opacity": P, "Pneumonia": P}),
    ("XXXX sternotomy XXXX.", {"Support Devices": N, "No Finding": P}),
    ("Sternotomy wires are intact.", {"Support Devices": P, "No Finding": P}),
    ("Solitary nodular opacity.", {"Lung Lesion": P, "Lung Opacity": N}),
    ("Mild cardiomegaly. No cardiomegaly.", {"Cardiomegaly": P}),
    ("Possible effusion. No effusion.", {"Pleural Effusion": U}),
]

NORMAL = [
    "Normal chest x-XXXX.",
    "The lungs are clear. No pleural effusion or pneumothorax.",
    "Right chest port with tip in the SVC. Lungs are clear.",
    "1. No acute cardiopulmonary process.",
]
ABNORMAL = [
    "Degenerative changes of the thoracic spine.",
    "Mild scoliosis.",
    "Calcified hilar lymph nodes.",
    "Elevated right hemidiaphragm.",
    "Possible nodule.",
    "Hyperexpanded lungs.",
]


@pytest.mark.parametrize("name", PRESENT_ABSENT_UNCERTAIN)
@pytest.mark.parametrize(("place", "assertion"), [(0, P), (1, A), (2, U)])
def test_each_class(name, place, assertion):
    sentence = PRESENT_ABSENT_UNCERTAIN[name][place]
    assert label_report(sentence)[name] is assertion
    assert label_report(sentence)["No Finding"] is (
        P if assertion is A or name == "Support Devices" else A
    )


@pytest.mark.parametrize(("sentence", "expected"), SCOPE)
def test_scope_of_cues(sentence, expected):
    labels = label_report(sentence)
    assert {name: labels[name] for name in expected} == expected


@pytest.mark.parametrize("text", NORMAL)
def test_normal(text):
    assert label_report(text)["No Finding"] is P


@pytest.mark.parametrize("text", ABNORMAL)
def test_abnormal_outside_the_classes_too(text):
    assert label_report(text)["No Finding"] is A


@pytest.mark.parametrize("text", ["", "  \n", "XXXX XXXX.", "1. 2."])
def test_a_blank_report_says_nothing(text):
    assert set(label_report(text).values()) == {N}


def test_labels_are_a_frozen_mapping_in_chexperts_order():
    labels = label_report("Small left effusion.")
    assert tuple(labels) == CHEXPERT_CLASSES
    assert labels == Labels(labels.assertions)
    assert len({labels, label_report("small left effusion")}) == 1
    with pytest.raises(AttributeError):
        labels.assertions = ()
    with pytest.raises(KeyError):
        labels["Goitre"]


SENTENCES = sorted(
    {sentence for row in PRESENT_ABSENT_UNCERTAIN.values() for sentence in row}
    | {sentence for sentence, _ in SCOPE}
)
REPORTS = st.lists(st.sampled_from(SENTENCES), max_size=6)


@settings(deadline=None)
@given(REPORTS, st.randoms())
def test_order_case_and_white_space_do_not_matter(report, random):
    labels = label_report(" ".join(report))
    random.shuffle(report)
    assert label_report("\n \t".join(report)) == labels
    assert label_report(" ".join(report).upper()) == labels


@settings(deadline=None)
@given(REPORTS)
def test_cleaned_text_has_the_labels_of_raw_text(report):
    text = " ".join(report)
    assert label_report(Cleaner()(text)) == label_report(text)


@settings(deadline=None)
@given(REPORTS)
def test_a_report_says_of_a_class_the_strongest_of_its_sentences(report):
    labels = label_report(" ".join(report))
    parts = label_reports(report)
    for name in CHEXPERT_CLASSES[1:]:
        said = [part[name] for part in parts]
        assert labels[name] is next((one for one in (P, U, A) if one in said), N)


@settings(deadline=None)
@given(st.text(max_size=80) | st.text("ab .,-:()5X", max_size=30))
def test_any_text_is_read_as_its_cleaned_form(text):
    assert cleaned_sentences(text) == cleaned_sentences(Cleaner()(text))
    assert len(label_report(text)) == len(CHEXPERT_CLASSES)


# Facts: which words of a sentence name the side, zone and size of which finding.

FACTS = [
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


@pytest.mark.parametrize(("sentence", "labels"), FACTS)
def test_facts_of_a_sentence(sentence, labels):
    assert {fact.label for fact in read_facts(sentence)} == set(labels.split())


def test_a_finding_is_one_fact_a_report_however_often_it_is_said():
    said = "Small left effusion. There is a small left pleural effusion."
    assert read_facts(said) == {Fact("pleural_effusion", "left", "", "small")}


def test_every_finding_of_the_inventory_can_be_a_fact():
    assert set(IMPLIED_CLASS) <= set(FACT_ATTRIBUTES)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("small right pleural effusion . no pneumothorax .", ["effusion"]),
        ("There is a small , 2.5 cm , right pleural effusion . No mass or pneumothorax .",
         ["effusion"]),
        ("( 1 ) Left-sided pneumothorax . The heart is mildly enlarged .",
         ["pneumothorax", "enlarged"]),
        ("the lungs are clear .", []),
        ("", []),
    ],
)  # fmt: skip
def test_words_of_any_text_that_name_a_finding(text: str, named: list[str]) -> None:
    words = text.split()
    assert [words[place] for place in finding_words(words)] == named
