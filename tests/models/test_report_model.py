from __future__ import annotations

import torch
from torch import Tensor, nn

from xray_report.models.decoders.build import build_decoder
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.protocol import Encoder, Preprocessing
from xray_report.models.report_model import ReportModel
from xray_report.tokens import WORD_TOKENS


class Mean(Encoder):
    """One channel on a grid of 1 x 2: the mean of each half, times a weight."""

    name, channels, grid = "mean", 1, (1, 2)

    def __init__(self) -> None:
        super().__init__(Preprocessing(size=4))
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, images: Tensor) -> Tensor:
        return self.weight * nn.functional.adaptive_avg_pool2d(images, (1, 2)).mean(1, True)


def model() -> ReportModel:
    encoder = Mean()
    decoder = build_decoder(
        {"name": "encoder_decoder", "rnn_size": 4, "dense_size": 4, "image_norm": "none"},
        WORD_TOKENS,
        WordEmbedding(6, 3),
        encoder.map_shape,
    )
    return ReportModel(encoder, decoder).eval()


def test_each_view_is_encoded_in_its_slot_and_missing_ones_are_zero() -> None:
    images = torch.arange(3.0).view(3, 1, 1, 1, 1) + torch.tensor([1.0, 10.0]).view(1, 2, 1, 1, 1)
    images = images.expand(3, 2, 3, 4, 4).clone()
    view_mask = torch.tensor([[True, True], [False, True], [True, False]])
    images[~view_mask] = torch.nan
    maps = model().encode(images, view_mask)
    assert maps.shape == (3, 2, 1, 1, 2)
    expected = torch.tensor([[2.0, 20.0], [0.0, 22.0], [6.0, 0.0]])
    assert torch.equal(maps[..., 0, 0, 0], expected)
    assert torch.equal(maps[..., 0, 0, 1], expected)


def test_gradients_reach_the_encoder_through_the_maps() -> None:
    whole = model()
    view_mask = torch.tensor([[True, False], [True, True]])
    maps = whole.encode(torch.rand(2, 2, 3, 4, 4), view_mask)
    tokens = torch.tensor([[WORD_TOKENS.bos, 4, 5, WORD_TOKENS.eos]] * 2)
    logits = whole(maps, view_mask, tokens)
    assert logits.shape == (2, 3, 6)
    logits.square().sum().backward()
    assert whole.encoder.weight.grad.abs() > 0  # type: ignore[union-attr,operator]
