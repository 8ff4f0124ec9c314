"""Pretrained language models as decoders: GPT-2 and BERT, of Hugging Face's transformers.

Their layers read the words before, as they were trained to; between these and the rest of a layer
comes cross-attention to the locations of both views, which is new. Tokens come and go by the
embedding that every decoder here has, so that a vocabulary may be smaller than theirs.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; Devlin et al. 2018
(arXiv:1810.04805), as a decoder after Rothe et al. 2019 (arXiv:1907.12461). A folder is of the form
that transformers' `save_pretrained` writes: config.json, model.safetensors, tokenizer.json.

Shapes: B studies, K rows (hypotheses) of each, N = B * K, T words, L locations of both views,
W width, H heads of D = W / H components.
"""

from __future__ import annotations

import inspect
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.errors import MissingExtraError, OptionError, WeightsError, one_line
from xray_report.hub import network_folder
from xray_report.models.decoders.protocol import (
    Decoder,
    DecoderState,
    TeacherForced,
    register_decoder,
)
from xray_report.models.decoders.views import LocationValues, MapReader
from xray_report.models.embedding import SequenceDropout, WordEmbedding
from xray_report.models.maps import MapShape
from xray_report.options import check_choice, check_share
from xray_report.tokens import SpecialTokens

TRAINED = ("all", "new")
MISFITS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What transformers raises for a configuration that makes no network."""
OWN = "xray_report"
"""Key of a config.json under which `xray-report pretrain-decoder` says what it has seen."""


class KeysValues(NamedTuple):
    """Keys and values [.., H, P, D] of one layer: of a row's words, or of a study's locations."""

    keys: Tensor
    values: Tensor


class PretrainedDecoder(Decoder):
    """A language model with cross-attention to the locations of both views.

    Its attention for a word is that of the last layer, the mean over its heads.

    Args:
        special: the special ids of its tokenizer.
        embedding: vectors of the V tokens, which words are read from, too; of another length than
            the network's width they are brought to it and back by linear layers.
        maps: shape of a view's map.
        folder: the network's, or its name on the hub; what it starts from. A checkpoint of ours
            has `config` in its place.
        config: shape of the network, those of its config.json's keys that are in `SHAPE`.
        trained: "all", or "new": the pretrained weights stay as they are.
        location_embedding, channel_norm, word_dropout, value_dropout: as of `TransformerDecoder`.
        dropout: of the network, in the places that its family has.

    Raises:
        MissingExtraError: transformers is not installed.
        OptionError: neither folder nor config, or a value out of range.
        WeightsError: a folder without the files, of another family, or whose tensors do not fit.
    """

    family: ClassVar[str]
    SHAPE: ClassVar[tuple[str, ...]]
    prefix: ClassVar[str]

    def __init__(
        self,
        special: SpecialTokens,
        embedding: WordEmbedding,
        maps: MapShape,
        *,
        folder: str | None = None,
        config: Mapping[str, Any] | None = None,
        trained: str = "all",
        location_embedding: bool = True,
        channel_norm: bool = True,
        word_dropout: float = 0.0,
        value_dropout: float = 0.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(special, embedding, maps)
        check_choice("trained", trained, TRAINED)
        check_share("dropout", dropout)
        shape = self._shape_of(folder) if config is None else self._checked(config)
        try:
            self.network = self._build(shape, dropout)
        except MISFITS as error:
            raise OptionError(
                f"model.architecture.config is of no {self.family} ({one_line(error)})"
            ) from error
        settings: Any = self.network.config
        width = settings.hidden_size
        self.max_positions: int = settings.max_position_embeddings
        self.views = MapReader(maps, channel_norm)
        self.values = LocationValues(maps, width, places=location_embedding)
        size, same = embedding.dimension, embedding.dimension == width
        self.to_width = nn.Identity() if same else nn.Linear(size, width)
        self.to_words = nn.Identity() if same else nn.Linear(width, size, bias=False)
        self.word_bias = nn.Parameter(torch.zeros(embedding.vocabulary_size))
        self.word_dropout = SequenceDropout("word_dropout", word_dropout)
        self.value_dropout = SequenceDropout("value_dropout", value_dropout)
        if config is None and self.word_bias.device.type != "meta":
            self._load(str(folder))
        if trained == "new":
            for weight in self._pretrained():
                weight.requires_grad_(False)

    @classmethod
    def portable(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """`options` with the network's shape in place of the folder that it starts from."""
        rest = {name: value for name, value in options.items() if name != "folder"}
        if rest.get("config") is None:
            rest["config"] = cls._shape_of(options.get("folder"))
        return rest

    def feature_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the projection of the encoder's channels, and the pretrained ones."""
        if self.values.project is not None:
            yield from self.values.project.parameters()
        yield from self._pretrained()

    def teacher_forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> TeacherForced:
        """Read int64 `tokens` [B, T] in one pass."""
        return TeacherForced(*self._read(features, view_mask, tokens, attention=True))

    def forward(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> Tensor:
        """The logits of `teacher_forced`, without its attention weights."""
        return self._read(features, view_mask, tokens, attention=False)[0]

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word.

        Its rows are keys and values of a row's own words, by layer; its studies are (those of the
        locations, by layer, made once; bool [B, L], which locations there are).
        """
        values, present = self._read_views(features, view_mask)
        cache = _cache((), ())
        # The network makes keys and values of the locations as it reads a word: any will do.
        self._run(values.new_zeros(values.shape[0], 1, values.shape[2]), values, present, cache)
        memory = tuple(
            KeysValues(layer.keys, layer.values) for layer in cache.cross_attention_cache.layers
        )
        past = tuple(KeysValues(one.keys[:, :, :0], one.values[:, :, :0]) for one in memory)
        return DecoderState(past, (memory, present))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Feed int64 `tokens` [N]; return log-probabilities [N, V] and the next state."""
        past: Any = state.rows
        studies: Any = state.studies
        memory, present = studies
        each = tokens.shape[0] // present.shape[0]

        def by_row(part: Tensor) -> Tensor:
            return part if each == 1 else part.repeat_interleave(each, 0)

        cache = _cache(past, [KeysValues(*map(by_row, one)) for one in memory])
        words = self._embedded(tokens.unsqueeze(1), past[0].keys.shape[2])
        # Only the number of locations is read of these: their keys and values are in the cache.
        blank = words.new_zeros(1, 1, 1).expand(tokens.shape[0], present.shape[1], words.shape[2])
        found = self._run(words, blank, by_row(present), cache, output_attentions=True)
        written = cache.self_attention_cache.layers
        rows = tuple(KeysValues(layer.keys, layer.values) for layer in written)
        log_probs = F.log_softmax(self._logits(found.last_hidden_state[:, 0]), dim=-1)
        attention = found.cross_attentions[-1].mean(1)[:, 0]
        return log_probs, DecoderState(rows, (memory, present), attention)

    def _read(
        self, features: Tensor, view_mask: Tensor, tokens: Tensor, attention: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Logits [B, T-1, V], and attention [B, T-1, L] if asked for."""
        values, present = self._read_views(features, view_mask)
        words = self.word_dropout(self._embedded(tokens[:, :-1]))
        found = self._run(words, self.value_dropout(values), present, output_attentions=attention)
        weights = found.cross_attentions[-1].mean(1) if attention else None
        return self._logits(found.last_hidden_state), weights

    def _read_views(self, features: Tensor, view_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Locations [B, L, W], and bool [B, L] which of them may be attended to.

        A study without any view attends to its locations all the same: they are zero.
        """
        values, present = self.values(self.views(features, view_mask))
        return values, present | ~view_mask.any(1, keepdim=True)

    def _run(
        self, words: Tensor, values: Tensor, present: Tensor, cache: Any = None, **more: Any
    ) -> Any:
        """The network's output for `words` [.., T, W] that attend to `values` [.., L, W]."""
        mask, name = present, "past_key_values"
        if "cache" in inspect.signature(self.network.forward).parameters:
            # Of today's versions: a ready mask spares the look whether one is needed, which waits
            # for the device. Older ones take none, and call the cache otherwise.
            mask, name = words.new_zeros(present.shape), "cache"
            mask = mask.masked_fill(~present, torch.finfo(words.dtype).min)[:, None, None]
        return self.network(
            inputs_embeds=words,
            encoder_hidden_states=values,
            encoder_attention_mask=mask,
            use_cache=cache is not None,
            **{name: cache},
            **more,
        )

    def _embedded(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Words [.., T, W] of `tokens` [.., T]; the network adds their positions."""
        if start + tokens.shape[1] > self.max_positions:
            raise OptionError(
                f"a report of {start + tokens.shape[1]} tokens is longer than the "
                f"{self.max_positions} that the pretrained network reads: shorten reports "
                "(max_length when decoding, text.max_tokens when training)"
            )
        words: Tensor = self.to_width(self.embedding(tokens))
        return words

    def _logits(self, hidden: Tensor) -> Tensor:
        return F.linear(self.to_words(hidden), self.embedding.rows(), self.word_bias)

    # The network and its weights.

    @classmethod
    @abstractmethod
    def _build(cls, shape: Mapping[str, Any], dropout: float) -> nn.Module:
        """The network, whose own embedding of tokens is taken out."""

    @classmethod
    def _checked(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """`config`; `OptionError` for a key that is not of `SHAPE`."""
        if unknown := sorted(set(config) - set(cls.SHAPE)):
            raise OptionError(
                f"model.architecture.config.{unknown[0]} is not of a {cls.family}'s shape: use "
                f"{', '.join(cls.SHAPE)}"
            )
        return dict(config)

    @classmethod
    def _shape_of(cls, folder: str | None) -> dict[str, Any]:
        """What the config.json of a folder says of `SHAPE`."""
        config = _config(folder)
        if config.get("model_type") != cls.family:
            raise WeightsError(
                f"model.architecture.folder={folder}: its config.json is of the model_type "
                f"{config.get('model_type')!r}, model={cls.family} needs {cls.family!r}"
            )
        return {name: config[name] for name in cls.SHAPE if name in config}

    def _pretrained(self) -> Iterator[nn.Parameter]:
        """Weights of the network but those of its cross-attention."""
        for name, weight in self.network.named_parameters():
            if not is_new(name):
                yield weight

    def _load(self, folder: str) -> None:
        """Take the weights of a folder; those of cross-attention too, where it has them."""
        file = network_folder("model.architecture.folder", folder) / "model.safetensors"
        wanted = self.network.state_dict()
        try:
            with safe_open(file, framework="pt") as stored:
                names = {name.removeprefix(f"{self.prefix}."): name for name in stored.keys()}  # noqa: SIM118
                for name, place in wanted.items():
                    if name not in names:
                        if is_new(name):
                            continue
                        raise WeightsError(f"{file}: has no tensor {name}")
                    tensor = stored.get_tensor(names[name])
                    if tensor.shape != place.shape:
                        raise WeightsError(
                            f"{file}: {name} has shape {list(tensor.shape)}, its config.json says "
                            f"{list(place.shape)}"
                        )
                    if not bool(torch.isfinite(tensor).all()):
                        raise WeightsError(f"{file}: {name} is not finite")
                    place.copy_(tensor)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{file} cannot be read ({one_line(error)})") from error
        seen = _config(folder).get(OWN)  # written by `pretrain-decoder`
        self.seen = {"weights": folder, **seen} if isinstance(seen, Mapping) else {}


def is_new(name: str) -> bool:
    """Whether a weight of the network is of its cross-attention."""
    return "crossattention" in name or "ln_cross_attn" in name


def _config(folder: str | None) -> Mapping[str, Any]:
    if folder is None:
        raise OptionError(
            "model.architecture.folder is not set: give a folder with config.json, "
            "model.safetensors and tokenizer.json, or a name on the Hugging Face hub"
        )
    path = network_folder("model.architecture.folder", folder) / "config.json"
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read ({one_line(error)})") from error
    if not isinstance(plain, Mapping):
        raise WeightsError(f"{path} is no JSON object")
    return plain


def _cache(past: Any, memory: Any) -> Any:
    """transformers' cache with the keys and values of words and of locations, by layer."""
    cached = []
    for parts in (past, memory):
        one = _transformers().DynamicCache()
        for number, part in enumerate(parts):
            if part.keys.shape[2]:
                one.update(part.keys, part.values, number)
        cached.append(one)
    return _transformers().EncoderDecoderCache(*cached)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError(
            "model=gpt2 and model=bert need transformers: pip install xray-report[transformers]"
        ) from error
    return transformers


# The families. "eager" attention, since no other gives its weights.


@register_decoder("gpt2")
class GPT2Decoder(PretrainedDecoder):
    """GPT-2, DistilGPT-2 and what has their shape."""

    family = "gpt2"
    prefix = "transformer"
    SHAPE = (
        *("n_embd", "n_layer", "n_head", "n_inner", "n_positions", "activation_function"),
        *("layer_norm_epsilon", "scale_attn_weights", "scale_attn_by_inverse_layer_idx"),
    )

    @classmethod
    def _build(cls, shape: Mapping[str, Any], dropout: float) -> nn.Module:
        config = _transformers().GPT2Config(
            **shape, **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout),
            vocab_size=1, bos_token_id=None, eos_token_id=None, add_cross_attention=True,
            attn_implementation="eager",
        )  # fmt: skip
        network: nn.Module = _transformers().GPT2Model(config)
        network.wte = nn.Identity()
        return network


@register_decoder("bert")
class BertDecoder(PretrainedDecoder):
    """BERT and what has its shape, which now sees the words before a word alone."""

    family = "bert"
    prefix = "bert"
    SHAPE = (
        *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
        *("hidden_act", "max_position_embeddings", "type_vocab_size", "layer_norm_eps"),
    )

    @classmethod
    def _build(cls, shape: Mapping[str, Any], dropout: float) -> nn.Module:
        parts = ("hidden_dropout_prob", "attention_probs_dropout_prob")
        config = _transformers().BertConfig(
            **shape, **dict.fromkeys(parts, dropout), vocab_size=1, pad_token_id=None,
            is_decoder=True, add_cross_attention=True, attn_implementation="eager",
        )  # fmt: skip
        network = _transformers().BertModel(config, add_pooling_layer=False)
        network.embeddings.word_embeddings = nn.Identity()
        built: nn.Module = network
        return built
