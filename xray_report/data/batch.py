"""What flows from the DataModule to the models."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from xray_report.errors import XrayReportError

FRONTAL_SLOT, LATERAL_SLOT = 0, 1


class Batch(NamedTuple):
    """One batch of studies. A NamedTuple, since Lightning moves and torch pins those.

    Args:
        study_ids: B ids.
        images: float32 [B, 2, 3, 224, 224], normalised as the encoder asks, or None.
        features: float16 or float32 [B, 2, 1024, 7, 7] from a frozen encoder, or None;
            never both images and features.
        view_mask: bool [B, 2]; slot 0 frontal, slot 1 lateral; False where a view is missing.
        tokens: int64 [B, T], BOS words EOS PAD.
        references: B report texts, as published (not cleaned).
        labels: float32 [B, 2, C], 1 present, 0 absent, NaN unknown; image by image.
        regions: float32 [B, 2, C, G, G] where labels lie, NaN unknown, or None.
        errors: why images of the batch could not be read. Their views are masked, and a study
            without any other is not in the batch, which may leave it with none (B = 0).
    """

    study_ids: list[str]
    images: Tensor | None
    features: Tensor | None
    view_mask: Tensor
    tokens: Tensor
    references: list[str]
    labels: Tensor
    regions: Tensor | None = None
    errors: tuple[XrayReportError, ...] = ()
