"""Small report checkpoints as `train.py` writes them, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from xray_report.models.decoders.build import build_decoder
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.protocol import Preprocessing
from xray_report.models.report_model import ReportModel
from xray_report.tokens import EOS_ID, SPECIAL_WORDS

WORDS = (*SPECIAL_WORDS, ".", "no", "effusion", "heart", "normal", "lungs", "clear")


def contents(
    name: str = "attention", words: Sequence[str] = WORDS, seed: int = 0, encoder_seed: int = 0
) -> dict[str, Any]:
    """What a checkpoint file holds, the encoder's weights from `encoder_seed`."""
    torch.manual_seed(encoder_seed)
    encoder = DenseNetEncoder(Preprocessing(size=32))
    torch.manual_seed(seed)
    architecture: dict[str, Any] = {"name": name, "rnn_size": 16}
    decoder = build_decoder(architecture, len(words), WordEmbedding(len(words), 8))
    with torch.no_grad():
        decoder.vocabulary.weight.mul_(20)
        decoder.vocabulary.bias[EOS_ID] -= 4  # reports of some words
    state = ReportModel(encoder, decoder).state_dict()
    return {
        "state_dict": {f"model.{key}": value for key, value in state.items()},
        "xray_report": {
            "kind": "report",
            "architecture": architecture,
            "vocabulary": list(words),
            "cleaner": {},
            "encoder": encoder.describe(),
            "about": {"data": "phantom", "target": "findings", "seed": 0, "precision": "float32"},
            "scores": {"val/loss": 1.0},
        },
    }


def save(path: Path, **options: Any) -> Path:
    """Write a checkpoint to `path`; options as of `contents`."""
    torch.save(contents(**options), path)
    return path
