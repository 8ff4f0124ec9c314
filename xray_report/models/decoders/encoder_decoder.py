"""The encoder-decoder model: a merge architecture, whose recurrence never sees the images."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.models.decoders.protocol import (
    Decoder,
    DecoderState,
    TeacherForced,
    by_study,
    register_decoder,
)
from xray_report.models.decoders.views import MapReader, PooledViews
from xray_report.models.embedding import WordEmbedding
from xray_report.models.maps import MapShape
from xray_report.options import check_count, check_share
from xray_report.tokens import SpecialTokens


@register_decoder("encoder_decoder")
class EncoderDecoder(Decoder):
    """Words through a GRU, images through a dense layer, added, then a dense layer and words.

    Tanti, Gatt and Camilleri 2017, "Where to put the Image in an Image Caption Generator",
    figure 2 (merge), with addition as the merge.

    Args:
        special: the special ids of its tokenizer.
        embedding: vectors of the V tokens.
        maps: shape of a view's map.
        rnn_size: H, size of the GRU, and of the image vector added to it.
        dense_size: size of the layer between the sum and the vocabulary.
        dropout: share of the GRU's output dropped while training, in [0, 1).
        dense_dropout: share of the dense layer's output dropped while training.
        image_norm: "layer", "unit" or "none"; see `PooledViews`.
        absent_vectors: learn a vector for a missing view instead of using zeros.
        channel_norm: standardise the encoder's channels by their statistics in training.
        peaks: also show the dense layer each channel's maximum; see `PooledViews`.
    """

    def __init__(
        self,
        special: SpecialTokens,
        embedding: WordEmbedding,
        maps: MapShape,
        *,
        rnn_size: int = 256,
        dense_size: int = 256,
        dropout: float = 0.5,
        dense_dropout: float = 0.0,
        image_norm: str = "layer",
        absent_vectors: bool = True,
        channel_norm: bool = True,
        peaks: bool = False,
    ) -> None:
        super().__init__(special, embedding, maps)
        check_count("rnn_size", rnn_size)
        check_count("dense_size", dense_size)
        self.views = MapReader(maps, channel_norm)
        self.image = PooledViews(maps, rnn_size, image_norm, absent_vectors, peaks)
        self.rnn = nn.GRU(embedding.dimension, rnn_size, batch_first=True)
        self.dropout = nn.Dropout(check_share("dropout", dropout))
        self.dense = nn.Linear(rnn_size, dense_size)
        self.dense_dropout = nn.Dropout(check_share("dense_dropout", dense_dropout))
        self.vocabulary = nn.Linear(dense_size, embedding.vocabulary_size)

    def teacher_forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> TeacherForced:
        """Read int64 `tokens` [B, T] in one pass of the GRU."""
        image = self.image(self.views(features, view_mask))
        hidden, _ = self.rnn(self.embedding(tokens[:, :-1]))
        return TeacherForced(self._words(hidden, image.unsqueeze(1)), None)

    def feature_parameters(self) -> Iterator[nn.Parameter]:
        """The pooled views' dense layer."""
        yield from self.image.parameters()

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word: zeros [B, H] and the image vector [B, H]."""
        image = self.image(self.views(features, view_mask))
        hidden = image.new_zeros(image.shape[0], self.rnn.hidden_size)
        return DecoderState(hidden, image)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Feed int64 `tokens` [N]; return log-probabilities [N, V] and the next state."""
        hidden, image = state.rows, state.studies
        assert isinstance(hidden, Tensor)
        assert isinstance(image, Tensor)
        _, last = self.rnn(self.embedding(tokens).unsqueeze(1), hidden.unsqueeze(0))
        hidden = last.squeeze(0)
        logits = self._words(by_study(hidden, image.shape[0]), image.unsqueeze(1)).flatten(0, 1)
        return F.log_softmax(logits, dim=-1), DecoderState(hidden, image)

    def _words(self, hidden: Tensor, image: Tensor) -> Tensor:
        """Logits [B, *, V] of GRU outputs [B, *, H] and image vectors [B, 1, H]."""
        merged = F.relu(self.dense(self.dropout(hidden) + image))
        logits: Tensor = self.vocabulary(self.dense_dropout(merged))
        return logits
