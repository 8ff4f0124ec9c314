"""DenseNet121 weights in the forms their authors published them.

PyTorch state dicts (torchvision's, arnoweng's CheXNet, TorchXRayVision's, or just the features)
are recognised by their keys: whatever stands before `conv0.weight` is the prefix of the features.
In Keras HDF5 files (brucechou1983's CheXNet, Keras 2.1) layers are found by the attributes
`layer_names` and `weight_names`, as Keras itself does: `conv1/conv`, `conv1/bn`,
`conv{b+1}_block{i}_{0_bn,1_conv,1_bn,2_conv}`, `pool{b+1}_{bn,conv}`, `bn`, `predictions`.
Kernels are [h, w, in, out]; BatchNorm's epsilon is 1.001e-5.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xray_report.errors import MissingExtraError, WeightsError
from xray_report.models.encoders.protocol import Preprocessing
from xray_report.models.encoders.weights.files import NamedTensor, Reading, WeightFile
from xray_report.models.encoders.weights.leak import torchxrayvision_data
from xray_report.nih_classes import NIH_CLASSES

ANCHOR = "conv0.weight"
OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.")
"""torchvision before 0.3 numbered the parts of a layer: `norm.1`, `conv.2`."""

TORCHXRAYVISION = Preprocessing(
    mean=(0.5, 0.5, 0.5), std=(1 / 2048, 1 / 2048, 1 / 2048), kind="torchxrayvision"
)
"""(2 x / 255 - 1) * 1024, written as (x / 255 - mean) / std."""

LARGEST_KERNEL = 100_000_000
"""Bytes; the largest layer of a DenseNet121 has 4 million."""
KERAS_EPSILON, TORCH_EPSILON = 1.001e-5, 1e-5
KERAS_LAYERS = {"conv1/conv": "conv0", "conv1/bn": "norm0", "bn": "norm5"}
KERAS_PARTS = {"0_bn": "norm1", "1_conv": "conv1", "1_bn": "norm2", "2_conv": "conv2"}
KERAS_DENSE = re.compile(r"conv(\d)_block(\d+)_(0_bn|1_conv|1_bn|2_conv)")
KERAS_TRANSITION = re.compile(r"pool(\d)_(bn|conv)")
KERAS_WEIGHTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def read_densenet(file: WeightFile) -> tuple[Reading, Preprocessing]:
    """Read a flat dict of tensors, and the preprocessing of whoever trained them.

    Raises `WeightsError` if it holds no DenseNet features.
    """
    prefix = _features_prefix(file)
    reading = Reading("torchvision state dict")
    parent = prefix.removesuffix("features.")
    heads = {}
    for name, tensor in file.tensors.items():
        if name.endswith("num_batches_tracked"):
            reading.aside.append(name)
        elif name.startswith(prefix) and not name.startswith(f"{prefix}classifier."):
            ours = OLD_NAME.sub(r"\1\2.", name[len(prefix) :])
            reading.tensors[f"features.{ours}"] = NamedTensor(name, tensor)
        elif name.startswith(f"{parent}classifier."):
            heads[name] = tensor
        elif name == "op_threshs":
            reading.aside.append(name)
        else:
            reading.unknown.append(name)
    reading.aside.extend(heads)
    outputs = next((tensor.shape[0] for tensor in heads.values()), 0)
    return _recognise(reading, prefix, outputs, file.name)


def _features_prefix(file: WeightFile) -> str:
    """What stands before the names of the features, such as `module.features.`."""
    found = [name[: -len(ANCHOR)] for name in file.tensors if name.endswith(ANCHOR)]
    if len(found) != 1:
        what = "no DenseNet121" if not found else f"{len(found)} encoders ({', '.join(found)})"
        raise WeightsError(
            f"{file.name}: {what} among its {len(file.tensors)} tensors (looked for {ANCHOR})"
        )
    return found[0]


def _recognise(
    reading: Reading, prefix: str, outputs: int, file: str
) -> tuple[Reading, Preprocessing]:
    """Which publisher's file it is: from the input channels, the prefix and the classifier."""
    if fold_grey(reading, f"features.{ANCHOR}"):
        reading.format, reading.trained_on = "TorchXRayVision", torchxrayvision_data(file)
        return reading, TORCHXRAYVISION
    if prefix.endswith("densenet121.features.") and outputs == len(NIH_CLASSES):
        reading.format, reading.trained_on = "arnoweng CheXNet", ("imagenet", "nih")
        reading.facts["label_names"] = list(NIH_CLASSES)
    elif outputs == 1000:
        reading.format, reading.trained_on = "torchvision ImageNet", ("imagenet",)
    return reading, Preprocessing()


def fold_grey(reading: Reading, stem: str) -> bool:
    """Make the first convolution, called `stem`, take three equal channels; whether it took one.

    Three channels of a third of the weights each are the same convolution of a grey image.
    """
    name, tensor = reading.tensors.get(stem, NamedTensor("", torch.empty(0)))
    if tensor.dim() != 4 or tensor.shape[1] != 1:
        return False
    reading.tensors[stem] = NamedTensor(name, tensor.float().expand(-1, 3, -1, -1) / 3)
    return True


def read_keras(path: Path) -> tuple[Reading, Preprocessing]:
    """Read an HDF5 file. Raises `WeightsError`, or `MissingExtraError` without h5py."""
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError(
            f"{path.name} is a Keras HDF5 file: reading it needs h5py (pip install xray-report[h5])"
        ) from error
    reading = Reading(
        "Keras CheXNet", trained_on=("imagenet", "nih"), facts={"label_names": list(NIH_CLASSES)}
    )
    try:
        with h5py.File(path, "r") as file:
            root = file["model_weights"] if "layer_names" not in file.attrs else file
            for layer in _names(root.attrs["layer_names"]):
                for weight in _names(root[layer].attrs["weight_names"]):
                    kept = root[layer][weight]
                    if kept.nbytes > LARGEST_KERNEL:  # a claim: its bytes need not be there
                        raise WeightsError(
                            f"{path.name}: {weight} claims {kept.nbytes / 1e9:.3g} GB, which "
                            "no layer of DenseNet121 has"
                        )
                    _place_keras(reading, layer, weight, np.asarray(kept))
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(f"{path.name}: not a Keras weight file: {error}") from error
    return reading, Preprocessing()


def _names(attribute: Any) -> list[str]:
    """Names in an attribute, which h5py gives as bytes or str."""
    return [name.decode() if isinstance(name, bytes) else str(name) for name in attribute]


def _place_keras(reading: Reading, layer: str, weight: str, array: np.ndarray[Any, Any]) -> None:
    """Put one weight under our name, in our layout."""
    name = weight if weight.startswith(f"{layer}/") else f"{layer}/{weight}"
    kind = KERAS_WEIGHTS.get(weight.split("/")[-1].split(":")[0])
    if layer == "predictions":
        reading.aside.append(name)
    elif (ours := _our_layer(layer)) is None or kind is None:
        reading.unknown.append(name)
    else:
        tensor = _our_layout(torch.from_numpy(np.array(array, dtype=np.float32)), kind)
        reading.tensors[f"features.{ours}.{kind}"] = NamedTensor(name, tensor)


def _our_layer(layer: str) -> str | None:
    """Our name of a Keras layer, or None."""
    if match := KERAS_DENSE.fullmatch(layer):
        block, number, part = match.groups()
        return f"denseblock{int(block) - 1}.denselayer{number}.{KERAS_PARTS[part]}"
    if match := KERAS_TRANSITION.fullmatch(layer):
        part = "norm" if match[2] == "bn" else "conv"
        return f"transition{int(match[1]) - 1}.{part}"
    return KERAS_LAYERS.get(layer)


def _our_layout(tensor: Tensor, kind: str) -> Tensor:
    """Kernels to [out, in, h, w]; the greater epsilon goes into the variance."""
    if tensor.dim() == 4:
        return tensor.permute(3, 2, 0, 1).contiguous()
    return tensor + (KERAS_EPSILON - TORCH_EPSILON) if kind == "running_var" else tensor
