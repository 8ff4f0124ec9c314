"""The labeller is exact on the phantom's language, raw and cleaned."""

from __future__ import annotations

import numpy as np
import pytest

from xray_report.data.phantom.cases import ALL_FACTS
from xray_report.data.phantom.report import all_sentences, write_report
from xray_report.metrics.findings.labeller import label_report, read_facts
from xray_report.metrics.findings.negation import Assertion
from xray_report.text.cleaning import Cleaner
from xray_report.text.facts import Fact, chexpert_classes

CLEAN = Cleaner()


def present(text: str) -> frozenset[str]:
    labels = label_report(text)
    return frozenset(name for name in labels if labels[name] is Assertion.PRESENT)


def uncertain(text: str) -> list[str]:
    labels = label_report(text)
    return [name for name in labels if labels[name] is Assertion.UNCERTAIN]


@pytest.mark.parametrize("form", [str, CLEAN, str.upper], ids=["raw", "cleaned", "capitals"])
def test_every_sentence_of_the_grammar(form):
    for sentence, facts in all_sentences():
        text = form(sentence)
        assert read_facts(text) == frozenset(facts), text
        assert present(text) == chexpert_classes(facts), text
        assert not uncertain(text), text


def random_facts(rng: np.random.Generator) -> list[Fact]:
    chosen = rng.choice(len(ALL_FACTS), size=rng.integers(0, 6), replace=False)
    kinds = {ALL_FACTS[index].finding: ALL_FACTS[index] for index in chosen}
    return list(kinds.values())


@pytest.mark.parametrize("form", [str, CLEAN], ids=["raw", "cleaned"])
def test_whole_reports(form):
    rng = np.random.default_rng(7)
    for _ in range(400):
        facts = random_facts(rng)
        text = form(write_report(facts, rng))
        assert read_facts(text) == frozenset(facts), text
        # A study without facts may have an empty report, which says nothing.
        if text:
            assert present(text) == chexpert_classes(facts), text
