"""The whole report model: images of a study in, a distribution over reports out."""

from __future__ import annotations

from torch import Tensor, nn

from xray_report.models.decoders.guided import GuidedDecoder
from xray_report.models.decoders.protocol import Decoder
from xray_report.models.encoders.protocol import Encoder


class ReportModel(nn.Module):
    """An encoder shared by both views, and a decoder that writes the report.

    Where features come from the cache only the decoder runs; the encoder is part of the model
    all the same, so that a checkpoint is complete.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, images: Tensor, view_mask: Tensor) -> Tensor:
        """Maps [B, 2, C, h, w] of normalised `images` [B, 2, 3, S, S].

        Missing views (`view_mask` bool [B, 2] False) are not encoded; their maps are zero. How
        many there are decides shapes, so the host waits for the device once.
        """
        present = view_mask.nonzero(as_tuple=True)
        encoded: Tensor = self.encoder(images[present])
        maps = encoded.new_zeros(*view_mask.shape, *encoded.shape[1:])
        maps[present] = encoded
        return maps

    def forward(
        self, features: Tensor, view_mask: Tensor, tokens: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Teacher-forced logits [B, T-1, V] of the words after each of `tokens` [B, T].

        `labels`, float [B, K], are what a guided decoder is told; other decoders are told nothing.
        """
        if isinstance(self.decoder, GuidedDecoder):
            guided: Tensor = self.decoder(features, view_mask, tokens, labels)
            return guided
        logits: Tensor = self.decoder(features, view_mask, tokens)
        return logits
