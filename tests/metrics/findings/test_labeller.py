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
    named_findings,
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
    ("Normal heart size and tortuous aorta.", {"Cardiomegaly": A, "No Finding": A}),
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

# What reads like a negation and is none, and states that are another noun's than the heart's.

NO_NEGATION = [
    ("Edema has failed to clear.", {"Edema": P}),
    ("Consolidation has almost completely resolved.", {"Consolidation": P}),
    ("A small pneumothorax would be difficult to exclude.", {"Pneumothorax": U}),
    ("Exclusion of pneumothorax is not possible.", {"Pneumothorax": U}),
    ("The heart is surrounded by enlarged lymph nodes.", {"Cardiomegaly": N}),
    ("Heart silhouette is hidden by a large pleural effusion.", {"Cardiomegaly": N}),
    ("The cardiac silhouette is not visible owing to a large left effusion.", {"Cardiomegaly": N}),
    ("Cardiac border is silhouetted by increased right middle lobe opacity.", {"Cardiomegaly": N}),
    ("Heart size is exaggerated by large body habitus.", {"Cardiomegaly": N}),
    ("The heart and an enlarged thoracic aorta are seen.", {"Cardiomegaly": N}),
    ("The left pneumothorax has not yet resolved.", {"Pneumothorax": P}),
    ("The effusion has not completely resolved.", {"Pleural Effusion": P}),
    ("Effusions have not cleared.", {"Pleural Effusion": P}),
    ("The pneumothorax is not resolved.", {"Pneumothorax": P}),
    ("Pneumothorax has nearly resolved.", {"Pneumothorax": P}),
    ("Incomplete clearing of the edema.", {"Edema": P}),
    ("No significant decrease in the left effusion.", {"Pleural Effusion": P}),
    ("No interval improvement in pulmonary edema.", {"Edema": P}),
    ("No evidence of improvement of the edema.", {"Edema": P}),
    ("No resolution of the pneumothorax.", {"Pneumothorax": P}),
    ("No interval enlargement of the effusion.", {"Pleural Effusion": P}),
    ("There is no reduction in the size of the pneumothorax.", {"Pneumothorax": P}),
    ("The consolidation has not improved.", {"Consolidation": P}),
    ("Without improvement in the consolidation.", {"Consolidation": P}),
    ("The endotracheal tube has not been removed.", {"Support Devices": P}),
    ("Pneumothorax cannot be entirely excluded.", {"Pneumothorax": U}),
    ("Pneumonia cannot be ruled out.", {"Pneumonia": U}),
    ("Pneumonia has not been excluded.", {"Pneumonia": U}),
    ("We cannot rule out pneumonia.", {"Pneumonia": U}),
    ("Unable to exclude a small pneumothorax.", {"Pneumothorax": U}),
    ("A small effusion is not excluded.", {"Pleural Effusion": U}),
    ("It is impossible to exclude pneumonia.", {"Pneumonia": U}),
    ("This does not exclude pneumonia.", {"Pneumonia": U}),
    ("Difficult to completely exclude an effusion.", {"Pleural Effusion": U}),
    ("Pneumothorax has been excluded.", {"Pneumothorax": A}),
    ("The effusion has resolved.", {"Pleural Effusion": A}),
    ("The effusion has completely resolved.", {"Pleural Effusion": A}),
    ("The right lung is clear and the left lung has an effusion.", {"Pleural Effusion": P}),
    ("No effusion on the right and the left lung has a nodule.", {"Lung Lesion": P}),
    ("No consolidation on the right and the left lung demonstrates a mass.", {"Lung Lesion": P}),
    ("Lungs are clear and there is a small effusion.", {"Pleural Effusion": P}),
    ("Left lung is clear while the right shows opacity.", {"Lung Opacity": P}),
    ("The lungs do not show consolidation.", {"Consolidation": A}),
    ("The lungs show no consolidation.", {"Consolidation": A}),
    ("Heart is obscured by large hiatal hernia.", {"Cardiomegaly": N}),
    ("The heart border is obscured by increased density.", {"Cardiomegaly": N}),
    ("Heart size is difficult to evaluate due to large right effusion.", {"Cardiomegaly": N}),
    ("The heart is displaced by a large left pneumothorax.", {"Cardiomegaly": N}),
    ("The heart is shifted to the right by a large left effusion.", {"Cardiomegaly": N}),
    ("Heart size is normal with prominent hila.", {"Cardiomegaly": A}),
    ("Normal heart size with prominent pulmonary vasculature.", {"Cardiomegaly": A}),
    ("Cardiac silhouette is normal with increased interstitial markings.", {"Cardiomegaly": A}),
    ("Heart size is stable with a large effusion.", {"Cardiomegaly": N}),
    ("The heart is not well seen because of a large effusion.", {"Cardiomegaly": N}),
    ("Cardiac size is obscured by increased bibasilar opacities.", {"Cardiomegaly": N}),
    ("The heart is enlarged with a large effusion.", {"Cardiomegaly": P}),
    ("The cardiac silhouette is mildly enlarged.", {"Cardiomegaly": P}),
    ("Heart and mediastinum are enlarged.", {"Cardiomegaly": P}),
    ("The heart is large.", {"Cardiomegaly": P}),
    (
        "Heart size is at the upper limits of normal with enlarged hilar lymph nodes.",
        {"Cardiomegaly": A},
    ),
    ("Normal heart. Enlarged pulmonary artery.", {"Cardiomegaly": A}),
    ("Cardiac silhouette partially obscured by prominent fat pad.", {"Cardiomegaly": N}),
    (
        "Heart size cannot be evaluated given low lung volumes and large effusion.",
        {"Cardiomegaly": N},
    ),
    ("Prominent aorta with normal heart.", {"Cardiomegaly": A}),
    ("Heart size normal and aorta enlarged.", {"Cardiomegaly": A}),
    ("No change in cardiomegaly.", {"Cardiomegaly": P}),
    ("No new consolidation.", {"Consolidation": A}),
    ("The heart is not enlarged.", {"Cardiomegaly": A}),
    ("Increase in heart size.", {"Cardiomegaly": P}),
    ("No pneumothorax on the left and the right lung has a consolidation.", {"Consolidation": P}),
    ("Unresolved pneumothorax.", {"Pneumothorax": P}),
    ("No longer any pneumothorax.", {"Pneumothorax": A}),
    ("Effusion is not decreased.", {"Pleural Effusion": P}),
    ("Not significantly decreased left effusion.", {"Pleural Effusion": P}),
    ("No substantial change of the small effusion.", {"Pleural Effusion": P}),
    ("No significant residual pneumothorax.", {"Pneumothorax": A}),
    ("Left lower lobe consolidation is no longer seen.", {"Consolidation": A}),
]

# Where a clause ends, and what structured reports answer. Cleaning takes these marks away.

CLAUSES = [
    ("NO PNEUMOTHORAX\nSMALL LEFT EFFUSION", {"Pleural Effusion": P}),
    ("Right lung is clear. Left lung: consolidation.", {"Consolidation": P}),
    ("Pneumothorax: NO; Effusion: YES", {"Pleural Effusion": P, "Pneumothorax": A}),
    ("Pneumothorax: No pneumothorax.", {"Pneumothorax": A}),
    ("Pneumothorax = none", {"Pneumothorax": A}),
    ("Pneumothorax: 0", {"Pneumothorax": A}),
    ("Fractures: denied", {"Fracture": A}),
    ("Heart: not enlarged.", {"Cardiomegaly": A}),
    (
        "No pneumothorax, cannot exclude a small effusion.",
        {"Pleural Effusion": U, "Pneumothorax": A},
    ),
    ("No pneumothorax; no effusion; mild cardiomegaly.", {"Cardiomegaly": P}),
    ("no pneumothorax\nsmall left effusion", {"Pleural Effusion": P}),
    ("- No pneumothorax\n- Small left effusion", {"Pleural Effusion": P}),
    ("1. No pneumothorax\n2. Small left effusion", {"Pleural Effusion": P}),
    (
        "There is no focal consolidation, large pleural effusion, or overt\npneumothorax.",
        {"Pneumothorax": A},
    ),
    (
        "There is no evidence of focal consolidation, pleural effusion\nor pneumothorax.",
        {"Pneumothorax": A},
    ),
    ("No evidence of\npneumothorax.", {"Pneumothorax": A}),
    (
        "There is no focal consolidation, pleural effusion or edema, and\nno pneumothorax.",
        {"Pneumothorax": A},
    ),
    ("The right lung is clear, left base consolidation.", {"Consolidation": P}),
    ("Pleural effusion: none", {"Pleural Effusion": A}),
    ("Pneumothorax: No", {"Pneumothorax": A}),
    ("Pneumothorax: absent.", {"Pneumothorax": A}),
    ("Pneumothorax: negative.", {"Pneumothorax": A}),
    ("Consolidation: not present.", {"Consolidation": A}),
    ("Edema: none seen.", {"Edema": A}),
    ("Pneumothorax: present.", {"Pneumothorax": P}),
    ("Pneumothorax: small, left apical.", {"Pneumothorax": P}),
    ("Pneumothorax: none. Effusion: small left.", {"Pleural Effusion": P}),
    ("Pneumothorax: none, effusion: small left.", {"Pleural Effusion": P}),
    (
        "Pneumothorax: none\nEffusion: small left\nHeart: normal",
        {"Pleural Effusion": P, "Cardiomegaly": A},
    ),
    ("Pneumothorax: none\nEffusion: small left\nHeart: enlarged", {"Cardiomegaly": P}),
    ("Pleural effusion: No evidence.", {"Pleural Effusion": A}),
    ("Pneumothorax: possible.", {"Pneumothorax": U}),
    ("Pneumothorax - none", {"Pneumothorax": A}),
    ("Fracture: none", {"Fracture": A}),
    ("PNEUMOTHORAX: NONE.", {"Pneumothorax": A}),
    ("Pleura: No effusion.", {"Pleural Effusion": A}),
    ("Heart size: normal.", {"Cardiomegaly": A}),
    ("Cardiomegaly: yes", {"Cardiomegaly": P}),
    ("The heart remains enlarged, increased opacity at the base.", {"Cardiomegaly": P}),
    ("Cardiomegaly has not changed, no effusion.", {"Pleural Effusion": A}),
    ("No acute fracture; degenerative changes.", {"Fracture": A}),
    ("No pneumothorax is seen, and the right lung contains a nodule.", {"Lung Lesion": P}),
    ("Pneumothorax not resolved; effusion resolved.", {"Pleural Effusion": A, "Pneumothorax": P}),
    ("No decrease of pneumothorax, no effusion.", {"Pleural Effusion": A}),
    ("No evidence of pneumonia, the left lung has atelectasis.", {"Atelectasis": P}),
    ("Clear right lung; left lung with consolidation.", {"Consolidation": P}),
    ("Clear lungs, small effusion.", {"Pleural Effusion": P}),
    ("Small effusion, lungs otherwise clear.", {"Pleural Effusion": P}),
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


@pytest.mark.parametrize(("sentence", "expected"), SCOPE + NO_NEGATION + CLAUSES)
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
    | {sentence for sentence, _ in SCOPE + NO_NEGATION}
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


@pytest.mark.parametrize("end", [";", "\n", " \n\n", ".\n"])
@settings(deadline=None, max_examples=25)
@given(report=REPORTS)
def test_semicolons_and_lines_end_sentences_as_full_stops_do(end, report):
    labels = label_report(" ".join(report))
    assert label_report(end.join(one.rstrip(".") for one in report)) == labels


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
    text = " ".join(text.replace(";", ".").split())  # cleaning keeps full stops alone
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


@pytest.mark.parametrize(("sentence", "labels"), FACTS)
def test_findings_are_named_alone_and_with_each_attribute(sentence: str, labels: str) -> None:
    parts = [label.split("|") for label in labels.split()]
    expected = {finding for finding, *_ in parts}
    expected |= {f"{finding}|{word}" for finding, *said in parts for word in said}
    assert named_findings(sentence) == expected


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
        ("no right effusion ; small left effusion .", ["effusion"]),
        ("the lungs are clear .", []),
        ("", []),
    ],
)  # fmt: skip
def test_words_of_any_text_that_name_a_finding(text: str, named: list[str]) -> None:
    words = text.split()
    assert [words[place] for place in finding_words(words)] == named
