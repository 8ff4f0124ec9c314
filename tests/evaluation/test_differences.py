from __future__ import annotations

from xray_report.evaluation.differences import differences, findings_in, in_words, sentences
from xray_report.text.facts import Fact

TRUTH = "Large right pleural effusion. Heart size normal."


def test_identical_reports_hold_no_mistake() -> None:
    found = differences(TRUTH, TRUTH)
    assert found.mistakes == 0
    assert found.agreed == (Fact("pleural_effusion", "right", "", "large"),)


def test_missed_and_invented_findings_are_one_mistake_each() -> None:
    assert differences(TRUTH, "Lungs are clear.").mistakes == 1
    assert differences("Lungs are clear.", TRUTH).invented == differences(TRUTH, "").missed
    assert differences(TRUTH, "Small left pneumothorax.").mistakes == 2


def test_another_size_is_one_mistake_not_two() -> None:
    found = differences(TRUTH, "Small right pleural effusion.")
    assert found.mistakes == 1
    assert found.missed == found.invented == ()
    ((truth, told),) = found.altered
    assert (truth.size, told.size) == ("large", "small")


def test_alterations_pair_the_closest_findings() -> None:
    found = differences(
        "Large right effusion. Small left effusion.", "Small right effusion. Large left effusion."
    )
    assert found.mistakes == 2
    assert {pair.truth.side == pair.told.side for pair in found.altered} == {True}


def test_one_altered_finding_does_not_hide_a_second_miss() -> None:
    found = differences("Bilateral moderate effusions.", "Large right effusion.")
    assert len(found.altered) == len(found.missed) == 1
    assert found.altered[0].truth.side == "right"


def test_classes_that_no_fact_stands_for_are_findings_too() -> None:
    assert findings_in("Right lower lobe pneumonia. Cardiomegaly.") >= {
        Fact("pneumonia"),
        Fact("cardiomegaly"),
    }
    assert findings_in("Lungs are clear. No effusion.") == frozenset()


def test_sentences_stand_as_they_were_written() -> None:
    assert sentences("A 1.5 cm nodule. Clear?  Yes.") == ["A 1.5 cm nodule.", "Clear?", "Yes."]
    assert sentences(" ") == []


def test_a_fact_in_words() -> None:
    assert in_words(Fact("pleural_effusion", "right", "", "small")) == (
        "small right pleural effusion"
    )
