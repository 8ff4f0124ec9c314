"""Any classification backbone of torchvision, by the name torchvision gives it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
import torchvision.models as zoo  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vision_transformer import interpolate_embeddings  # type: ignore[import-untyped]

from xray_report.errors import OptionError, WeightsError, one_line
from xray_report.models.encoders.protocol import (
    Encoder,
    Preprocessing,
    drawn_from,
    random_source,
    register_encoder,
)
from xray_report.models.encoders.weights.densenet import OLD_NAME
from xray_report.models.encoders.weights.files import WeightFile, place, read_file, read_state_dict

HEADS = ("fc", "classifier", "heads", "head")
"""What torchvision calls a network's classifier."""

PARTS: dict[type[nn.Module], tuple[str, ...]] = {
    zoo.ResNet: ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"),
    zoo.ShuffleNetV2: ("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"),
    zoo.RegNet: ("stem", "trunk_output"),
    zoo.MNASNet: ("layers",),
    **dict.fromkeys((zoo.AlexNet, zoo.ConvNeXt, zoo.EfficientNet, zoo.MobileNetV2), ("features",)),
    **dict.fromkeys((zoo.MobileNetV3, zoo.SqueezeNet, zoo.VGG), ("features",)),
}
"""Of networks that are a chain, the links before the pooling; the others follow below."""

POSITION_EMBEDDING = "encoder.pos_embedding"
"""A vision transformer's place vectors, one a patch."""


@register_encoder("torchvision")
class TorchvisionEncoder(Encoder):
    """A backbone up to its pooling: its last maps, or a vision transformer's patch tokens.

    Args:
        preprocessing: mean and deviation of the weights' own transforms.
        source: which weights these are.
        architecture: torchvision's name, such as `resnet50`, `convnext_tiny`, `vit_b_16`.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        source: Mapping[str, Any] | None = None,
        *,
        architecture: str,
    ) -> None:
        super().__init__(preprocessing, source, architecture=architecture)
        self.net = backbone(architecture, preprocessing.size)
        self.channels, self.grid = self.measure()

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images float [N, 3, S, S] -> feature maps [N, C, h, w]."""
        return feature_maps(self.net, images)

    @classmethod
    def default_weights(cls, data_name: str) -> str:
        """torchvision's own."""
        return "imagenet"

    @classmethod
    def load(  # type: ignore[override]
        cls,
        weights: str,
        *,
        image_size: int | None = None,
        seed: int = 0,
        allow_pickle: bool = False,
        architecture: str = "resnet50",
    ) -> Encoder:
        """Encoder with weights.

        Args:
            weights: `imagenet` (torchvision's best, downloaded once into torch's cache), `random`,
                or a state dict file of that architecture; a classifier in it is left aside.
            image_size: side S of the images; None for what torchvision's weights take.
            seed: of `random`.
            allow_pickle: load files that hold pickled Python objects, which can run any code.
            architecture: torchvision's name.

        Raises `OptionError` for an unknown architecture, `WeightsError` if there are no such
        weights or they do not fit.
        """
        _check_architecture(architecture)
        published = zoo.get_model_weights(architecture).DEFAULT
        transforms = published.transforms()
        size = image_size or transforms.crop_size[0]
        preprocessing = Preprocessing(size, tuple(transforms.mean), tuple(transforms.std))
        with drawn_from(seed):
            encoder = cls(preprocessing, random_source(seed), architecture=architecture)
        if weights == "random":
            return encoder
        if weights == "imagenet":
            file = WeightFile(f"{architecture} {published.name}", _downloaded(published))
        else:
            file = read_file(weights, allow_pickle=allow_pickle)
        fit_positions(file, encoder.net, size)
        heads = [f"{head}." for head in HEADS]
        reading = read_state_dict(file, encoder.net, heads=heads, rename=_current_name)
        if weights == "imagenet":
            reading.trained_on = ("imagenet",)
        place(encoder.net, reading, file.name)
        encoder.source = reading.source(file.name)
        return encoder


def _check_architecture(architecture: object) -> None:
    """Raise `OptionError` unless torchvision has such a classification network."""
    known = zoo.list_models(module=zoo)
    if architecture not in known:
        near = difflib.get_close_matches(str(architecture), known, n=4, cutoff=0.3)
        raise OptionError(
            f"encoder.architecture={architecture} is unknown to torchvision; near it: "
            f"{', '.join(near or known[:4])}"
        )


def backbone(architecture: str, size: int) -> nn.Module:
    """The network at random weights, for images of side `size`, without its classifier.

    Raises `OptionError` if torchvision has no such network or it has no maps before its pooling.
    """
    _check_architecture(architecture)
    sized: dict[str, Any] = {}
    if architecture.startswith("vit_"):
        sized = {"image_size": size}
    elif architecture.startswith("maxvit"):
        sized = {"input_size": (size, size)}
    if architecture in ("googlenet", "inception_v3"):  # with branches that only training uses
        raise OptionError(f"encoder.architecture={architecture} is not offered: take another")
    try:
        net: nn.Module = zoo.get_model(architecture, weights=None, **sized)
    except (AssertionError, ValueError) as error:
        raise OptionError(
            f"encoder.architecture={architecture} cannot take encoder.image_size={size}: "
            f"{one_line(error)}"
        ) from error
    for head in HEADS:
        if hasattr(net, head):
            setattr(net, head, nn.Identity())
    return net


def feature_maps(net: nn.Module, images: Tensor) -> Tensor:
    """What `net` pools: maps [N, C, h, w] of normalised images [N, 3, S, S]."""
    maps: Tensor = images
    if isinstance(net, zoo.DenseNet):
        maps = functional.relu(net.features(images), inplace=True)
    elif isinstance(net, zoo.SwinTransformer):
        maps = net.norm(net.features(images)).permute(0, 3, 1, 2)
    elif isinstance(net, zoo.MaxVit):
        maps = net.stem(images)
        for block in net.blocks:
            maps = block(maps)
    elif isinstance(net, zoo.VisionTransformer):
        patches = net.conv_proj(images)
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([net.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
        maps = net.encoder(tokens)[:, 1:].transpose(1, 2).reshape(patches.shape)
    else:
        for part in PARTS[type(net)]:
            maps = getattr(net, part)(maps)
    return maps


def _downloaded(published: Any) -> dict[str, Tensor]:
    """State dict of torchvision's weights, from torch's cache or the network."""
    try:
        return dict(published.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        name = published.url.rsplit("/", 1)[1]
        target = Path(torch.hub.get_dir()) / "checkpoints" / name
        raise WeightsError(
            f"cannot download {published.url} ({one_line(error, 80)}): put that file at {target}, "
            "or give its path as encoder.weights"
        ) from error


def _current_name(name: str) -> str:
    """torchvision's name of today for one of its files of before version 0.3."""
    return OLD_NAME.sub(r"\1\2.", name)


def fit_positions(file: WeightFile, net: nn.Module, size: int) -> None:
    """Interpolate a vision transformer's place vectors to another image size, as torchvision."""
    if not isinstance(net, zoo.VisionTransformer) or POSITION_EMBEDDING not in file.tensors:
        return
    resized = interpolate_embeddings(size, net.patch_size, file.tensors)
    file.tensors[POSITION_EMBEDDING] = resized[POSITION_EMBEDDING]
