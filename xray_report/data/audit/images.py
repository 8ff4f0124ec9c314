"""Views, and images that cannot be read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch

from xray_report.data.study import Pixels, Study, View
from xray_report.errors import ImageError

FEW = 200
"""Up to so many images starting worker processes would take longer than decoding."""


def audit_views(studies: Sequence[Study]) -> dict[str, Any]:
    """Images by view, by where the view was learnt, by study, and which slots studies fill."""
    images = [image for study in studies for image in study.images]
    slots = Counter(_slots({View(image.view) for image in study.images}) for study in studies)
    return {
        "images": len(images),
        "views": dict(sorted(Counter(View(image.view).value for image in images).items())),
        "views learnt from": dict(sorted(Counter(image.view_from for image in images).items())),
        "images per study": {
            str(n): count
            for n, count in sorted(Counter(len(study.images) for study in studies).items())
        },
        "studies with": dict(sorted(slots.items())),
    }


def _slots(views: set[View]) -> str:
    known = sorted(view.value for view in views - {View.UNKNOWN})
    return " and ".join(known) or ("unknown views only" if views else "no image")


def find_unreadable(
    studies: Sequence[Study],
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, str]]:
    """Decode every image; study and error of each that cannot be.

    Args:
        workers: processes; None takes one a core, and none at all for a few images.
        progress: called with the images done and all of them.
    """
    images = [(study.study_id, image.pixels) for study in studies for image in study.images]
    pixels = [one for _, one in images]
    if workers is None:
        workers = 0 if len(pixels) <= FEW else os.cpu_count() or 1
    errors: list[str | None] = []
    if workers:
        # Not forked: torch's threads do not survive it.
        with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
            for error in pool.map(_error, pixels, chunksize=16):
                errors.append(error)
                progress(len(errors), len(pixels))
    else:
        for one in pixels:
            errors.append(_error(one))
            progress(len(errors), len(pixels))
    found = zip(images, errors, strict=True)
    return [{"study": study, "error": error} for (study, _), error in found if error]


def _one_thread() -> None:
    torch.set_num_threads(1)


def _error(pixels: Pixels) -> str | None:
    try:
        pixels.load()
    except ImageError as error:
        return str(error)
    return None
