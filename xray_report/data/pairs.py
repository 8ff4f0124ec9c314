"""Which image of a study fills which view slot."""

from __future__ import annotations

from typing import NamedTuple

from xray_report.data.study import Study, StudyImage, View


class ViewPair(NamedTuple):
    """The images of the two slots; None where the study has no image for it."""

    frontal: StudyImage | None
    lateral: StudyImage | None


def pair_views(study: Study) -> ViewPair:
    """First frontal image to slot 0, first lateral to slot 1, unknown ones to the free slots.

    Images beyond that (a second frontal, say) are left out; a lone image is never repeated.
    """
    by_view = {view: [image for image in study.images if View(image.view) is view] for view in View}
    unknown = iter(by_view[View.UNKNOWN])
    return ViewPair(
        *(
            by_view[view][0] if by_view[view] else next(unknown, None)
            for view in (View.FRONTAL, View.LATERAL)
        )
    )
