"""Networks of TorchXRayVision (Cohen et al. 2022), trained on chest X-rays of many collections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from xray_report.errors import MissingExtraError, WeightsError, one_line
from xray_report.models.encoders.protocol import (
    Encoder,
    Preprocessing,
    drawn_from,
    random_source,
    register_encoder,
)
from xray_report.models.encoders.torchvision import backbone, feature_maps
from xray_report.models.encoders.weights.densenet import TORCHXRAYVISION, fold_grey, read_densenet
from xray_report.models.encoders.weights.files import (
    Reading,
    WeightFile,
    place,
    read_file,
    read_state_dict,
)
from xray_report.models.encoders.weights.leak import torchxrayvision_data
from xray_report.options import check_choice

TRAINED_SIZES = {"densenet121": 224, "resnet50": 512}
"""Its networks, and the side of the images each was trained with."""


@register_encoder("torchxrayvision")
class TorchXRayVisionEncoder(Encoder):
    """One of its DenseNet121s, or its ResNet50; torchvision builds the same.

    They take one channel, (2 x / 255 - 1) * 1024. Here three equal channels come in, and the first
    convolution has a third of the weights for each.

    Args:
        preprocessing: that one.
        source: which weights these are.
        architecture: `densenet121` or `resnet50`.
    """

    def __init__(
        self,
        preprocessing: Preprocessing = TORCHXRAYVISION,
        source: Mapping[str, Any] | None = None,
        *,
        architecture: str = "densenet121",
    ) -> None:
        super().__init__(preprocessing, source, architecture=architecture)
        check_choice("encoder.architecture", architecture, tuple(TRAINED_SIZES))
        self.net = backbone(architecture, preprocessing.size)
        self.channels, self.grid = self.measure()

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images float [N, 3, S, S] -> feature maps [N, C, S/32, S/32]."""
        return feature_maps(self.net, images)

    @classmethod
    def load(  # type: ignore[override]
        cls,
        weights: str,
        *,
        image_size: int | None = None,
        seed: int = 0,
        allow_pickle: bool = False,
        architecture: str | None = None,
    ) -> Encoder:
        """Encoder with weights.

        Args:
            weights: a name of the package's, `densenet121-res224-all|nih|pc|chex|rsna|mimic_nb|
                mimic_ch` or `resnet50-res512-all` (extra `torchxrayvision`, which downloads it once
                into its own cache); `random`; or such a file. What it was trained on is
                read from the file's name.
            image_size: side S of the images; None for what it was trained with.
            seed: of `random`.
            allow_pickle: load files that can run any code. Its own DenseNet121 files are pickled
                modules, which are read without running any.
            architecture: `densenet121` or `resnet50`, of `random`; files say it themselves.

        Raises `WeightsError` if there are no such weights or they do not fit.
        """
        if weights == "random":
            file, found = None, architecture or "densenet121"
        else:
            file = read_file(_file_of(weights), allow_pickle=allow_pickle)
            dense = any(name.endswith("conv0.weight") for name in file.tensors)
            found = "densenet121" if dense else "resnet50"
            check_choice("encoder.architecture", architecture or found, (found,))
        check_choice("encoder.architecture", found, tuple(TRAINED_SIZES))
        preprocessing = replace(TORCHXRAYVISION, size=image_size or TRAINED_SIZES[found])
        with drawn_from(seed):
            encoder = cls(preprocessing, random_source(seed), architecture=found)
        if file is not None:
            reading = _read(file, encoder)
            place(encoder.net, reading, file.name)
            encoder.source = reading.source(file.name if Path(weights).is_file() else weights)
        return encoder


def _read(file: WeightFile, encoder: TorchXRayVisionEncoder) -> Reading:
    """Tensors of a file, its first convolution made to take three channels."""
    if encoder.options["architecture"] == "densenet121":
        reading, preprocessing = read_densenet(file)
        grey = preprocessing == TORCHXRAYVISION
    else:
        reading = read_state_dict(file, encoder.net, heads=("fc.",), kind="TorchXRayVision")
        grey = fold_grey(reading, "conv1.weight")
        reading.trained_on = torchxrayvision_data(file.name)
    if not grey:
        raise WeightsError(
            f"{file.name}: TorchXRayVision's networks take one channel, this one does not: choose "
            "encoder=densenet121 or encoder=torchvision for it"
        )
    return reading


def _file_of(weights: str) -> Path:
    """The file of weights by name, downloaded where need be, or by path."""
    if Path(weights).is_file():
        return Path(weights)
    try:
        from torchxrayvision import models
    except ImportError as error:
        raise MissingExtraError(
            f"encoder.weights={weights} is no file; TorchXRayVision's weights by name need its "
            "package: pip install xray-report[torchxrayvision]"
        ) from error
    names = [name for name in models.model_urls if "-res" in name]
    if weights not in names:
        raise WeightsError(f"no weight file {weights}; known by name: {', '.join(names)}, random")
    try:
        return Path(models.get_weights(weights))
    except Exception as error:  # of the network, as the package's own download meets it
        raise WeightsError(
            f"cannot download {models.model_urls[weights]['weights_url']} "
            f"({one_line(error, 80)}): fetch that file elsewhere and give its path as "
            "encoder.weights"
        ) from error
