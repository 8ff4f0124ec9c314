"""DenseNet121, the encoder of CheXNet: the default, with all the forms its weights come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import DenseNet121_Weights, densenet121  # type: ignore[import-untyped]

from xray_report.errors import WeightsError
from xray_report.models.encoders.protocol import (
    Encoder,
    Preprocessing,
    drawn_from,
    random_source,
    register_encoder,
    restore,
)
from xray_report.models.encoders.weights.densenet import read_densenet, read_keras
from xray_report.models.encoders.weights.files import (
    ConversionReport,
    WeightFile,
    is_hdf5,
    place,
    read_file,
)

CHANNELS = 1024
STRIDE = 32
NAMES = ("phantom", "imagenet", "random")
PHANTOM_FILE = Path(__file__).parent / "weights" / "phantom.safetensors"


@register_encoder("densenet121")
class DenseNetEncoder(Encoder):
    """DenseNet121 (Huang et al. 2017) up to and including its last ReLU, as torchvision builds it.

    Maps are >= 0, [N, 1024, S/32, S/32]; S is a multiple of 32.
    """

    def __init__(
        self, preprocessing: Preprocessing | None = None, source: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(preprocessing or Preprocessing(), source)
        size = self.preprocessing.size
        if size % STRIDE:
            raise WeightsError(
                f"encoder.image_size must be a multiple of {STRIDE} with encoder={self.name}, "
                f"got {size}"
            )
        self.channels, self.grid = CHANNELS, (size // STRIDE, size // STRIDE)
        self.features = densenet121(weights=None).features

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images float [N, 3, S, S] -> feature maps [N, 1024, S/32, S/32]."""
        return functional.relu(self.features(images), inplace=True)

    def blocks(self) -> list[list[nn.Module]]:
        """The four dense blocks, each with what stands before it: the stem, a transition."""
        blocks: list[list[nn.Module]] = []
        before: list[nn.Module] = []
        for name, module in self.features.named_children():
            before.append(module)
            if name.startswith("denseblock"):
                blocks.append(before)
                before = []
        return blocks

    @classmethod
    def default_weights(cls, data_name: str) -> str:
        """`phantom` for the phantom data, else `imagenet`."""
        return "phantom" if data_name == "phantom" else "imagenet"

    @classmethod
    def load(  # type: ignore[override]
        cls,
        weights: str,
        *,
        image_size: int | None = None,
        seed: int = 0,
        allow_pickle: bool = False,
    ) -> Encoder:
        """Encoder with weights.

        Args:
            weights: `phantom` (bundled), `imagenet` (torchvision's, downloaded once), `random`, or
                a file whose format is recognised by content: arnoweng's CheXNet, the Keras CheXNet,
                TorchXRayVision's, a torchvision state dict.
            image_size: side S of the images; None for 224.
            seed: of `random`.
            allow_pickle: load files that hold pickled Python objects, which can run any code.

        Raises `WeightsError` if there are no such weights or they do not fit.
        """
        size = image_size or Preprocessing.size
        if weights == "random":
            with drawn_from(seed):
                return cls(Preprocessing(size), random_source(seed))
        if weights == "phantom":
            encoder, _ = restore(_phantom_file(), image_size)
        else:
            path = _imagenet_file() if weights == "imagenet" else Path(weights)
            encoder, _ = read_foreign(path, size, allow_pickle=allow_pickle)
        if weights in NAMES:
            encoder.source["weights"] = weights
        return encoder


def read_foreign(
    path: Path, size: int = Preprocessing.size, *, allow_pickle: bool = False
) -> tuple[DenseNetEncoder, ConversionReport]:
    """Encoder of images of side `size` from another's file, and what became of its tensors."""
    if not path.is_file():
        raise WeightsError(f"no weight file {path}; known by name: {', '.join(NAMES)}")
    if is_hdf5(path):
        reading, preprocessing = read_keras(path)
    else:
        reading, preprocessing = read_densenet(read_file(path, allow_pickle=allow_pickle))
    source = reading.source(path.name)
    with drawn_from(0):
        encoder = DenseNetEncoder(replace(preprocessing, size=size), source)
    return encoder, place(encoder, reading, path.name)


def _phantom_file() -> WeightFile:
    """The bundled weights, which we trained on drawn films."""
    if not PHANTOM_FILE.is_file():
        raise WeightsError(
            f"the bundled phantom weights are missing ({PHANTOM_FILE}): reinstall the package, "
            "or train them with `python train.py model=chexnet`"
        )
    return read_file(PHANTOM_FILE)


def _imagenet_file() -> Path:
    """torchvision's own file, downloaded once into torch's cache."""
    url = str(DenseNet121_Weights.IMAGENET1K_V1.url)
    target = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Its name ends with the first digits of its SHA-256.
        digits = url.rsplit("-", 1)[1].split(".")[0]
        torch.hub.download_url_to_file(url, str(target), hash_prefix=digits)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"cannot download {url} ({error}): put that file at {target}, or fetch it elsewhere "
            "with `xray-report download imagenet-weights DEST` and give its path as encoder.weights"
        ) from error
    return target
