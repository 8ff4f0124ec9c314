"""The decoder protocol: single steps for searches, teacher forcing for training.

Rows are hypotheses, grouped by study: with B studies and K hypotheses each, row `b * K + k`
is hypothesis k of study b. A search treats a state as opaque: it only selects rows or studies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

from torch import Tensor, nn

from xray_report.errors import OptionError
from xray_report.models.embedding import WordEmbedding
from xray_report.models.maps import MapShape
from xray_report.options import check_count
from xray_report.tokens import SpecialTokens

Tree: TypeAlias = "Tensor | tuple[Tree, ...]"
"""Tensors in tuples, nested as a decoder likes; named tuples stay what they are."""


class DecoderState(NamedTuple):
    """What a decoder carries from word to word.

    Args:
        rows: tree of tensors [N, ...], one row a hypothesis, such as a GRU's state.
        studies: tree of tensors [B, ...], one row a study, never copied per hypothesis: what is
            attended to. N is a multiple of B and rows are study-major.
        attention: [N, L] weights of the step that made this state, or None before the first
            step and for models without attention.
    """

    rows: Tree
    studies: Tree
    attention: Tensor | None = None


def map_tree(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """`tree` with `function` applied to each of its tensors."""
    if isinstance(tree, Tensor):
        return function(tree)
    parts = [map_tree(function, part) for part in tree]
    make: Any = getattr(tree, "_make", tuple)
    mapped: Tree = make(parts)
    return mapped


def select_rows(state: DecoderState, rows: Tensor) -> DecoderState:
    """Hypotheses `rows` (int64 [M]) of `state`: widens (repeated rows) and reorders.

    The studies stay, so M must be a multiple of B and rows must stay within their study.
    """

    def pick(part: Tensor) -> Tensor:
        return part.index_select(0, rows)

    attention = None if state.attention is None else pick(state.attention)
    return DecoderState(map_tree(pick, state.rows), state.studies, attention)


def select_studies(state: DecoderState, studies: Tensor, batch: int) -> DecoderState:
    """Studies `studies` (int64 [M]) of the `batch` in `state`, with all their rows."""

    def pick(part: Tensor) -> Tensor:
        return rows_of_studies(part, studies, batch)

    return DecoderState(
        map_tree(pick, state.rows),
        map_tree(lambda part: part.index_select(0, studies), state.studies),
        None if state.attention is None else pick(state.attention),
    )


def by_study(rows: Tensor, batch: int) -> Tensor:
    """`rows` [batch * K, ...] as [batch, K, ...]."""
    # Not `len`, here and in the decoders: it would fix the size in an export (`models.onnx`).
    return rows.reshape(batch, rows.shape[0] // batch, *rows.shape[1:])


def rows_of_studies(rows: Tensor, studies: Tensor, batch: int) -> Tensor:
    """All rows of `studies` (int64 [M]) among `rows` [batch * K, ...]: [M * K, ...]."""
    return by_study(rows, batch).index_select(0, studies).flatten(0, 1)


class StepModel(Protocol):
    """The decoding protocol: all that a search needs of a model."""

    @property
    def special(self) -> SpecialTokens:
        """Which ids begin and end a report, and which are never written."""
        ...

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word, one row a study.

        Args:
            features: float [B, 2, C, h, w], one map a view.
            view_mask: bool [B, 2], True where the view is present.
        """
        ...

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Feed int64 `tokens` [N]; return log-probabilities [N, V] of the next word and the state.

        N may be any multiple of the studies in `state`. The given state stays as it is and may
        be stepped from again.
        """
        ...


@runtime_checkable
class Classifier(Protocol):
    """A `StepModel` that also says what it sees in whole studies, such as a guided decoder."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the K labels that it looks for."""
        ...

    def classify(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """Which of them it sees, bool [B, K]; arguments as of `StepModel.initial_state`."""
        ...


# The base class of report decoders.

VIEWS = 2


class TeacherForced(NamedTuple):
    """Predictions for the words of given reports.

    Args:
        logits: [B, T-1, V]; row t is about word t+1 given words 0..t.
        attention: [B, T-1, 2 * h * w] attention weights for each of those words, or None.
    """

    logits: Tensor
    attention: Tensor | None


class Decoder(nn.Module, ABC):
    """A model that writes a report from the maps of a study's views.

    It is a `StepModel` for the searches. In every method `features` are float
    [B, 2, C, h, w] (any floating type) and `view_mask` is bool [B, 2], False where the view is
    missing; the features of a missing view are never read.

    A subclass takes its options after these arguments, as keywords of plain values.

    Args:
        special: the special ids of its tokenizer.
        embedding: vectors of the V tokens.
        maps: shape of a view's map.

    Attributes:
        seen: of pretrained weights, as far as is known, what texts they have read: `weights`,
            `trained_on` (data sets) and `studies` (ids by data set).

    Raises:
        OptionError: a special id that is no token, or padding that is also the end.
    """

    def __init__(self, special: SpecialTokens, embedding: WordEmbedding, maps: MapShape) -> None:
        super().__init__()
        self.special = check_special(special, embedding.vocabulary_size)
        self.embedding = embedding
        self.maps = maps
        self.seen: dict[str, Any] = {}
        for name, size in maps._asdict().items():
            check_count(f"maps.{name}", size)

    @classmethod
    def portable(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """`options` as checkpoints keep them: with what they name on this machine in its place."""
        return dict(options)

    @abstractmethod
    def teacher_forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> TeacherForced:
        """Read int64 `tokens` [B, T] (BOS ... EOS PAD) in one pass."""

    def forward(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> Tensor:
        """Logits [B, T-1, V] of the words after the first, given the words before them."""
        return self.teacher_forced(features, view_mask, tokens).logits

    @abstractmethod
    def feature_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that want a slower learning rate than the rest.

        Those of the layers that read the encoder's many channels, which see far larger inputs, and
        pretrained ones.
        """

    @abstractmethod
    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word; see `StepModel.initial_state`."""

    @abstractmethod
    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Feed int64 `tokens` [N]; see `StepModel.step`."""


def check_special(special: SpecialTokens, vocabulary_size: int) -> SpecialTokens:
    """`special`; `OptionError` unless its ids are tokens and padding is not the end."""
    for name, token in special._asdict().items():
        if token is not None and not 0 <= token < vocabulary_size:
            raise OptionError(
                f"special token {name}={token} is not among the {vocabulary_size} tokens of the "
                "embedding: build both from the same tokenizer"
            )
    if special.pad == special.eos:
        raise OptionError(
            f"special tokens pad and eos are both {special.pad}: what pads must not end"
        )
    return special


# Decoders by name.

DECODERS: dict[str, type[Decoder]] = {}
"""Every registered decoder by the name that `architecture["name"]` calls it."""

SomeDecoder = TypeVar("SomeDecoder", bound=type[Decoder])


def register_decoder(name: str) -> Callable[[SomeDecoder], SomeDecoder]:
    """Class decorator that makes a decoder known as `name`."""

    def register(decoder: SomeDecoder) -> SomeDecoder:
        if name in DECODERS:
            raise OptionError(f"a decoder {name!r} is registered already: {DECODERS[name]}")
        DECODERS[name] = decoder
        return decoder

    return register
