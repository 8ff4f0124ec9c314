"""The rule tables and the small engine under them."""

from __future__ import annotations

import pytest

from xray_report.metrics.findings.lexicon import (
    CLASSES_OF,
    FINDING_TERMS,
    PART_IN_STATE,
    PARTS,
    SIDE_TERMS,
    SIZE_TERMS,
    STATES,
    STATES_ALONE,
    TOLD_BY,
    ZONE_TERMS,
)
from xray_report.metrics.findings.phrases import (
    BOOK,
    Mark,
    PhraseBook,
    Role,
    normal_form,
    sentences,
    words_of,
)
from xray_report.text.facts import CHEXPERT_CLASSES


@pytest.mark.parametrize(
    ("word", "form"),
    [
        ("effusions", "effusion"),
        ("opacities", "opacity"),
        ("nodular", "nodule"),
        ("pneumothoraces", "pneumothorax"),
        ("pneumonitis", "pneumonitis"),
        ("granulomatous", "granulomatous"),
        ("masses", "mass"),
        ("massive", "massive"),
        ("wires", "wire"),
        ("thoracic", "thorax"),
        ("enlargement", "enlargement"),
        ("enlarged", "enlarged"),
        ("pus", "pus"),
    ],
)
def test_normal_form(word, form):
    assert normal_form(word) == form


def test_normal_forms_are_fixed_points_where_rules_meet_them():
    terms = {*SIDE_TERMS, *ZONE_TERMS, *SIZE_TERMS}
    assert {term for term in terms if normal_form(term) != term} == set()


def test_sentences_of_raw_and_of_cleaned_text():
    raw = "1. A 1.5 cm nodule, XXXX.\n2. No effusion.  Dr. XXXX"
    assert sentences(raw) == ["nodule", "no effusion"]
    assert words_of("no effusions") == ["no", "effusion"]


def test_the_longest_phrase_is_found():
    book = PhraseBook([("a", "R", 1), ("a b ?c", "R", 2), ("b|c d", "R", 3)])
    assert book.marks(["a", "b", "d"]) == [Mark(0, 2, "R", 2)]
    assert book.marks(["a", "b", "c", "d"]) == [Mark(0, 3, "R", 2)]
    assert book.marks(["a", "x", "c", "d"]) == [Mark(0, 1, "R", 1), Mark(2, 4, "R", 3)]
    assert book.marks(["b"]) == []


def test_the_book_knows_negations_that_are_none():
    roles = [mark.role for mark in BOOK.marks(["no", "significant", "change"])]
    assert roles == [Role.NOTHING]


def test_tables_name_only_what_there_is():
    assert set(CLASSES_OF) <= {*FINDING_TERMS, "device", "mass"} | set(TOLD_BY)
    assert {name for names in CLASSES_OF.values() for name in names} == set(CHEXPERT_CLASSES[1:])
    assert {part for part, _ in PART_IN_STATE} == set(PARTS)
    assert {state for _, state in PART_IN_STATE} == set(STATES)
    assert set(STATES_ALONE) <= set(STATES)
    said = {finding for finding, _ in PART_IN_STATE.values()} | set(FINDING_TERMS)
    assert set(TOLD_BY) <= said
