"""The attention model: before each word it looks at the 98 locations of both views."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.models.attention import AttentionMemory
from xray_report.models.decoders.protocol import Decoder, DecoderState, TeacherForced
from xray_report.models.decoders.views import LocationValues, MapReader, PooledViews, ViewMaps
from xray_report.models.dropout import SequenceDropout
from xray_report.models.embedding import WordEmbedding
from xray_report.models.recurrence import COMPILED, EAGER, AttentiveGRU, Unrolled
from xray_report.options import check_choice, check_count, check_flag

POOLED = ("initial", "every_step", "none")


class AttentionDecoder(Decoder):
    """GRU with Bahdanau attention; each state writes one word.

    Xu et al. 2015 ("Show, Attend and Tell"), section 3.1.2, on the maps of two views.

    Args:
        vocabulary_size: V.
        embedding: vectors of the words.
        feature_size: C, channels of a view's map.
        rnn_size: H, size of the GRU.
        attention_size: A, units of the layer that scores a location.
        value_size: D, what a location is projected to; None attends to the raw C channels.
        value_norm: normalise each location's vector (LayerNorm).
        location_embedding: add learnt vectors of a location's place and view, which make side
            and zone readable.
        pooled: where the pooled views enter: "initial" (the first state), "every_step" (the
            first state and each word's input) or "none" (the first state is zero).
        image_norm: "layer", "unit" or "none", how the pooled views are normalised.
        absent_vectors: learn a pooled vector for a missing view instead of using zeros.
        channel_norm: standardise the encoder's channels by their statistics in training.
        context_to_words: a word is read from the state and the context, not the state alone.
        word_dropout: share of the word vectors' components dropped while training, the same
            ones for all words of a report; so for the next two.
        value_dropout: share of the locations' components dropped while training.
        dropout: share of what a word is read from dropped while training.
        compiled: fuse each word of training by torch.compile; changes results by rounding only.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding: WordEmbedding,
        *,
        feature_size: int = 1024,
        rnn_size: int = 256,
        attention_size: int = 128,
        value_size: int | None = 128,
        value_norm: bool = True,
        location_embedding: bool = True,
        pooled: str = "initial",
        image_norm: str = "layer",
        absent_vectors: bool = True,
        channel_norm: bool = True,
        context_to_words: bool = True,
        word_dropout: float = 0.0,
        value_dropout: float = 0.0,
        dropout: float = 0.3,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        check_count("vocabulary_size", vocabulary_size)
        rnn_size = check_count("rnn_size", rnn_size)
        self.embedding = embedding
        check_count("feature_size", feature_size)
        self.views = MapReader(feature_size, check_flag("channel_norm", channel_norm))
        self.values = LocationValues(feature_size, value_size, value_norm, location_embedding)
        size = self.values.size
        self.rnn = AttentiveGRU(
            embedding.dimension,
            size,
            rnn_size,
            check_count("attention_size", attention_size),
            COMPILED if check_flag("compiled", compiled) else EAGER,
        )
        self.image = _image_side(pooled, feature_size, rnn_size, image_norm, absent_vectors)
        self.context_to_words = check_flag("context_to_words", context_to_words)
        read = rnn_size + (size if context_to_words else 0)
        self.vocabulary = nn.Linear(read, vocabulary_size)
        self.word_dropout = SequenceDropout("word_dropout", word_dropout)
        self.value_dropout = SequenceDropout("value_dropout", value_dropout)
        self.dropout = SequenceDropout("dropout", dropout)

    def teacher_forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> TeacherForced:
        """Read int64 `tokens` [B, T] in one pass."""
        views = self.views(features, view_mask)
        values, present = self.values(views)
        hidden, image_gates = self._image(views)
        words = self.word_dropout(self.embedding(tokens[:, :-1]))
        read = self.rnn(words, self.value_dropout(values), present, hidden, image_gates)
        return TeacherForced(self.vocabulary(self.dropout(self._shown(read))), read.attention)

    def feature_parameters(self) -> Iterator[nn.Parameter]:
        """The projection of the locations, and the pooled views' dense layer."""
        if self.values.project is not None:
            yield from self.values.project.parameters()
        if self.image is not None:
            yield from self.image.parameters()

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word: hidden [B, H], and what every step attends to."""
        views = self.views(features, view_mask)
        values, present = self.values(views)
        hidden, image_gates = self._image(views)
        memory = tuple(self.rnn.memory(values, present))
        return DecoderState(hidden, memory if image_gates is None else (*memory, image_gates))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Feed int64 `tokens` [N]; return log-probabilities [N, V] and the next state."""
        memory, rest = AttentionMemory(*state.memory[:3]), state.memory[3:]
        read = self.rnn.step(
            self.embedding(tokens), state.hidden, memory, rest[0] if rest else None
        )
        log_probs = F.log_softmax(self.vocabulary(self._shown(read)), dim=-1)
        return log_probs, DecoderState(read.hidden, state.memory, read.attention)

    def _image(self, views: ViewMaps) -> tuple[Tensor, Tensor | None]:
        """First state [B, H] and, where asked for, the image's gates of every word [B, 3H]."""
        size = self.rnn.hidden_size
        if self.image is None:
            return self.rnn.score.new_zeros(len(views.maps), size), None
        image = self.image(views).to(self.rnn.score.dtype)
        gates = image[:, size:] if image.shape[1] > size else None
        return image[:, :size].tanh(), gates

    def _shown(self, read: Unrolled) -> Tensor:
        """What words are read from: states [..., H], with contexts [..., D] if asked for."""
        if self.context_to_words:
            return torch.cat([read.hidden, read.context], dim=-1)
        return read.hidden


def _image_side(
    pooled: str,
    feature_size: int,
    rnn_size: int,
    norm: str,
    absent_vectors: bool,
) -> PooledViews | None:
    """What turns pooled views into a first state, and into three gates a word besides."""
    sizes = {"initial": rnn_size, "every_step": 4 * rnn_size, "none": 0}
    size = sizes[check_choice("pooled", pooled, POOLED)]
    if not size:
        return None
    return PooledViews(feature_size, size, norm, absent_vectors)
