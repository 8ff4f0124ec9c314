"""Files as the publishers of encoder weights wrote them, made from a torchvision model."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any
from unittest import mock

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import densenet121

SIZE = 64
NEW_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))(\d)\.")


def published(outputs: int = 14, channels: int = 3) -> nn.Module:
    """A torchvision DenseNet121 whose norms have something to convert."""
    torch.manual_seed(1)
    model = densenet121(weights=None, num_classes=outputs)
    if channels != 3:
        model.features.conv0 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, -0.3, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.2, 2)
    return model.eval()


def features(model: nn.Module, images: Tensor) -> Tensor:
    """What the publisher's own code takes as features: the maps after the last ReLU."""
    with torch.no_grad():
        return functional.relu(model.features(images))


def imagenet_input(pixels: Tensor) -> Tensor:
    """RGB, scaled to 0..1, ImageNet mean and deviation."""
    rgb = pixels[:, None].expand(-1, 3, -1, -1).float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    return (rgb - mean) / torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def torchxrayvision_input(pixels: Tensor) -> Tensor:
    """One channel, -1024 to 1024."""
    return (2 * pixels[:, None].float() / 255 - 1) * 1024


def write_arnoweng(path: Path, model: nn.Module) -> None:
    """`model.pth.tar`: DataParallel prefix, names before torchvision 0.3, no counters."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        name = NEW_NAME.sub(r"\1.\2.", name).replace("classifier.", "classifier.0.")
        tensors[f"module.densenet121.{name}"] = tensor
    checkpoint = {"epoch": 5, "state_dict": tensors, "best_loss": 0.15}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)


def keras_layers(model: nn.Module) -> dict[str, dict[str, np.ndarray]]:
    """Keras's layer -> weight -> array."""
    layers: dict[str, dict[str, np.ndarray]] = {"input_1": {}, "zero_padding2d_1": {}}
    for name, module in model.features.named_modules():
        if isinstance(module, nn.Conv2d):
            arrays = {"kernel": module.weight.detach().numpy().transpose(2, 3, 1, 0)}
        elif isinstance(module, nn.BatchNorm2d):
            arrays = {
                "gamma": module.weight.detach().numpy(),
                "beta": module.bias.detach().numpy(),
                "moving_mean": module.running_mean.numpy(),
                "moving_variance": module.running_var.numpy() - np.float32(1e-8),
            }
        else:
            continue
        layers[keras_name(name)] = arrays
    classifier = model.classifier
    kernel, bias = classifier.weight.detach().numpy().T, classifier.bias.detach().numpy()
    layers["predictions"] = {"kernel": kernel, "bias": bias}
    return layers


def keras_name(name: str) -> str:
    """Keras's name of a torchvision layer."""
    whole = {"conv0": "conv1/conv", "norm0": "conv1/bn", "norm5": "bn"}
    parts = {"norm1": "0_bn", "conv1": "1_conv", "norm2": "1_bn", "conv2": "2_conv"}
    if name in whole:
        return whole[name]
    if match := re.fullmatch(r"transition(\d)\.(norm|conv)", name):
        return f"pool{int(match[1]) + 1}_{'bn' if match[2] == 'norm' else 'conv'}"
    match = re.fullmatch(r"denseblock(\d)\.denselayer(\d+)\.(\w+)", name)
    assert match, name
    return f"conv{int(match[1]) + 1}_block{match[2]}_{parts[match[3]]}"


def write_keras(
    path: Path,
    model: nn.Module,
    root: str | None = None,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Keras 2.1 HDF5: attributes of fixed-length bytes; under `model_weights` if saved whole.

    `renamed` are the characters of layer names that later Keras writes otherwise.
    """
    table = str.maketrans(dict(renamed))
    layers = {name.translate(table): arrays for name, arrays in keras_layers(model).items()}
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        group.attrs["layer_names"] = np.array(list(layers), dtype="S")
        group.attrs["keras_version"] = b"2.1.2"
        for layer, arrays in layers.items():
            inner = group.create_group(layer)
            names = [f"{layer}/{kind}:0" for kind in arrays]
            inner.attrs["weight_names"] = np.array(names, dtype="S")
            for name, array in zip(names, arrays.values(), strict=True):
                inner.create_dataset(name, data=array)


class XrvDenseNet(nn.Module):
    """The parts of TorchXRayVision's module: no metadata of newer torch, thresholds aside."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.features, self.classifier = model.features, model.classifier
        self.register_buffer("op_threshs", torch.full((18,), torch.nan))
        self.pathologies = ["Atelectasis", "Consolidation"]
        self.thresholds = np.array([0.1, np.float64(0.2)])


def write_torchxrayvision(path: Path, model: nn.Module) -> None:
    """A module pickled whole, of a class that is nobody's."""
    torch.save(XrvDenseNet(model), path)


def write_published_torchxrayvision(path: Path, model: nn.Module, *, old: bool = True) -> None:
    """The same as it is published: its class is the package's, in the form of before torch 1.6.

    That form holds the source of each class beside it.
    """
    name = "torchxrayvision.models"
    stand_in = ModuleType(name)
    published = type("DenseNet", (XrvDenseNet,), {"__module__": name})
    stand_in.DenseNet = published  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"torchxrayvision": ModuleType("x"), name: stand_in}):
        torch.save(published(model), path, _use_new_zipfile_serialization=not old)


def lightning_checkpoint(model: nn.Module, prefix: str = "model.encoder.") -> dict[str, Any]:
    """What train.py saves of a CheXNet."""
    tensors = {f"{prefix}features.{k}": v for k, v in model.features.state_dict().items()}
    tensors["model.classifier.weight"] = torch.zeros(2, 1024)
    preprocessing = {
        "size": SIZE,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.25, 0.2, 0.3],
        "kind": "phantom",
    }
    source = {"weights": "random", "format": "none", "trained_on": ["phantom"], "seed": 3}
    plain = {"kind": "chexnet", "encoder": {"preprocessing": preprocessing, "source": source}}
    return {"state_dict": tensors, "xray_report": {**plain, "label_names": ["Edema", "Fracture"]}}
