"""A lateral picture with its findings."""

from __future__ import annotations

from xray_report.data.phantom.draw_lateral import lateral_body
from xray_report.data.phantom.film import Drawing
from xray_report.data.phantom.lateral_lesions import LATERAL_LESIONS
from xray_report.data.phantom.picture import picture, picture_stream
from xray_report.data.phantom.sampling import Plan

_BODY, _NOISE = 2, 3


def draw_lateral(plan: Plan, size: int) -> Drawing:
    """The lateral picture of a study, and a region for each finding that shows on it."""
    body = lateral_body(plan.anatomy, size, picture_stream(plan, _BODY))
    return picture(body, plan, LATERAL_LESIONS, _NOISE)
