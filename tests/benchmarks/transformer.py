"""Benchmark: beam 5 of the transformer decoder, beside transformers' generate on an equal network.

The other network is transformers' GPT-2 with cross-attention, of the same sizes and with the same
weights (pre-norm, learnt positions), with its own key/value cache. Both write the same words.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from xray_report.inference.beam import BeamSearch
from xray_report.models.decoders.protocol import MapShape
from xray_report.models.decoders.transformer import TransformerDecoder
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.extractor import keep_freed_memory
from xray_report.tokens import WORD_TOKENS

WIDTH = 5


def decoder_of(vocabulary: int, maps: MapShape, **sizes: int) -> TransformerDecoder:
    """A decoder with random weights, its words about as sharp as a trained model's."""
    torch.manual_seed(0)
    model = TransformerDecoder(WORD_TOKENS, WordEmbedding(vocabulary, 50), maps, **sizes).eval()
    with torch.no_grad():
        model.vocabulary.weight *= 8
        model.vocabulary.bias.zero_()
    return model


def equal_gpt2(model: TransformerDecoder) -> Any:
    """GPT-2 with cross-attention that computes what `model` does from the locations on."""
    from transformers import GPT2Config, GPT2LMHeadModel

    layers = list(model._layers())
    config = GPT2Config(
        vocab_size=model.embedding.vocabulary_size,
        n_positions=model.max_positions,
        n_embd=model.norm.normalized_shape[0],
        n_layer=len(layers),
        n_head=layers[0].words.heads,
        n_inner=layers[0].expand.out_features,
        activation_function="gelu",
        add_cross_attention=True,
        tie_word_embeddings=False,
        bos_token_id=WORD_TOKENS.bos,
        eos_token_id=WORD_TOKENS.eos,
        pad_token_id=WORD_TOKENS.pad,
    )
    other = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        other.transformer.wte.weight.copy_(model.to_width(model.embedding.rows()))
        other.transformer.wpe.weight.copy_(model.positions)
        other.lm_head.weight.copy_(model.vocabulary.weight)
        same(other.transformer.ln_f, model.norm)
        for theirs, ours in zip(other.transformer.h, layers, strict=True):
            norms = (theirs.ln_1, theirs.ln_cross_attn, theirs.ln_2)
            for norm, own in zip(norms, ours.norms, strict=True):
                same(norm, own)
            same(theirs.attn.c_attn, ours.words.project)
            same(theirs.attn.c_proj, ours.words.join)
            same(theirs.crossattention.q_attn, ours.locations.query)
            same(theirs.crossattention.c_attn, ours.locations.project)
            same(theirs.crossattention.c_proj, ours.locations.join)
            same(theirs.mlp.c_fc, ours.expand)
            same(theirs.mlp.c_proj, ours.contract)
    return other


def same(theirs: Any, ours: nn.Module) -> None:
    """Give a layer of GPT-2, whose linear ones are transposed, the parameters of ours."""
    theirs.weight.copy_(ours.weight.T if isinstance(ours, nn.Linear) else ours.weight)
    theirs.bias.copy_(ours.bias)


def by_generate(
    model: TransformerDecoder, other: Any, features: Tensor, mask: Tensor, length: int
) -> list[list[int]]:
    """Words of each study by transformers' beam search."""
    values, present = model._read_views(features, mask)
    found = other.generate(
        torch.full((len(features), 1), WORD_TOKENS.bos),
        encoder_hidden_states=values,
        encoder_attention_mask=present[:, 0, 0].long(),
        num_beams=WIDTH,
        max_new_tokens=length,
        do_sample=False,
        suppress_tokens=[*WORD_TOKENS.never_generated, WORD_TOKENS.eos],
    )
    words: list[list[int]] = found[:, 1:].tolist()
    return words


def by_ours(
    model: TransformerDecoder, features: Tensor, mask: Tensor, length: int
) -> list[list[int]]:
    """The same by ours."""
    search = BeamSearch(beam_width=WIDTH, max_length=length)
    found = search(model, features, mask)
    return [list(one[0].token_ids) for one in found]


@torch.inference_mode()
def run(
    studies: int = 64, length: int = 36, vocabulary: int = 1400, repeats: int = 3
) -> dict[str, float]:
    """Seconds of both, in turns, for reports that none of them ends before `length` words."""
    maps = MapShape(64, 7, 7)
    model = decoder_of(vocabulary, maps)
    other = equal_gpt2(model)
    model.vocabulary.bias[WORD_TOKENS.eos] = -1e9
    features = torch.randn(studies, 2, *maps, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(studies, 2, dtype=torch.bool)
    ours, theirs = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        mine = by_ours(model, features, mask, length)
        middle = time.perf_counter()
        others = by_generate(model, other, features, mask, length)
        ours.append(middle - start)
        theirs.append(time.perf_counter() - middle)
    alike = sum(one == two for one, two in zip(mine, others, strict=True))
    return {
        "studies": studies,
        "words": length,
        "ours, reports/s": studies / min(ours),
        "transformers, reports/s": studies / min(theirs),
        "ours over transformers": min(theirs) / min(ours),
        "equal reports, share": alike / studies,
    }


if __name__ == "__main__":
    keep_freed_memory()
    print(run())
