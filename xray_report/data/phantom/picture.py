"""A picture from a body and its findings, the same way for both views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import numpy as np

from xray_report.data.phantom.film import Drawing, Film, visible
from xray_report.data.phantom.sampling import Lesion, Plan
from xray_report.data.phantom.shapes import Array
from xray_report.data.study import Region
from xray_report.text.facts import Fact


class Body(Protocol):
    """What the two views' bodies have in common; arrays are float [S, S]."""

    @property
    def film(self) -> Film:
        """Coordinates and exposure."""
        ...

    @property
    def density(self) -> Array:
        """The body without findings."""
        ...

    @property
    def heart(self) -> Array:
        """1 in the heart."""
        ...

    @property
    def lungs(self) -> Array:
        """1 in the lungs."""
        ...


AnyBody = TypeVar("AnyBody", bound=Body)
Changes = Mapping[str, Callable[[AnyBody, Lesion], Array]]
"""Finding -> the density that a lesion of it adds to a body."""


def picture(body: AnyBody, plan: Plan, changes: Changes[AnyBody], purpose: int) -> Drawing:
    """The picture of `body` with the lesions of `plan`, and a region for each that shows.

    Args:
        purpose: number of the random stream that the noise is drawn from.
    """
    regions, total = [], np.zeros_like(body.density)
    for lesion in plan.lesions:
        if lesion.fact.finding in changes:
            change = visible(changes[lesion.fact.finding](body, lesion))
            total += change
            regions.append(Region(lesion.fact.label, change != 0))
        elif (mask := _whole(body, lesion.fact)) is not None:
            regions.append(Region(lesion.fact.label, mask > 0.5))
    noise = picture_stream(plan, purpose)
    return Drawing(body.film.exposed(body.density + total, plan.anatomy, noise), tuple(regions))


def picture_stream(plan: Plan, purpose: int) -> np.random.Generator:
    """Random stream `purpose` of a study's pictures."""
    seed = np.random.SeedSequence([plan.anatomy.salt, purpose])
    return np.random.Generator(np.random.PCG64(seed))


def _whole(body: Body, fact: Fact) -> Array | None:
    """Where a finding lies that is no lesion but an organ's size."""
    if fact.finding == "cardiomegaly":
        return body.heart
    if fact.finding in ("hyperinflation", "low_lung_volumes"):
        return body.lungs
    return None
