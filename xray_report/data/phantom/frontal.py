"""A frontal picture with its findings."""

from __future__ import annotations

import numpy as np

from xray_report.data.phantom.draw_frontal import Frontal, frontal_body
from xray_report.data.phantom.film import Drawing, visible
from xray_report.data.phantom.frontal_lung import LUNG_LESIONS
from xray_report.data.phantom.frontal_other import OTHER_LESIONS
from xray_report.data.phantom.sampling import Plan
from xray_report.data.phantom.shapes import Array
from xray_report.data.study import Region
from xray_report.text.facts import Fact

_CHANGES = {**LUNG_LESIONS, **OTHER_LESIONS}


def draw_frontal(plan: Plan, size: int) -> Drawing:
    """The frontal picture of a study, and a region for each finding that shows on it."""
    body = plan.anatomy
    view = frontal_body(body, size, _stream(body.salt, 0))
    regions, total = [], np.zeros_like(view.density)
    for lesion in plan.lesions:
        if lesion.fact.finding in _CHANGES:
            change = visible(_CHANGES[lesion.fact.finding](view, lesion))
            total += change
            regions.append(Region(lesion.fact.label, change != 0))
        elif (mask := _whole(view, lesion.fact)) is not None:
            regions.append(Region(lesion.fact.label, mask > 0.5))
    image = view.film.exposed(view.density + total, body, _stream(body.salt, 1))
    return Drawing(image, tuple(regions))


def _whole(view: Frontal, fact: Fact) -> Array | None:
    """Where a finding lies that is no lesion but an organ's size."""
    if fact.finding == "cardiomegaly":
        return view.heart
    if fact.finding in ("hyperinflation", "low_lung_volumes"):
        return view.lungs
    return None


def _stream(salt: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([salt, purpose])))
