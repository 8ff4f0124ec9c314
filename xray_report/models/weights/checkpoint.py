"""Encoders in our own files: a checkpoint of train.py, or an exported safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from xray_report.errors import WeightsError
from xray_report.files import replacing
from xray_report.models.densenet import DenseNetEncoder, Preprocessing
from xray_report.models.weights.reading import NamedTensor, Reading
from xray_report.models.weights.state_dict import features_prefix

KEY = "xray_report"


def read_ours(plain: Mapping[str, Any], tensors: Mapping[str, Tensor], file: str) -> Reading:
    """Read the encoder of our own file.

    Args:
        plain: what the file says of itself: `kind`, `encoder` (as `DenseNetEncoder.describe`).
        tensors: its state dict; what is not under the encoder's prefix is another module's.
        file: name for messages.
    """
    try:
        described = plain["encoder"]
        preprocessing = Preprocessing.from_dict(described["preprocessing"])
        source = dict(described["source"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{file}: its description of the encoder is damaged: {error}") from error
    trained_on = tuple(source.pop("trained_on", ()))
    first = (source.pop("weights", "unnamed weights"), source.pop("format", "unknown format"))
    source.setdefault("origin", "{} ({})".format(*first))
    reading = Reading(f"xray-report {plain.get('kind', 'encoder')}", {}, preprocessing)
    reading.trained_on, reading.facts = trained_on, source
    prefix = features_prefix(tensors, file)
    for name, tensor in tensors.items():
        if name.startswith(prefix) and not name.endswith("num_batches_tracked"):
            reading.tensors[name[len(prefix) :]] = NamedTensor(name, tensor.float())
        else:
            reading.aside.append(name)
    return reading


def export_encoder(
    encoder: DenseNetEncoder, path: str | Path, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a safetensors file that describes itself: convolutions in float16, norms in float32.

    Norms stay float32 since running variances go beyond what float16 holds.

    Args:
        encoder: whose weights, preprocessing and source to write.
        path: where to.
        metadata: what else to say of the weights, JSON types: command, seed, scores.
    """
    tensors = {
        f"features.{name}": _compact(tensor)
        for name, tensor in encoder.features.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    plain = {"kind": "encoder", "encoder": encoder.describe(), "metadata": dict(metadata or {})}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={KEY: json.dumps(plain, sort_keys=True)})


def _compact(tensor: Tensor) -> Tensor:
    """Float16 where that is harmless."""
    tensor = tensor.detach().cpu().float().contiguous()
    half = tensor.to(torch.float16)
    return half if tensor.dim() > 1 and bool(torch.isfinite(half).all()) else tensor
