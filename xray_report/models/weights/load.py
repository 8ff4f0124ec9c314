"""One door to encoder weights: by name, or by path with the format recognised by content."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from xray_report.errors import MissingExtraError, WeightsError, one_line
from xray_report.models.densenet import DenseNetEncoder
from xray_report.models.weights.checkpoint import KEY, read_ours
from xray_report.models.weights.keras import read_keras
from xray_report.models.weights.named import NAMES, load_named
from xray_report.models.weights.reading import ConversionReport, Reading, build_encoder
from xray_report.models.weights.state_dict import read_state_dict

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
PICKLE_MAGIC = b"\x80"


def load_encoder(weights: str, *, allow_pickle: bool = False, seed: int = 0) -> DenseNetEncoder:
    """Encoder with the weights asked for, not frozen yet.

    Args:
        weights: `phantom`, `imagenet`, `random`, or the path of a weight file.
        allow_pickle: load files that hold pickled Python objects, which can run any code.
        seed: of `random`.

    Raises `WeightsError` if there are no such weights or they do not fit.
    """
    if weights in NAMES:
        path = load_named(weights, seed)
        if isinstance(path, DenseNetEncoder):
            return path
        encoder, _ = read_weights(path)
        encoder.source["weights"] = weights
        return encoder
    return read_weights(weights, allow_pickle=allow_pickle)[0]


def read_weights(
    path: str | Path, *, allow_pickle: bool = False
) -> tuple[DenseNetEncoder, ConversionReport]:
    """Encoder from a weight file of any known format, and what became of its tensors."""
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weight file {path}; known by name: {', '.join(NAMES)}")
    return build_encoder(_read(path, allow_pickle), path.name)


def _read(path: Path, allow_pickle: bool) -> Reading:
    """Recognise the container by its first bytes and what is in it by its keys."""
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(HDF5_MAGIC):
        return read_keras(path)
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if head.startswith(PICKLE_MAGIC) or zipfile.is_zipfile(path):
        return _read_torch(_unpickle(path, allow_pickle), path.name)
    raise WeightsError(
        f"{path}: not a weight file known here (PyTorch, safetensors and Keras HDF5 are)"
    )


def _read_safetensors(path: Path) -> Reading:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        plain = json.loads(metadata[KEY]) if KEY in metadata else None
    except (SafetensorError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path}: damaged safetensors file: {error}") from error
    if not isinstance(plain, dict):
        return read_state_dict(tensors, path.name)
    reading = read_ours(plain, tensors, path.name)
    reading.facts["metadata"] = plain.get("metadata", {})
    return reading


def _unpickle(path: Path, allow_pickle: bool) -> Any:
    """What torch.save wrote; arbitrary objects only where it needs them and the user trusts it."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not allow_pickle:
            raise WeightsError(
                f"{path} holds pickled Python objects, not just tensors: loading it can run any "
                "code its author put there. If you trust the file, say so with --allow-pickle "
                "(encoder.allow_pickle=true)"
            ) from error
    except Exception as error:  # spoilt bytes can make the unpickler raise anything
        raise WeightsError(f"{path}: damaged PyTorch file: {one_line(error)}") from error
    return _unpickle_any(path)


def _unpickle_any(path: Path) -> Any:
    """Unpickle whatever is in a file, which runs the code it holds."""
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{path} is a pickled object of the package {error.name!r}: install that first"
        ) from error
    except Exception as error:  # code that someone else wrote
        raise WeightsError(f"{path}: cannot be unpickled: {one_line(error)}") from error


def _read_torch(loaded: Any, file: str) -> Reading:
    """Read a module, a checkpoint or a state dict."""
    if isinstance(loaded, nn.Module):
        return read_state_dict(_tensors_of(loaded), file)
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{file} holds a {type(loaded).__name__}, not a model or state dict")
    tensors = loaded.get("state_dict", loaded)
    if not isinstance(tensors, Mapping) or not all(
        isinstance(tensor, Tensor) for tensor in tensors.values()
    ):
        raise WeightsError(f"{file}: no state dict: some of its values are not tensors")
    if isinstance(plain := loaded.get(KEY), Mapping):
        return read_ours(plain, tensors, file)
    return read_state_dict(tensors, file)


def _tensors_of(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Parameters and buffers by name, without methods that modules of old versions lack."""
    own = {**module.__dict__["_parameters"], **module.__dict__["_buffers"]}
    tensors = {f"{prefix}{name}": tensor for name, tensor in own.items() if tensor is not None}
    for name, child in module.__dict__["_modules"].items():
        if child is not None:
            tensors |= _tensors_of(child, f"{prefix}{name}.")
    return tensors
