"""The attention model: a GRU that attends to the locations of both views before each word.

With each word the GRU (Cho et al. 2014, in the form of `torch.nn.GRU`) reads a context: the sum of
the locations weighted by attention (Bahdanau, Cho and Bengio 2015, arXiv:1409.0473, equations 5, 6
and section A.1.2):
e_j = V . tanh(U h_j + W s), alpha = softmax_j(e_j), context = sum_j alpha_j h_j.

In order: the decoder, the recurrence, one step of it (`attention_step`), and how that is fused by
torch.compile while training. What needs no state is computed outside the loop over words: the keys
U h_j once a study, the words' share of the gates and the vocabulary's logits in one product each.
Gradients are autograd's.

Shapes: B studies, K rows (hypotheses) of each, T words, L locations, A attention units,
D value size, E word vector size, H state size.
"""

from __future__ import annotations

import errno
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from xray_report.errors import OptionError, causes
from xray_report.files import DISK_FULL
from xray_report.models.decoders.protocol import (
    Decoder,
    DecoderState,
    TeacherForced,
    by_study,
    register_decoder,
)
from xray_report.models.decoders.views import LocationValues, MapReader, PooledViews, ViewMaps
from xray_report.models.embedding import SequenceDropout, WordEmbedding
from xray_report.models.maps import MapShape
from xray_report.options import check_choice, check_count, check_flag
from xray_report.tokens import SpecialTokens

POOLED = ("initial", "every_step", "none")


@register_decoder("attention")
class AttentionDecoder(Decoder):
    """GRU with Bahdanau attention; each state writes one word.

    Xu et al. 2015 ("Show, Attend and Tell"), section 3.1.2, on the maps of two views.

    Args:
        special: the special ids of its tokenizer.
        embedding: vectors of the V tokens.
        maps: shape of a view's map.
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
        compile: fuse each word of training by torch.compile, which changes results by rounding:
            True, False, or "auto", on CPUs and CUDA devices where a compiler is found.

    Raises:
        OptionError: an option is out of range; with `compile=True`, also in the first training
            step, where nothing can compile.
    """

    def __init__(
        self,
        special: SpecialTokens,
        embedding: WordEmbedding,
        maps: MapShape,
        *,
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
        compile: bool | str = "auto",
    ) -> None:
        super().__init__(special, embedding, maps)
        self.views = MapReader(maps, channel_norm)
        self.values = LocationValues(maps, value_size, value_norm, location_embedding)
        self.rnn = AttentiveGRU(
            embedding.dimension,
            self.values.size,
            check_count("rnn_size", rnn_size),
            check_count("attention_size", attention_size),
            compile,
        )
        # The pooled views make the first state and, where asked for, three gates a word besides.
        shares = {"initial": 1, "every_step": 4, "none": 0}[check_choice("pooled", pooled, POOLED)]
        self.image = (
            PooledViews(maps, shares * rnn_size, image_norm, absent_vectors) if shares else None
        )
        self.context_to_words = check_flag("context_to_words", context_to_words)
        read = rnn_size + (self.values.size if context_to_words else 0)
        self.vocabulary = nn.Linear(read, embedding.vocabulary_size)
        self.word_dropout = SequenceDropout("word_dropout", word_dropout)
        self.value_dropout = SequenceDropout("value_dropout", value_dropout)
        self.dropout = SequenceDropout("dropout", dropout)

    def teacher_forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> TeacherForced:
        """Read int64 `tokens` [B, T] in one pass."""
        memory, hidden, image_gates = self._read_views(features, view_mask)
        words = self.word_dropout(self.embedding(tokens[:, :-1]))
        read = self.rnn(words, memory, hidden, image_gates)
        return TeacherForced(
            self.vocabulary(self.dropout(self._word_features(read))), read.attention
        )

    def feature_parameters(self) -> Iterator[nn.Parameter]:
        """The projection of the locations, and the pooled views' dense layer."""
        if self.values.project is not None:
            yield from self.values.project.parameters()
        if self.image is not None:
            yield from self.image.parameters()

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word: hidden [B, H], and what every step attends to."""
        memory, hidden, image_gates = self._read_views(features, view_mask)
        return DecoderState(hidden, (memory,) if image_gates is None else (memory, image_gates))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Feed int64 `tokens` [N]; return log-probabilities [N, V] and the next state."""
        hidden: Any = state.rows
        studies: Any = state.studies
        memory, image_gates = studies if len(studies) == 2 else (*studies, None)
        read = self.rnn.step(self.embedding(tokens), hidden, memory, image_gates)
        log_probs = F.log_softmax(self.vocabulary(self._word_features(read)), dim=-1)
        return log_probs, DecoderState(read.hidden, state.studies, read.attention)

    def _read_views(
        self, features: Tensor, view_mask: Tensor
    ) -> tuple[Memory, Tensor, Tensor | None]:
        """The memory, the first state [B, H], and the image's gates [B, 3H] or None."""
        views = self.views(features, view_mask)
        values, present = self.values(views)
        memory = self.rnn.memory(self.value_dropout(values), present)
        return memory, *self._image(views)

    def _image(self, views: ViewMaps) -> tuple[Tensor, Tensor | None]:
        size = self.rnn.hidden_size
        if self.image is None:
            # The first word's inputs are like all others', with a gradient: one compilation.
            return self.rnn.score.new_zeros(views.maps.shape[0], size, requires_grad=True), None
        image = self.image(views).to(self.rnn.score.dtype)
        gates = image[:, size:] if image.shape[1] > size else None
        return image[:, :size].tanh(), gates

    def _word_features(self, read: Read) -> Tensor:
        """Input of the vocabulary layer: states [..., H], joined to contexts [..., D] if chosen."""
        if self.context_to_words:
            return torch.cat([read.hidden, read.context], dim=-1)
        return read.hidden


class Memory(NamedTuple):
    """What the words of a study attend to; computed once a study.

    Args:
        exp_keys: [B, L, A], exp(2 U h_j).
        values: [B, L, D], h_j, zero where the view is missing.
        bias: [B, L], 0 where the view is present and very low where it is missing.
    """

    exp_keys: Tensor
    values: Tensor
    bias: Tensor


class Read(NamedTuple):
    """States [..., H], contexts [..., D] and attention [..., L] after words."""

    hidden: Tensor
    context: Tensor
    attention: Tensor


class AttentiveGRU(nn.Module):
    """GRU over words that attends to a study's locations before each of them.

    Args:
        word_size: E, length of a word's input vector.
        value_size: D, length of a location's vector.
        hidden_size: H.
        attention_size: A, units of the tanh layer that scores a location.
        compile: True, False or "auto"; see `AttentionDecoder`.
    """

    def __init__(
        self,
        word_size: int,
        value_size: int,
        hidden_size: int,
        attention_size: int,
        compile: bool | str = "auto",
    ) -> None:
        super().__init__()
        if compile != "auto" and not isinstance(compile, bool):
            raise OptionError(f"compile must be true, false or auto, got {compile!r}")
        self.hidden_size, self.fuse = hidden_size, compile
        self.fusible: dict[tuple[torch.device, torch.dtype], bool] = {}
        self.keys = nn.Linear(value_size, attention_size, bias=False)
        self.words = nn.Linear(word_size, 3 * hidden_size)
        self.context_weight = nn.Parameter(torch.empty(3 * hidden_size, value_size))
        # Rows: the state's share of reset, update and new, then W of the attention.
        self.state_weight = nn.Parameter(torch.empty(3 * hidden_size + attention_size, hidden_size))
        self.state_bias = nn.Parameter(torch.zeros(3 * hidden_size + attention_size))
        self.score = nn.Parameter(torch.empty(attention_size))
        # Gates as `torch.nn.GRU` starts them, the score as a linear layer's.
        bound = 1 / math.sqrt(hidden_size)
        for weight in (self.words.weight, self.context_weight, self.state_weight):
            nn.init.uniform_(weight, -bound, bound)
        nn.init.zeros_(self.words.bias)
        bound = 1 / math.sqrt(attention_size)
        nn.init.uniform_(self.score, -bound, bound)

    def __getstate__(self) -> dict[str, Any]:
        """Without what was found about compilers: a copy may be loaded on another machine."""
        return {**self.__dict__, "fusible": {}}

    def memory(self, values: Tensor, present: Tensor) -> Memory:
        """What words attend to: values [B, L, D], of which bool `present` [B, L] exist."""
        dtype = self.score.dtype
        keys = self.keys(values)
        # Finite, so that a study with no view at all attends evenly to zero values: no NaN.
        lowest = torch.finfo(dtype).min / 2
        bias = torch.zeros_like(present, dtype=dtype).masked_fill_(~present, lowest)
        return Memory(doubled_exp(keys.to(dtype)), values.to(keys.dtype), bias)

    def forward(
        self, words: Tensor, memory: Memory, hidden: Tensor, image_gates: Tensor | None = None
    ) -> Read:
        """Run all words; results [B, T, ...].

        Args:
            words: [B, T, E].
            memory: of the B studies.
            hidden: [B, H], state before the first word.
            image_gates: [B, 3H] to add to the gates of every word.
        """
        gates = self.words(words.transpose(0, 1)).unsqueeze(2)
        if image_gates is not None:
            gates = gates + image_gates.to(gates.dtype).unsqueeze(1)
        hidden, read = hidden.unsqueeze(1), []
        with torch.autocast(hidden.device.type, enabled=False):
            context_weight, state_weight, state_bias, score = self._weights(gates)
            biases = state_bias.expand(*gates.shape[:3], -1)
            states: list[Tensor] = []
            contexts: list[Tensor] = []
            gates = GradientAtOnce.apply(gates, context_weight, contexts)
            biases = GradientAtOnce.apply(biases, state_weight, states)
            constants = (*memory, context_weight.detach(), state_weight.detach(), score)
            step = self._step(gates[0], hidden, biases[0], *constants)
            for word_gates, bias in zip(gates.unbind(0), biases.unbind(0), strict=True):
                states.append(hidden.detach())
                read.append(step(word_gates, hidden, bias, *constants))
                hidden, context, _ = read[-1]
                contexts.append(context.detach())
        return Read(*(torch.cat(part, 1) for part in zip(*read, strict=True)))

    def step(
        self, words: Tensor, hidden: Tensor, memory: Memory, image_gates: Tensor | None = None
    ) -> Read:
        """Run one word of N rows: words [N, E], hidden [N, H]; results [N, ...].

        N is a multiple of the memory's B, rows study-major; nothing of the memory is copied.
        """
        batch = memory.bias.shape[0]
        gates = by_study(self.words(words), batch)
        if image_gates is not None:
            gates = gates + image_gates.to(gates.dtype).unsqueeze(1)
        rows = by_study(hidden, batch)
        with torch.autocast(hidden.device.type, enabled=False):
            context_weight, state_weight, state_bias, score = self._weights(gates)
            read = attention_step(
                gates, rows, state_bias, *memory, context_weight, state_weight, score
            )
        return Read(*(part.flatten(0, 1) for part in read))

    def _weights(self, gates: Tensor) -> tuple[Tensor, ...]:
        """Weights of `attention_step`; of products in the dtype that autocast gave."""
        weights = self.context_weight, self.state_weight, self.state_bias
        return *(weight.to(gates.dtype) for weight in weights), self.score

    def _step(self, word_gates: Tensor, hidden: Tensor, *constants: Tensor) -> WordStep:
        """`attention_step`, fused where that was chosen and works for these first arguments."""
        # A batch of one would be compiled for itself.
        training = self.training and torch.is_grad_enabled()
        if self.fuse is False or not training or len(hidden) == 1:
            return attention_step
        key = word_gates.device, word_gates.dtype
        if key not in self.fusible:
            self.fusible[key] = try_compile(word_gates, hidden, *constants, must=self.fuse is True)
        return fused_step if self.fusible[key] else attention_step


CLAMP = 20.0
"""Keys and queries are held in [-CLAMP, CLAMP], where tanh is 1 to the last bit of a double.

It keeps exp(2k) exp(2q) finite and above zero in single precision.
"""


def doubled_exp(pre_activation: Tensor) -> Tensor:
    """exp(2x) of keys or queries x, x held within `CLAMP`."""
    return torch.exp(2 * pre_activation.clamp(-CLAMP, CLAMP))


def attention_step(
    word_gates: Tensor,
    hidden: Tensor,
    state_bias: Tensor,
    exp_keys: Tensor,
    values: Tensor,
    bias: Tensor,
    context_weight: Tensor,
    state_weight: Tensor,
    score: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """One word: attend, then update the state; state [B, K, H], context [B, K, D], alpha [B, K, L].

    With k = U h_j and q = W s, tanh(k + q) = 1 - 2 / (1 + exp(2k) exp(2q)). The constant 1 adds
    V . 1 to every location and vanishes in the softmax. The exponentials are computed once a study
    and once a word, so that each tanh, most of the work, is reduced to a division.

    Args:
        word_gates: [B, K, 3H], the word's share of the gates reset, update and new.
        hidden: [B, K, H], the state before the word.
        state_bias: [3H + A] or [B, K, 3H + A], added to the products with `state_weight`.
        exp_keys, values, bias: of a `Memory`.
        context_weight: [3H, D], from contexts to gates.
        state_weight: [3H + A, H], from states to gates and query.
        score: [A], V.
    """
    size, units, low, full = hidden.shape[-1], score.shape[0], state_weight.dtype, hidden.dtype
    state = (F.linear(hidden.to(low), state_weight) + state_bias).to(full)
    state_gates, state_new, query = torch.split(state, [2 * size, size, units], -1)
    exp_sums = exp_keys.unsqueeze(1) * doubled_exp(query).unsqueeze(2)
    scores = exp_sums.add_(1).reciprocal_() @ (-2 * score) + bias.unsqueeze(1)
    alpha = scores.softmax(-1)
    context = alpha.to(low) @ values
    gates = word_gates.to(full) + F.linear(context, context_weight).to(full)
    reset, update = (gates[..., : 2 * size] + state_gates).sigmoid().chunk(2, -1)
    new = (gates[..., 2 * size :] + reset * state_new).tanh()
    return torch.lerp(new, hidden, update), context.to(full), alpha


class GradientAtOnce(torch.autograd.Function):
    """Gives a weight its gradient of all words in one product, instead of one product a word.

    Each word t adds `added[t]` to the product of its own input x_t with the weight, so that the
    gradient of `added` is that of the products, and the weight's is its product with all x_t.
    The words themselves use the weight detached.
    """

    @staticmethod
    def forward(ctx: Any, added: Tensor, weight: Tensor, inputs: list[Tensor]) -> Tensor:
        """`added` [T, B, 1, O] as it is.

        Args:
            added: what is added to the products.
            weight: [O, I].
            inputs: filled by the words with detached x_t [B, 1, I], which the backward pass reads.
        """
        ctx.inputs, ctx.dtype = inputs, weight.dtype
        return added.view_as(added)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of `added` and of the weight."""
        inputs = torch.stack(ctx.inputs).flatten(0, 2).to(ctx.dtype)
        return gradient, gradient.flatten(0, 2).to(ctx.dtype).mT @ inputs, None


WordStep = Callable[..., tuple[Tensor, Tensor, Tensor]]


@cache
def _compiled() -> WordStep:
    return torch.compile(attention_step, dynamic=False)


def fused_step(word_gates: Tensor, hidden: Tensor, *constants: Tensor) -> Any:
    """`attention_step` by torch.compile: nothing of [B, L, A] is kept for the backward pass.

    Compiled once for all batches of two studies and more, whatever their number of words.
    """
    for part in (word_gates, hidden, *constants[:4]):
        torch._dynamo.mark_dynamic(part, 0)
    return _compiled()(word_gates, hidden, *constants)


def no_room(error: BaseException) -> str:
    """What the system, or a compiler in its words, said of a full or read-only disk; or ""."""
    for one in causes(error):
        for number in (*DISK_FULL, errno.EROFS):
            said = os.strerror(number)
            if getattr(one, "errno", None) == number or said in str(one):
                return said
    return ""


def try_compile(word_gates: Tensor, hidden: Tensor, *constants: Tensor, must: bool) -> bool:
    """Compile a step forwards and backwards, and print how long it took or why it failed.

    Raises:
        OptionError: it failed although it `must` succeed.
    """
    start = time.perf_counter()
    try:
        if not must and word_gates.device.type not in ("cpu", "cuda"):
            raise OptionError(f'compile="auto" does not try it on {word_gates.device.type}')
        read = fused_step(word_gates, hidden, *constants)
        torch.autograd.grad(sum(part.sum() for part in read), constants[-1])
    except Exception as error:  # whatever stops a compiler, training goes on without it
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if full := no_room(error):
            reason = (
                f"{full} where compiled code is kept, {tempfile.gettempdir()}: make room there, or "
                "name another place by the environment's TMPDIR"
            )
            if must:
                raise OptionError(f"compile=true: {reason}") from error
        if must:
            raise OptionError(
                "compile=true needs a compiler that torch.compile can use (g++ on a CPU, Triton "
                f'on a GPU): install one, or use "auto" or false ({reason})'
            ) from error
        print(f"attention: words run without torch.compile: {reason}", file=sys.stderr)
        return False
    taken = time.perf_counter() - start
    print(f"attention: torch.compile fused the words in {taken:.0f} s", file=sys.stderr)
    return True
