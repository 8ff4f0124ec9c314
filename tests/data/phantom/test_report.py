from __future__ import annotations

import re
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xray_report.data.phantom.cases import ALL_FACTS, KINDS, REPORT, sample_plan, stream
from xray_report.data.phantom.report import NORMAL, all_sentences, phrasings, write_report
from xray_report.text.facts import Fact


def cleaned(text: str) -> str:
    """What the hardest cleaner leaves."""
    words = re.sub(r"[^a-z. ]", " ", text.lower()).replace(".", " . ").split()
    return " ".join(word for word in words if len(word) > 2 or word in ("no", "."))


FACTS_OF = {cleaned(sentence): facts for sentence, facts in all_sentences()}


def read(report: str) -> set[Fact]:
    sentences = [f"{part.strip()} ." for part in cleaned(report).split(".") if part.strip()]
    return {fact for sentence in sentences for fact in FACTS_OF[sentence]}


def test_no_cleaned_sentence_states_two_different_sets_of_facts() -> None:
    meanings = defaultdict(set)
    for sentence, facts in all_sentences():
        meanings[cleaned(sentence)].add(facts)
    assert all(len(facts) == 1 for facts in meanings.values())


@pytest.mark.parametrize("fact", ALL_FACTS, ids=lambda fact: fact.label)
def test_every_fact_has_three_phrasings_that_name_its_parts(fact: Fact) -> None:
    sentences = {cleaned(sentence) for sentence in phrasings(fact)}
    assert len(sentences) >= 3
    for sentence in sentences:
        assert fact.side in sentence
        if KINDS[fact.finding].zones:
            assert {"upper": "upper", "mid": "mid", "lower": "lower|base"}[fact.zone].split("|")
            assert re.search({"lower": "lower|base"}.get(fact.zone, fact.zone), sentence)


def test_sentences_are_plain_english_with_a_capital_and_a_stop() -> None:
    for sentence, _ in all_sentences():
        assert re.fullmatch(r"[A-Z][A-Za-z ]+\.", sentence), sentence


@settings(max_examples=150, deadline=None)
@given(st.sets(st.sampled_from(ALL_FACTS), max_size=4), st.integers(0, 2**32))
def test_a_report_states_exactly_its_facts(facts: set[Fact], seed: int) -> None:
    by_kind = {fact.finding: fact for fact in facts}
    chosen = tuple(by_kind.values())
    assert read(write_report(chosen, np.random.default_rng(seed))) == set(chosen)


def test_both_sides_are_told_together() -> None:
    facts = tuple(Fact("pleural_effusion", side, "", "small") for side in ("left", "right"))
    for seed in range(20):
        report = write_report(facts, np.random.default_rng(seed))
        assert "bilateral" in report.lower()
        assert read(report) == set(facts)


def test_nothing_abnormal_is_called_normal() -> None:
    statements = {cleaned(s): topic for topic in NORMAL.values() for s in topic.statements}
    for index in range(300):
        facts = sample_plan(1, index).facts
        found = {fact.finding for fact in facts}
        report = write_report(facts, stream(1, index, REPORT))
        for part in cleaned(report).split(" ."):
            topic = statements.get(f"{part.strip()} .")
            assert topic is None or not (topic.unless & found)


def test_length_vocabulary_and_variety_are_those_of_real_findings_sections() -> None:
    reports = [
        cleaned(write_report(sample_plan(0, index).facts, stream(0, index, REPORT)))
        for index in range(600)
    ]
    lengths = [len(report.split()) for report in reports]
    # IU X-ray (Kaggle's FINDINGS, cleaned): 31.8 words a report, 76 % of the reports distinct.
    assert 27 <= np.mean(lengths) <= 40
    assert max(lengths) <= 80
    assert 190 <= len({word for report in reports for word in report.split()}) <= 400
    assert 0.75 < len(set(reports)) / len(reports) < 0.95
