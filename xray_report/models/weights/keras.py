"""Keras HDF5 weights of DenseNet121: brucechou1983's CheXNet (Keras 2.1) and its kin.

Layers are found by the attributes `layer_names` and `weight_names`, as Keras itself does:
`conv1/conv`, `conv1/bn`, `conv{b+1}_block{i}_{0_bn,1_conv,1_bn,2_conv}`, `pool{b+1}_{bn,conv}`,
`bn`, `predictions`. Kernels are [h, w, in, out]; BatchNorm's epsilon is 1.001e-5.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xray_report.errors import MissingExtraError, WeightsError
from xray_report.models.densenet import Preprocessing
from xray_report.models.weights.reading import NamedTensor, Reading
from xray_report.nih_classes import NIH_CLASSES

KERAS_EPSILON, TORCH_EPSILON = 1.001e-5, 1e-5
LAYERS = {"conv1/conv": "conv0", "conv1/bn": "norm0", "bn": "norm5"}
PARTS = {"0_bn": "norm1", "1_conv": "conv1", "1_bn": "norm2", "2_conv": "conv2"}
DENSE = re.compile(r"conv(\d)_block(\d+)_(0_bn|1_conv|1_bn|2_conv)")
TRANSITION = re.compile(r"pool(\d)_(bn|conv)")
WEIGHTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def read_keras(path: Path) -> Reading:
    """Read an HDF5 file. Raises `WeightsError`, or `MissingExtraError` without h5py."""
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError(
            f"{path.name} is a Keras HDF5 file: reading it needs h5py (pip install xray-report[h5])"
        ) from error
    reading = Reading(
        "Keras CheXNet",
        {},
        Preprocessing(),
        trained_on=("imagenet", "nih"),
        facts={"label_names": list(NIH_CLASSES)},
    )
    try:
        with h5py.File(path, "r") as file:
            root = file["model_weights"] if "layer_names" not in file.attrs else file
            for layer in _names(root.attrs["layer_names"]):
                for weight in _names(root[layer].attrs["weight_names"]):
                    _place(reading, layer, weight, np.asarray(root[layer][weight]))
    except (KeyError, OSError) as error:
        raise WeightsError(f"{path.name}: not a Keras weight file: {error}") from error
    return reading


def _names(attribute: Any) -> list[str]:
    """Names in an attribute, which h5py gives as bytes or str."""
    return [name.decode() if isinstance(name, bytes) else str(name) for name in attribute]


def _place(reading: Reading, layer: str, weight: str, array: np.ndarray[Any, Any]) -> None:
    """Put one weight under our name, in our layout."""
    name = weight if weight.startswith(f"{layer}/") else f"{layer}/{weight}"
    kind = WEIGHTS.get(weight.split("/")[-1].split(":")[0])
    if layer == "predictions":
        reading.aside.append(name)
    elif (ours := _our_layer(layer)) is None or kind is None:
        reading.unknown.append(name)
    else:
        tensor = _our_layout(torch.from_numpy(np.array(array, dtype=np.float32)), kind)
        reading.tensors[f"{ours}.{kind}"] = NamedTensor(name, tensor)


def _our_layer(layer: str) -> str | None:
    """Our name of a Keras layer, or None."""
    if match := DENSE.fullmatch(layer):
        block, number, part = match.groups()
        return f"denseblock{int(block) - 1}.denselayer{number}.{PARTS[part]}"
    if match := TRANSITION.fullmatch(layer):
        part = "norm" if match[2] == "bn" else "conv"
        return f"transition{int(match[1]) - 1}.{part}"
    return LAYERS.get(layer)


def _our_layout(tensor: Tensor, kind: str) -> Tensor:
    """Kernels to [out, in, h, w]; the greater epsilon goes into the variance."""
    if tensor.dim() == 4:
        return tensor.permute(3, 2, 0, 1).contiguous()
    return tensor + (KERAS_EPSILON - TORCH_EPSILON) if kind == "running_var" else tensor
