"""How well the labeller agrees with the MeSH terms of the Indiana collection.

The studies are parted in two by a fixed hash of their number. The rules were developed on the
`dev` half alone; the `held_out` half says how good they are.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np

from xray_report.metrics.findings.counts import Bools, agreement, positives
from xray_report.metrics.findings.labeller import label_reports
from xray_report.metrics.findings.mesh import classes_of_terms
from xray_report.metrics.findings.scores import precision_recall_f1
from xray_report.text.facts import CHEXPERT_CLASSES

HALVES: Final = ("dev", "held_out")
MIN_SUPPORT: Final = 30
"""Macro F1 is over the classes with at least this many positive studies in the half."""


class AnnotatedReport(NamedTuple):
    """A study's report (findings and impression) and the terms its annotators gave it.

    Args:
        study_id: the publisher's number, such as `"1"`.
        terms: MeSH terms, such as `Opacity/lung/base/left`.
    """

    study_id: str
    text: str
    terms: tuple[str, ...]


class ClassAgreement(NamedTuple):
    """Agreement on one class; support is the number of studies that have it by their terms."""

    precision: float
    recall: float
    f1: float
    support: int


class HalfAgreement(NamedTuple):
    """Agreement on one half of the studies.

    Args:
        studies: annotated studies with a text.
        classes: in CheXpert's order.
        macro_f1: mean F1 of the classes with at least `MIN_SUPPORT` positive studies.
    """

    studies: int
    classes: dict[str, ClassAgreement]
    macro_f1: float


class Validation(NamedTuple):
    """Agreement on each half, and how many reports a second were labelled, each for once."""

    halves: dict[str, HalfAgreement]
    reports_per_second: float


def half_of(study_id: str) -> str:
    """`dev` or `held_out`: by whether the first byte of its SHA-256 is even."""
    return HALVES[sha256(study_id.encode()).digest()[0] % 2]


def validate(reports: Sequence[AnnotatedReport]) -> Validation:
    """Label reports and compare with their terms; studies without terms or text are left out."""
    kept = [(report, classes_of_terms(report.terms)) for report in reports if report.text.strip()]
    known = [(report, classes) for report, classes in kept if classes is not None]
    began = time.process_time()
    labels = label_reports([report.text for report, _ in known])
    seconds = time.process_time() - began
    found = positives(labels)
    truth = np.array(
        [[name in classes for name in CHEXPERT_CLASSES] for _, classes in known], dtype=np.bool_
    ).reshape(found.shape)
    halves = {}
    for half in HALVES:
        rows = np.array([half_of(report.study_id) == half for report, _ in known], dtype=np.bool_)
        halves[half] = _agreement(found[rows], truth[rows])
    return Validation(halves, len(known) / seconds if known else 0.0)


def _agreement(found: Bools, truth: Bools) -> HalfAgreement:
    table = precision_recall_f1(np.moveaxis(agreement(found, truth).sum(axis=1), 0, -1))
    classes = {
        name: ClassAgreement(float(row[0]), float(row[1]), float(row[2]), int(support))
        for name, row, support in zip(CHEXPERT_CLASSES, table, truth.sum(axis=0), strict=True)
    }
    frequent = [row.f1 for row in classes.values() if row.support >= MIN_SUPPORT]
    return HalfAgreement(len(truth), classes, sum(frequent) / max(1, len(frequent)))
