"""A lateral picture with its findings."""

from __future__ import annotations

import numpy as np

from xray_report.data.phantom.draw_lateral import Lateral, lateral_body
from xray_report.data.phantom.film import Drawing, visible
from xray_report.data.phantom.lateral_lesions import LATERAL_LESIONS
from xray_report.data.phantom.sampling import Plan
from xray_report.data.phantom.shapes import Array
from xray_report.data.study import Region
from xray_report.text.facts import Fact


def draw_lateral(plan: Plan, size: int) -> Drawing:
    """The lateral picture of a study, and a region for each finding that shows on it."""
    body = plan.anatomy
    view = lateral_body(body, size, _stream(body.salt, 2))
    regions, total = [], np.zeros_like(view.density)
    for lesion in plan.lesions:
        if lesion.fact.finding in LATERAL_LESIONS:
            change = visible(LATERAL_LESIONS[lesion.fact.finding](view, lesion))
            total += change
            regions.append(Region(lesion.fact.label, change != 0))
        elif (mask := _whole(view, lesion.fact)) is not None:
            regions.append(Region(lesion.fact.label, mask > 0.5))
    image = view.film.exposed(view.density + total, body, _stream(body.salt, 3))
    return Drawing(image, tuple(regions))


def _whole(view: Lateral, fact: Fact) -> Array | None:
    """Where a finding lies that is no lesion but an organ's size."""
    if fact.finding == "cardiomegaly":
        return view.heart
    if fact.finding in ("hyperinflation", "low_lung_volumes"):
        return view.lungs
    return None


def _stream(salt: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([salt, purpose])))
