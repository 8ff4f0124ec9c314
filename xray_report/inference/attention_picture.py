"""Pictures of a word's attention over the images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

CAPTION_HEIGHT = 18
HEAT = torch.tensor([1.0, 0.25, 0.0])
STRENGTH = 0.6


def overlay(images: Tensor, attention: Tensor, caption: str = "") -> Tensor:
    """Views side by side with a word's attention laid over them in red.

    Args:
        images: uint8 [V, S, S], grey; a missing view is black.
        attention: float [V, h, w], weights >= 0.
        caption: written above, such as the word; "" leaves the strip for it out.

    Returns:
        uint8 [3, S + 18, V S], or [3, S, V S] without a caption.
    """
    size = images.shape[-1]
    heat = functional.interpolate(
        attention.float()[None], size=(size, size), mode="bilinear", align_corners=False
    )[0]
    heat = STRENGTH * heat / heat.max().clamp(min=1e-6)
    gray = images.float()[:, None] / 255
    color = gray * (1 - heat[:, None]) + HEAT[:, None, None] * heat[:, None]
    row = torch.cat(list(color), dim=-1)
    picture = (row * 255).round().to(torch.uint8)
    if not caption:
        return picture
    return torch.cat([_caption(caption, picture.shape[-1]), picture], dim=1)


HEAT_COLOR = (255, 140, 0)
FULL_HEAT = 32
"""Times the even share of attention at which the colour scale ends."""


def heat(share: Tensor) -> Tensor:
    """One colour scale for all words and studies: orange, the more opaque the more attention.

    Args:
        share: float [h, w], attention as multiples of what each place would get if it were spread
            evenly.

    Returns:
        uint8 [h, w, 4], red, green, blue and opacity, to be laid over a film: clear up to the even
        share, then a step for every doubling, up to `STRENGTH` at `FULL_HEAT` times.
    """
    opacity = (share.float().clamp(1, FULL_HEAT).log2() / math.log2(FULL_HEAT)) * STRENGTH
    color = torch.tensor(HEAT_COLOR, dtype=torch.uint8).expand(*share.shape, 3)
    return torch.cat([color, (opacity * 255).round().to(torch.uint8).cpu()[..., None]], dim=-1)


def most_focused(words: Sequence[str], attention: NDArray[np.float32], most: int) -> list[int]:
    """Positions of the `most` longer words with the most concentrated attention, in text order.

    Args:
        attention: [words, L], each row summing to 1; concentration is the negative entropy.
    """
    entropy = -(attention * np.log(attention + 1e-9)).sum(-1)
    content = [i for i, word in enumerate(words) if len(word) > 4]
    return sorted(sorted(content, key=lambda i: float(entropy[i]))[:most])


def _caption(text: str, width: int) -> Tensor:
    strip = Image.new("RGB", (width, CAPTION_HEIGHT))
    ImageDraw.Draw(strip).text((4, 3), text, fill=(255, 255, 255))
    return torch.from_numpy(np.array(strip)).permute(2, 0, 1)
