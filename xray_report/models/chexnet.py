"""CheXNet: multi-label classification of one chest image, optionally cell by cell."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from xray_report.errors import OptionError
from xray_report.models.encoders.protocol import Encoder


class CheXNetOutput(NamedTuple):
    """Logits of `CheXNet` for N images.

    Args:
        logits: float [N, C], one a label.
        cell_logits: float [N, C, h, w], one a label and cell of the feature map, or None
            without a locator.
    """

    logits: Tensor
    cell_logits: Tensor | None


class CheXNet(nn.Module):
    """CheXNet (Rajpurkar et al. 2017): an encoder, average pooling, one logit a label.

    In the paper the encoder is DenseNet121; any will do.

    Args:
        encoder: the feature extractor that is trained and later exported.
        labels: number C of labels, at least 1.
        locator: add a 1x1 convolution that gives each cell of the map its own logits, for data
            that know where a finding lies (after Li et al. 2018, "Thoracic disease identification
            and localization with limited supervision").
    """

    def __init__(self, encoder: Encoder, labels: int, locator: bool = False) -> None:
        super().__init__()
        if labels < 1:
            raise OptionError(f"CheXNet needs at least one label to learn, got {labels}")
        self.encoder = encoder
        self.classifier = nn.Linear(encoder.channels, labels)
        self.locator = nn.Conv2d(encoder.channels, labels, 1) if locator else None

    def forward(self, images: Tensor) -> CheXNetOutput:
        """Classify normalised images float [N, 3, S, S]."""
        maps = self.encoder(images)
        logits = self.classifier(maps.mean(dim=(2, 3)))
        return CheXNetOutput(logits, None if self.locator is None else self.locator(maps))
