"""Images of whole batches, one unreadable file among them or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xray_report.data.images import resize_gray
from xray_report.data.pairs import ViewPair
from xray_report.data.study import StudyImage
from xray_report.errors import XrayReportError


class Loaded(NamedTuple):
    """Grey images uint8 [N, 2, S, S], black where there is none, and what became of each.

    Args:
        pairs: as they were given, None in place of an image that could not be read.
        errors: why it could not.
    """

    gray: Tensor
    pairs: list[ViewPair]
    errors: tuple[XrayReportError, ...]

    @property
    def view_mask(self) -> Tensor:
        """Bool [N, 2], True where an image was read."""
        present = [[image is not None for image in pair] for pair in self.pairs]
        return torch.tensor(present, dtype=torch.bool).view(-1, 2)


def load_gray(pairs: Sequence[ViewPair], size: int) -> Loaded:
    """Load and resize the images of `pairs`; errors are handed on, not raised.

    A loader's process cannot raise them without a traceback, and whether one unreadable image
    stops the run is not for it to say.
    """
    gray = np.zeros((len(pairs), 2, size, size), np.uint8)
    errors: list[XrayReportError] = []
    read = [
        ViewPair(*(_load(image, slot, errors) for image, slot in zip(pair, slots, strict=True)))
        for pair, slots in zip(pairs, gray, strict=True)
    ]
    return Loaded(torch.from_numpy(gray), read, tuple(errors))


def _load(
    image: StudyImage | None, slot: NDArray[np.uint8], errors: list[XrayReportError]
) -> StudyImage | None:
    """Fill one slot [S, S]; the image if that went well."""
    if image is None:
        return None
    try:
        slot[:] = resize_gray(image.pixels.load(), len(slot))
    except XrayReportError as error:
        errors.append(error)
        return None
    return image
