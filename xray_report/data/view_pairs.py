"""Studies with more than one frontal or lateral image, turned into pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from xray_report.data.study import Study, View

VIEW_CHOICES = ("first", "all_pairs")


def expand(studies: Sequence[Study], views: str) -> list[Study]:
    """`first`: the studies as they are; `all_pairs`: training studies once a pair of their images.

    Each frontal image is paired with each lateral one, as in the original work. The first pair
    keeps the study's id, further ones get `~2`, `~3` ..., and all stay in the study's split.
    Validation and test studies are never multiplied, so that scores count each report once.
    Splits must have been given before.
    """
    if views == "first":
        return list(studies)
    return [pair for study in studies for pair in _pairs(study)]


def _pairs(study: Study) -> list[Study]:
    frontal = [image for image in study.images if image.view is View.FRONTAL]
    lateral = [image for image in study.images if image.view is View.LATERAL]
    if study.split != "train" or len(frontal) + len(lateral) < len(study.images):
        return [study]
    if frontal and lateral:
        groups = list(product(frontal, lateral))
    else:
        groups = [(image,) for image in study.images]  # type: ignore[misc]
    ids = [study.study_id] + [f"{study.study_id}~{n + 2}" for n in range(len(groups) - 1)]
    # The patient ties the pairs together for whoever checks that no study crosses splits.
    patient = study.patient_id or study.study_id
    return [
        replace(study, study_id=name, patient_id=patient, images=tuple(group))
        for name, group in zip(ids, groups, strict=False)
    ]
