"""The transformer model: words attend to the words before them and to both views' locations.

In a search the keys and values of all words that any hypothesis of a study has written are kept
together, in the order they were written; a hypothesis is the list of the places of its words, and
attends to those alone. So a search that goes on with some hypotheses and drops others
reorders lists of numbers, and copies no key and no value.

Vaswani et al. 2017 (arXiv:1706.03762), section 3, the decoder alone, normalised before each part
instead of after (Xiong et al. 2020, arXiv:2002.04745, figure 1b). In order: the decoder, one layer
of it, and the two kinds of attention.

Shapes: B studies, K rows (hypotheses) of each, N = B * K, T words, L locations of both views,
W width, H heads of D = W / H components.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.errors import OptionError
from xray_report.models.decoders.protocol import (
    Decoder,
    DecoderState,
    TeacherForced,
    by_study,
    register_decoder,
)
from xray_report.models.decoders.views import LocationValues, MapReader
from xray_report.models.embedding import SequenceDropout, WordEmbedding
from xray_report.models.maps import MapShape
from xray_report.options import check_choice, check_count, check_flag
from xray_report.tokens import SpecialTokens

POSITIONS = ("learnt", "sinusoidal")


class KeysValues(NamedTuple):
    """Keys and values to attend to.

    Of the P words written so far in a study, by any of its rows, both are [B, P, W]; of its
    locations [B, H, L, D], made once.
    """

    keys: Tensor
    values: Tensor


@register_decoder("transformer")
class TransformerDecoder(Decoder):
    """Pre-norm transformer decoder over the locations of both views.

    Its attention for a word is that of the last layer, the mean over its heads.

    Args:
        special: the special ids of its tokenizer.
        embedding: vectors of the V tokens; a linear layer brings them to the width.
        maps: shape of a view's map.
        width: W, size of a word's representation; a multiple of `heads`.
        layers: number of layers.
        heads: H, of each attention.
        feed_forward: size of a layer's hidden units.
        positions: "learnt" or "sinusoidal" (Vaswani et al., section 3.5).
        max_positions: longest report, its begin counted, that can be read or written.
        tied: read words from the embedding's own vectors (Press and Wolf 2017,
            arXiv:1608.05859), instead of by a layer of their own.
        location_embedding: add learnt vectors of a location's place and view, which make side
            and zone readable.
        channel_norm: standardise the encoder's channels by their statistics in training.
        word_dropout: share of the embedded words' components dropped while training, the same
            ones for all words of a report; so for the next two.
        value_dropout: share of the locations' components dropped while training.
        dropout: share dropped of what a layer's parts add, of its hidden units and of what a word
            is read from.
    """

    def __init__(
        self,
        special: SpecialTokens,
        embedding: WordEmbedding,
        maps: MapShape,
        *,
        width: int = 256,
        layers: int = 3,
        heads: int = 4,
        feed_forward: int = 1024,
        positions: str = "learnt",
        max_positions: int = 256,
        tied: bool = False,
        location_embedding: bool = True,
        channel_norm: bool = True,
        word_dropout: float = 0.0,
        value_dropout: float = 0.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(special, embedding, maps)
        check_count("layers", layers)
        check_count("feed_forward", feed_forward)
        if check_count("width", width) % check_count("heads", heads):
            raise OptionError(f"width must be a multiple of heads ({heads}), got {width}")
        self.views = MapReader(maps, channel_norm)
        self.values = LocationValues(maps, width, places=location_embedding)
        self.to_width = nn.Linear(embedding.dimension, width)
        self.max_positions = check_count("max_positions", max_positions)
        if check_choice("positions", positions, POSITIONS) == "learnt":
            self.positions = nn.Parameter(0.1 * torch.randn(max_positions, width))
        else:
            self.register_buffer("positions", sinusoids(max_positions, width), persistent=False)
        self.layers = nn.ModuleList(
            Layer(width, heads, feed_forward, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.tied = check_flag("tied", tied)
        if tied:
            self.to_words = nn.Linear(width, embedding.dimension, bias=False)
            self.word_bias = nn.Parameter(torch.zeros(embedding.vocabulary_size))
        else:
            self.vocabulary = nn.Linear(width, embedding.vocabulary_size)
        self.word_dropout = SequenceDropout("word_dropout", word_dropout)
        self.value_dropout = SequenceDropout("value_dropout", value_dropout)
        self.dropout = SequenceDropout("dropout", dropout)

    def teacher_forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> TeacherForced:
        """Read int64 `tokens` [B, T] in one pass."""
        words, attention = self._read(features, view_mask, tokens, attention=True)
        return TeacherForced(self._logits(self.dropout(words)), attention)

    def forward(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> Tensor:
        """The logits of `teacher_forced`, without the cost of its attention weights."""
        words, _ = self._read(features, view_mask, tokens, attention=False)
        return self._logits(self.dropout(words))

    def feature_parameters(self) -> Iterator[nn.Parameter]:
        """The projection of the locations."""
        assert self.values.project is not None
        yield from self.values.project.parameters()

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word.

        Its rows are int64 [N, t], the places of a row's words among the P of its study. Its
        studies are (keys and values of those P words, of the locations, which locations there
        are), the first two for each layer.
        """
        values, present = self._read_views(features, view_mask)
        none = values[:, :0]
        memory = tuple(layer.locations.keys_values(values) for layer in self._layers())
        past = tuple(KeysValues(none, none) for _ in memory)
        return DecoderState(none[:, :, 0].long(), (past, memory, present))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Feed int64 `tokens` [N]; return log-probabilities [N, V] and the next state."""
        places: Any = state.rows
        studies: Any = state.studies
        past, locations, present = studies
        words = self._embedded(tokens.unsqueeze(1), places.shape[1]).squeeze(1)
        places, own = _append(places, present.shape[0], past[0].keys.shape[1])
        cache = []
        for layer, before, memory in zip(self._layers(), past, locations, strict=True):
            words, after, attention = layer.step(words, before, own, memory, present)
            cache.append(after)
        log_probs = F.log_softmax(self._logits(self.norm(words)), dim=-1)
        return log_probs, DecoderState(places, (tuple(cache), locations, present), attention)

    def _layers(self) -> Iterator[Layer]:
        for layer in self.layers:
            assert isinstance(layer, Layer)
            yield layer

    def _read(
        self, features: Tensor, view_mask: Tensor, tokens: Tensor, attention: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Hidden states of words [B, T-1, W], and attention [B, T-1, L] if asked for."""
        values, present = self._read_views(features, view_mask)
        values = self.value_dropout(values)
        words = self.word_dropout(self._embedded(tokens[:, :-1]))
        weights = None
        for number, layer in enumerate(self._layers(), start=1):
            need_weights = attention and number == len(self.layers)
            words, weights = layer(
                words, layer.locations.keys_values(values), present, need_weights
            )
        return self.norm(words), weights

    def _read_views(self, features: Tensor, view_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Locations [B, L, W], and bool [B, 1, 1, L] which of them may be attended to.

        A study without any view attends to its locations all the same: they are zero, and an
        attention to nothing at all would be NaN.
        """
        values, present = self.values(self.views(features, view_mask))
        present = present | ~view_mask.any(1, keepdim=True)
        return values, present[:, None, None]

    def _embedded(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Words [B, T, W] of `tokens` [B, T], the first of them at position `start`."""
        end = start + tokens.shape[1]
        if end > self.max_positions:
            raise OptionError(
                f"a report of {end} tokens is longer than max_positions={self.max_positions} of "
                "the model: train one with more (model.architecture.max_positions), or shorten "
                "reports (max_length when decoding, text.max_tokens when training)"
            )
        words: Tensor = self.to_width(self.embedding(tokens))
        return words + self.positions[start:end]

    def _logits(self, words: Tensor) -> Tensor:
        """Logits [..., V] of normalised words [..., W]."""
        if self.tied:
            return F.linear(self.to_words(words), self.embedding.rows(), self.word_bias)
        logits: Tensor = self.vocabulary(words)
        return logits


def _append(places: Tensor, studies: int, written: int) -> tuple[Tensor, Tensor]:
    """Give each row's next word a place, after those `written` in its study.

    Returns:
        The rows' places int64 [N, t + 1], and which of all P places of the study they are, bool
        [B, 1, K, P].
    """
    rows = places.shape[0] // studies
    new = torch.arange(written, written + rows, device=places.device).repeat(studies)
    places = torch.cat([places, new.unsqueeze(1)], 1)
    own = torch.zeros(places.shape[0], written + rows, dtype=torch.bool, device=places.device)
    return places, by_study(own.scatter_(1, places, True), studies).unsqueeze(1)


def sinusoids(count: int, width: int) -> Tensor:
    """[count, width]: sines in the even components, cosines in the odd ones."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(count).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]


# One layer.


class Layer(nn.Module):
    """Self-attention, cross-attention and a feed-forward part, each added to its input.

    Args:
        width, heads, feed_forward, dropout: as of `TransformerDecoder`.
    """

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.words = SelfAttention(width, heads)
        self.locations = CrossAttention(width, heads)
        self.expand = nn.Linear(width, feed_forward)
        self.contract = nn.Linear(feed_forward, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = SequenceDropout("dropout", dropout)

    def forward(
        self, words: Tensor, memory: KeysValues, present: Tensor, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """All words [B, T, W] at once, and with `need_weights` attention [B, T, L]."""
        words = words + self.dropout(self.words(self.norms[0](words)))
        found, attention = self.locations(self.norms[1](words), memory, present, need_weights)
        words = words + self.dropout(found)
        hidden = self.dropout(F.gelu(self.expand(self.norms[2](words))))
        return words + self.dropout(self.contract(hidden)), attention

    def step(
        self, words: Tensor, past: KeysValues, own: Tensor, memory: KeysValues, present: Tensor
    ) -> tuple[Tensor, KeysValues, Tensor]:
        """One word [N, W] of each row, after its own in `past`; also attention [N, L]."""
        found, cache = self.words.step(self.norms[0](words), past, own)
        words = words + found
        queries = by_study(self.norms[1](words), present.shape[0])
        found, attention = self.locations(queries, memory, present, need_weights=True)
        words = words + found.flatten(0, 1)
        words = words + self.contract(F.gelu(self.expand(self.norms[2](words))))
        return words, cache, attention.flatten(0, 1)


# Attention: Vaswani et al., equation 1, softmax(Q K^T / sqrt(D)) V, in H heads.


class SelfAttention(nn.Module):
    """Each word attends to itself and to those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)

    def forward(self, words: Tensor) -> Tensor:
        """[B, T, W] of words [B, T, W]."""
        query, keys, values = (self._split(one) for one in self.project(words).chunk(3, -1))
        found = F.scaled_dot_product_attention(query, keys, values, is_causal=True)
        joined: Tensor = self.join(found.transpose(1, 2).flatten(2))
        return joined

    def step(self, words: Tensor, past: KeysValues, own: Tensor) -> tuple[Tensor, KeysValues]:
        """[N, W] of the next words [N, W], and the keys and values with theirs.

        Args:
            words: [N, W].
            past: keys and values of the words written so far in a study, by any of its rows.
            own: bool [B, 1, K, P + K], which of those and of the new words are a row's own.
        """
        query, key, value = by_study(self.project(words), own.shape[0]).chunk(3, -1)
        # `past` may be of another type: under autocast the empty one of the start is.
        keys = torch.cat([past.keys.to(key.dtype), key], 1)
        values = torch.cat([past.values.to(value.dtype), value], 1)
        split = self._split
        found = F.scaled_dot_product_attention(split(query), split(keys), split(values), own)
        joined: Tensor = self.join(found.transpose(1, 2).flatten(2)).flatten(0, 1)
        return joined, KeysValues(keys, values)

    def _split(self, part: Tensor) -> Tensor:
        """[B, H, T, D] of [B, T, W]."""
        return part.view(*part.shape[:2], self.heads, -1).transpose(1, 2)


class CrossAttention(nn.Module):
    """Each word attends to the locations of its study."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.project = nn.Linear(width, 2 * width)
        self.join = nn.Linear(width, width)

    def keys_values(self, values: Tensor) -> KeysValues:
        """Keys and values of locations [B, L, W]."""
        found = self.project(values).view(*values.shape[:2], 2, self.heads, -1)
        found = found.permute(2, 0, 3, 1, 4)
        return KeysValues(*found.contiguous().unbind(0))

    def forward(
        self, words: Tensor, memory: KeysValues, present: Tensor, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """[B, R, W] of R words of each study, and with `need_weights` attention [B, R, L].

        Args:
            words: [B, R, W]; in `step` they are the K rows, so that nothing of `memory` is copied.
            memory: keys and values of the locations.
            present: bool [B, 1, 1, L].
            need_weights: also return the weights, the mean over heads.
        """
        query = self.query(words).view(*words.shape[:2], self.heads, -1).transpose(1, 2)
        attention = None
        if need_weights:
            scores = query @ memory.keys.transpose(2, 3) / math.sqrt(query.shape[3])
            weights = scores.masked_fill(~present, -math.inf).softmax(-1)
            found, attention = weights.to(memory.values.dtype) @ memory.values, weights.mean(1)
        else:
            found = F.scaled_dot_product_attention(query, memory.keys, memory.values, present)
        return self.join(found.transpose(1, 2).flatten(2)), attention
