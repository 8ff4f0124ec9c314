"""Every registered decoder at a small size, and a toy one that is registered here alone.

Nothing in a decoder may rest on the usual special ids, channels or grid: these are unusual ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xray_report.models.decoders.build import build_decoder
from xray_report.models.decoders.pretrained import PretrainedDecoder
from xray_report.models.decoders.protocol import (
    DECODERS,
    Decoder,
    DecoderState,
    TeacherForced,
    Tree,
    by_study,
    register_decoder,
)
from xray_report.models.decoders.views import MapReader, PooledViews
from xray_report.models.embedding import WordEmbedding
from xray_report.models.maps import MapShape
from xray_report.tokens import SpecialTokens

SPECIAL = SpecialTokens(pad=3, unknown=None, bos=7, eos=1)
MAPS = MapShape(channels=6, height=3, width=4)
LOCATIONS = 2 * MAPS.locations
WORDS = 11


@register_decoder("mean_of_words")
class MeanOfWords(Decoder):
    """Each word is read from the mean of the words before it and a vector of the images."""

    def __init__(
        self, special: SpecialTokens, embedding: WordEmbedding, maps: MapShape, *, size: int = 7
    ) -> None:
        super().__init__(special, embedding, maps)
        self.views = MapReader(maps, channel_norm=False)
        self.image = PooledViews(maps, size, "none")
        self.word = nn.Linear(embedding.dimension, size)
        self.read = nn.Linear(size, embedding.vocabulary_size)

    def teacher_forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> TeacherForced:
        image = self.image(self.views(features, view_mask)).unsqueeze(1)
        words = self.word(self.embedding(tokens[:, :-1]))
        count = torch.arange(1, words.shape[1] + 1, device=words.device).unsqueeze(1)
        return TeacherForced(self.read((words.cumsum(1) / count + image).tanh()), None)

    def feature_parameters(self) -> Iterator[nn.Parameter]:
        return self.image.parameters()

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        image = self.image(self.views(features, view_mask))
        return DecoderState((torch.zeros_like(image), image.new_zeros(len(image), 1)), image)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        (total, count), image = state.rows, state.studies
        total, count = total + self.word(self.embedding(tokens)), count + 1
        read = by_study(total / count, len(image)) + image.unsqueeze(1)
        logits = self.read(read.tanh()).flatten(0, 1)
        return logits.log_softmax(-1), DecoderState((total, count), image)


ATTENTION: dict[str, Any] = {
    "rnn_size": 10, "attention_size": 6, "value_size": 8,
    "compile": False,  # tried in test_attention
}  # fmt: skip
GPT2 = {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 64}
BERT = {
    "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12,
    "max_position_embeddings": 64,
}  # fmt: skip
TRANSFORMER: dict[str, Any] = {"width": 8, "layers": 2, "heads": 2, "feed_forward": 12}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "attention": [
        ATTENTION,
        {**ATTENTION, "pooled": "every_step", "value_norm": False},
        {
            **ATTENTION,
            "value_size": None,
            "value_norm": False,
            "location_embedding": False,
            "pooled": "none",
            "context_to_words": False,
        },
    ],
    "encoder_decoder": [
        {"rnn_size": 10, "dense_size": 9},
        {"image_norm": "unit", "absent_vectors": False, "peaks": True, "channel_norm": False},
    ],
    "transformer": [
        TRANSFORMER,
        {
            **TRANSFORMER,
            "layers": 1,
            "positions": "sinusoidal",
            "tied": True,
            "location_embedding": False,
        },
    ],
    "gpt2": [
        {"config": GPT2},
        {"config": {**GPT2, "n_embd": 5, "n_head": 1}, "location_embedding": False},
    ],
    "bert": [{"config": BERT}, {"config": BERT, "trained": "new", "channel_norm": False}],
}
"""Options to test a decoder with; of one that is not here, the defaults."""

SMALL: dict[str, dict[str, Any]] = {
    name: {"name": name, **VARIANTS.get(name, [{}])[0]} for name in DECODERS
}
every_decoder = pytest.mark.parametrize("architecture", SMALL.values(), ids=list(SMALL))
every_variant = pytest.mark.parametrize(
    "architecture",
    [{"name": name, **options} for name in DECODERS for options in VARIANTS.get(name, [{}])],
    ids=lambda one: one["name"],
)


def build(architecture: dict[str, Any], seed: int = 0, words: int = WORDS) -> Decoder:
    """A decoder in double precision with random weights, the same for the same seed."""
    torch.manual_seed(seed)
    return build_single(architecture, words).double()


def build_single(architecture: dict[str, Any], words: int = WORDS) -> Decoder:
    """A decoder in single precision."""
    model = build_decoder(architecture, SPECIAL, WordEmbedding(words, 5), MAPS)
    if isinstance(model, PretrainedDecoder):  # whose random weights say next to nothing
        for weight in model.network.parameters():
            nn.init.normal_(weight, std=0.4)
    return model


def leaves(tree: Tree) -> list[Tensor]:
    """All tensors of a tree, in order."""
    return [tree] if isinstance(tree, Tensor) else [one for part in tree for one in leaves(part)]


def maps_of(studies: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features and view mask of random studies; some views are missing, and NaN."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(studies, 2, *MAPS, dtype=torch.double, generator=draw)
    view_mask = torch.rand(studies, 2, generator=draw) < 0.7
    features[~view_mask] = torch.nan
    return features, view_mask


def batch(lengths: list[int], seed: int = 0, padding: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features, view mask and tokens of reports of these lengths."""
    draw = torch.Generator().manual_seed(seed)
    words = torch.tensor([one for one in range(WORDS) if one not in SPECIAL])
    tokens = torch.full((len(lengths), 2 + max(lengths) + padding), SPECIAL.pad)
    for row, length in zip(tokens, lengths, strict=True):
        row[0], row[length + 1] = SPECIAL.bos, SPECIAL.eos
        row[1 : length + 1] = words[torch.randint(len(words), (length,), generator=draw)]
    return *maps_of(len(lengths), seed), tokens
