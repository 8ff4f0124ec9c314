"""The whole report model, from images of a study to a distribution over reports, and its loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.models.decoders.guided import GuidedDecoder
from xray_report.models.decoders.protocol import Decoder
from xray_report.models.encoders.protocol import Encoder
from xray_report.options import check_share


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


# Its loss: cross-entropy of the words of reports, blind to padding.


def masked_cross_entropy(
    logits: Tensor, targets: Tensor, pad: int, label_smoothing: float = 0.0
) -> Tensor:
    """Mean over the real words of a batch; padding neither adds to it nor divides it.

    Args:
        logits: [B, T, V].
        targets: int64 [B, T], `pad` where there is no word.
        pad: the id of padding.
        label_smoothing: share in [0, 1) of the target spread evenly over the vocabulary
            (Szegedy et al. 2016, section 7).

    Returns:
        A scalar of at least 0, in nats a word; 0 for a batch of padding only.
    """
    summed = F.cross_entropy(
        logits.flatten(0, 1).float() if logits.dtype.itemsize < 4 else logits.flatten(0, 1),
        targets.flatten(),
        ignore_index=pad,
        reduction="sum",
        label_smoothing=check_share("label_smoothing", label_smoothing),
    )
    return summed / (targets != pad).sum().clamp(min=1)


def report_losses(logits: Tensor, targets: Tensor, pad: int) -> Tensor:
    """Mean cross-entropy of each report's words, and how many words: float [B, 2].

    Arguments as of `masked_cross_entropy`.
    """
    found = F.cross_entropy(
        logits.transpose(1, 2).float(), targets, ignore_index=pad, reduction="none"
    )
    words = (targets != pad).sum(1)
    return torch.stack([found.sum(1) / words.clamp(min=1), words.to(found.dtype)], 1)
