from __future__ import annotations

from xray_report.evaluation.differences import compare_findings, denies, findings_in, in_words
from xray_report.text.cleaning import split_sentences
from xray_report.text.facts import Fact

TRUTH = "Large right pleural effusion. Heart size normal."


def test_identical_reports_hold_no_mistake() -> None:
    found = compare_findings(TRUTH, TRUTH)
    assert found.mistakes == 0
    assert found.agreed == (Fact("pleural_effusion", "right", "", "large"),)


def test_missed_and_invented_findings_are_one_mistake_each() -> None:
    assert compare_findings(TRUTH, "Lungs are clear.").mistakes == 1
    assert (
        compare_findings("Lungs are clear.", TRUTH).invented == compare_findings(TRUTH, "").missed
    )
    assert compare_findings(TRUTH, "Small left pneumothorax.").mistakes == 2


def test_another_size_is_one_mistake_not_two() -> None:
    found = compare_findings(TRUTH, "Small right pleural effusion.")
    assert found.mistakes == 1
    assert found.missed == found.invented == ()
    ((truth, other),) = found.altered
    assert (truth.size, other.size) == ("large", "small")


def test_alterations_pair_the_closest_findings() -> None:
    found = compare_findings(
        "Large right effusion. Small left effusion.", "Small right effusion. Large left effusion."
    )
    assert found.mistakes == 2
    assert {pair.reference.side == pair.hypothesis.side for pair in found.altered} == {True}


def test_one_altered_finding_does_not_hide_a_second_miss() -> None:
    found = compare_findings("Bilateral moderate effusions.", "Large right effusion.")
    assert len(found.altered) == len(found.missed) == 1
    assert found.altered[0].reference.side == "right"


def test_classes_that_no_fact_stands_for_are_findings_too() -> None:
    assert findings_in("Right lower lobe pneumonia. Cardiomegaly.") >= {
        Fact("pneumonia"),
        Fact("cardiomegaly"),
    }
    assert findings_in("Lungs are clear. No effusion.") == frozenset()


def test_sentences_stand_as_they_were_written() -> None:
    assert split_sentences("A 1.5 cm nodule. Clear?  Yes.") == [
        "A 1.5 cm nodule.",
        "Clear?",
        "Yes.",
    ]
    assert split_sentences(" ") == []


def test_a_fact_in_words() -> None:
    assert in_words(Fact("pleural_effusion", "right", "", "small")) == (
        "small right pleural effusion"
    )


def test_a_present_finding_that_the_other_report_denies_is_contradicted() -> None:
    effusion = Fact("pleural_effusion", "right", "", "large")
    found = compare_findings(TRUTH, "No pleural effusion or pneumothorax.")
    assert found.contradicted == found.missed == (effusion,)
    found = compare_findings("Heart size normal.", "Cardiomegaly.")
    assert found.contradicted == found.invented == (Fact("cardiomegaly"),)
    assert compare_findings(TRUTH, "Heart size normal.").contradicted == ()
    assert compare_findings(TRUTH, "Small right pleural effusion.").contradicted == ()


def test_a_denial_holds_for_the_side_and_size_it_names() -> None:
    left = Fact("pleural_effusion", "left", "", "small")
    assert denies("No left pleural effusion.", left)
    assert not denies("No right pleural effusion.", left)
    assert not denies("No large pleural effusion.", left)
    assert not denies("Possible left pleural effusion.", left)
    assert not denies("Small left pleural effusion.", left)
    assert denies("No pneumonia.", Fact("pneumonia"))
