"""The whole report model: images of a study in, a distribution over reports out."""

from __future__ import annotations

from torch import Tensor, nn

from xray_report.models.decoders.protocol import Decoder
from xray_report.models.encoders.protocol import Encoder


class ReportModel(nn.Module):
    """An encoder shared by both views, and a decoder that writes the report.

    The decoder may be used alone on feature maps from the cache; the encoder stays beside it so
    that a checkpoint is complete.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, images: Tensor, view_mask: Tensor) -> Tensor:
        """Maps [B, 2, C, h, w] of normalised `images` [B, 2, 3, S, S].

        Missing views (`view_mask` bool [B, 2] False) are not encoded; their maps are zero.
        """
        encoded: Tensor = self.encoder(images[view_mask])
        maps = encoded.new_zeros(*view_mask.shape, *encoded.shape[1:])
        maps[view_mask] = encoded
        return maps

    def forward(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> Tensor:
        """Teacher-forced logits [B, T-1, V] of the words after each of `tokens` [B, T]."""
        logits: Tensor = self.decoder(features, view_mask, tokens)
        return logits
