"""Small report checkpoints as `train.py` writes them, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from xray_report.inference.checkpoint import CHECKPOINT_FORMAT
from xray_report.models.decoders.build import build_decoder
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.protocol import Preprocessing
from xray_report.models.encoders.weights.files import DESCRIPTION_KEY
from xray_report.models.report_model import ReportModel
from xray_report.text.words import SPECIAL_WORDS, Vocabulary, WordTokenizer

WORDS = (*SPECIAL_WORDS, ".", "no", "effusion", "heart", "normal", "lungs", "clear")


SIZE = {"attention": "rnn_size", "encoder_decoder": "rnn_size", "transformer": "width"}


def contents(
    name: str = "attention",
    words: Sequence[str] = WORDS,
    seed: int = 0,
    encoder_seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """What a checkpoint file holds, the encoder's weights from `encoder_seed`.

    `options` are the decoder's; without any it is a small one.
    """
    torch.manual_seed(encoder_seed)
    encoder = DenseNetEncoder(Preprocessing(size=64))
    torch.manual_seed(seed)
    architecture: dict[str, Any] = {"name": name, **(options or {SIZE[name]: 16})}
    tokenizer = WordTokenizer(Vocabulary(words))
    embedding = WordEmbedding(len(words), 8)
    decoder = build_decoder(architecture, tokenizer.special, embedding, encoder.map_shape)
    with torch.no_grad():
        decoder.vocabulary.weight.mul_(20)  # type: ignore[union-attr]
        decoder.vocabulary.bias[tokenizer.special.eos] -= 20  # type: ignore[union-attr]
    state = ReportModel(encoder, decoder).state_dict()
    return {
        "state_dict": {f"model.{key}": value for key, value in state.items()},
        "hyper_parameters": {
            "encoder": encoder.describe(),
            "tokenizer": tokenizer.to_plain(),
            "decoder": architecture,
            "embedding_size": 8,
            "optimizer": {},
            "max_tokens": 100,
            "about": {
                "data": "phantom", "target": "findings", "seed": 0, "precision": "float32",
            },
        },
        DESCRIPTION_KEY: {
            "kind": "report", "format": CHECKPOINT_FORMAT, "scores": {"val/loss": 1.0},
        },
    }  # fmt: skip


def save(path: Path, **options: Any) -> Path:
    """Write a checkpoint to `path`; options as of `contents`."""
    torch.save(contents(**options), path)
    return path
