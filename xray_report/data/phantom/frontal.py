"""A frontal picture with its findings."""

from __future__ import annotations

from xray_report.data.phantom.draw_frontal import frontal_body
from xray_report.data.phantom.film import Drawing
from xray_report.data.phantom.frontal_lung import LUNG_LESIONS
from xray_report.data.phantom.frontal_other import OTHER_LESIONS
from xray_report.data.phantom.picture import picture, picture_stream
from xray_report.data.phantom.sampling import Plan

_CHANGES = {**LUNG_LESIONS, **OTHER_LESIONS}
_BODY, _NOISE = 0, 1


def draw_frontal(plan: Plan, size: int) -> Drawing:
    """The frontal picture of a study, and a region for each finding that shows on it."""
    body = frontal_body(plan.anatomy, size, picture_stream(plan, _BODY))
    return picture(body, plan, _CHANGES, _NOISE)
