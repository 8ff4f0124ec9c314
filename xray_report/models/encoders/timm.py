"""Any backbone of timm (PyTorch Image Models, extra `timm`), by the name timm gives it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from math import isqrt
from typing import Any

from torch import Tensor, nn

from xray_report.errors import MissingExtraError, OptionError, WeightsError, one_line
from xray_report.models.encoders.protocol import (
    Encoder,
    Preprocessing,
    drawn_from,
    random_source,
    register_encoder,
)
from xray_report.models.encoders.weights.files import (
    Reading,
    WeightFile,
    place,
    read_file,
    read_state_dict,
)


@register_encoder("timm")
class TimmEncoder(Encoder):
    """A backbone up to its pooling: its last maps, or a transformer's patch tokens as maps.

    Args:
        preprocessing: mean and deviation of timm's own data configuration.
        source: which weights these are.
        architecture: timm's name, such as `tf_efficientnet_lite0`, `vit_small_patch14_dinov2`.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        source: Mapping[str, Any] | None = None,
        *,
        architecture: str,
    ) -> None:
        super().__init__(preprocessing, source, architecture=architecture)
        self.net: Any = _create(architecture, preprocessing.size)
        self.channels, self.grid = self.measure()

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images float [N, 3, S, S] -> feature maps [N, C, h, w]."""
        features: Tensor = self.net.forward_features(images)
        if features.dim() == 4:
            last = getattr(self.net, "output_fmt", "NCHW") == "NHWC"
            return features.permute(0, 3, 1, 2) if last else features
        first: int = getattr(self.net, "num_prefix_tokens", 0)
        return grid_of_tokens(features[:, first:])

    @classmethod
    def default_weights(cls, data_name: str) -> str:
        """timm's own."""
        return "pretrained"

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
            weights: `pretrained` (timm's own, downloaded once into its cache), `random`, or a
                state dict file in timm's names, or of an EfficientNet in the names of the packages
                `efficientnet-pytorch` and `efficientnet-lite-pytorch`; a classifier in it is left
                aside.
            image_size: side S of the images; None for what timm's weights take.
            seed: of `random`.
            allow_pickle: load files that hold pickled Python objects, which can run any code.
            architecture: timm's name; `name.tag` chooses among its pretrained weights.

        Raises `OptionError` for an unknown architecture, `WeightsError` if there are no such
        weights or they do not fit, `MissingExtraError` without timm.
        """
        timm = _timm()
        _check_architecture(architecture)
        config = timm.data.resolve_data_config({}, pretrained_cfg=_config(architecture))
        size = image_size or config["input_size"][-1]
        preprocessing = Preprocessing(size, tuple(config["mean"]), tuple(config["std"]), "timm")
        with drawn_from(seed):
            encoder = cls(preprocessing, random_source(seed), architecture=architecture)
        if weights == "random":
            return encoder
        if weights == "pretrained":
            file = WeightFile(architecture, _downloaded(architecture, size))
            reading = read_state_dict(file, encoder.net, kind="timm")
            reading.trained_on = (str(_config(architecture)["tag"] or "unknown"),)
        else:
            file = read_file(weights, allow_pickle=allow_pickle)
            reading = _read(file, encoder.net)
        place(encoder.net, reading, file.name)
        encoder.source = reading.source(file.name)
        return encoder


def grid_of_tokens(tokens: Tensor) -> Tensor:
    """Patch tokens [N, h * w, C] of a square image -> maps [N, C, h, w].

    Raises `WeightsError` if they are no square.
    """
    side = isqrt(tokens.shape[1])
    if side * side != tokens.shape[1]:
        raise WeightsError(f"{tokens.shape[1]} patch tokens make no square: take another network")
    return tokens.transpose(1, 2).reshape(len(tokens), tokens.shape[2], side, side)


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise MissingExtraError("encoder=timm needs timm: pip install xray-report[timm]") from error
    return timm


def _check_architecture(architecture: object) -> None:
    """Raise `OptionError` unless timm has such a network."""
    name, timm = str(architecture), _timm()
    if not timm.is_model(name.split(".")[0]):
        known = timm.list_models()
        near = difflib.get_close_matches(name, known, n=4, cutoff=0.3)
        raise OptionError(
            f"encoder.architecture={name} is unknown to timm; near it: "
            f"{', '.join(near or known[:4])}"
        )


def _config(architecture: str) -> dict[str, Any]:
    """timm's own facts of a network: input size, mean, deviation, classifier."""
    try:
        found = _timm().models.get_pretrained_cfg(architecture, allow_unregistered=False)
        plain: dict[str, Any] = found.to_dict()
    except (AttributeError, RuntimeError) as error:
        raise OptionError(
            f"timm knows no weights {architecture}: leave away what stands after the full stop"
        ) from error
    return plain


def _create(architecture: str, size: int, pretrained: bool = False) -> nn.Module:
    """The network without its classifier, for images of side `size`."""
    timm = _timm()
    _check_architecture(architecture)
    config = _config(architecture)
    # Only networks of one size take another by an option; the others take any.
    other = config["fixed_input_size"] and config["input_size"][-1] != size
    sized = {"img_size": size} if other else {}
    try:
        net: nn.Module = timm.create_model(
            architecture, pretrained=pretrained, num_classes=0, **sized
        )
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        if pretrained:
            raise
        raise OptionError(
            f"encoder.architecture={architecture} cannot be built for encoder.image_size={size}: "
            f"{one_line(error)}"
        ) from error
    if not hasattr(net, "forward_features"):
        raise OptionError(f"encoder.architecture={architecture} has no features before its head")
    return net


def _downloaded(architecture: str, size: int) -> dict[str, Tensor]:
    """State dict of timm's own weights, from its cache or the network."""
    try:
        return dict(_create(architecture, size, pretrained=True).state_dict())
    except OptionError:
        raise
    except Exception as error:  # of the hub, its client, the network below it
        raise WeightsError(
            f"timm's weights of {architecture} are not to be had ({one_line(error, 120)}): fetch "
            "them where there is a network, and give the file's path as encoder.weights"
        ) from error


def _read(file: WeightFile, net: nn.Module) -> Reading:
    """A state dict in timm's names or those of the EfficientNet packages."""
    if any(name.endswith("_conv_stem.weight") for name in file.tensors):
        rename = efficientnet_names(net)
        return read_state_dict(file, net, heads=("_fc.",), rename=rename, kind="efficientnet")
    config: Mapping[str, Any] = net.default_cfg  # type: ignore[assignment]
    classifier = config.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else classifier
    return read_state_dict(file, net, heads=[f"{head}." for head in heads], kind="timm")


STEM_AND_HEAD = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
}
"""Parts of a block that widens first."""

NOT_EXPANDING = {**EXPANDING, "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Parts of a block that does not."""


def efficientnet_names(net: nn.Module) -> Callable[[str], str | None]:
    """The names of `efficientnet-pytorch` -> timm's; None for what is no name of its.

    It counts blocks through, timm within stages.
    """
    places = [
        (stage, number, hasattr(block, "conv_pwl"))
        for stage, blocks in enumerate(net.blocks)  # type: ignore[arg-type]
        for number, block in enumerate(blocks)
    ]
    pattern = re.compile(r"_blocks\.(\d+)\.(_\w+)\.(\w+)")

    def rename(name: str) -> str | None:
        if match := pattern.fullmatch(name):
            if int(match[1]) >= len(places):
                return None
            stage, number, expands = places[int(match[1])]
            part = (EXPANDING if expands else NOT_EXPANDING).get(match[2])
            return part and f"blocks.{stage}.{number}.{part}.{match[3]}"
        part, _, kind = name.rpartition(".")
        return f"{STEM_AND_HEAD[part]}.{kind}" if part in STEM_AND_HEAD else None

    return rename
