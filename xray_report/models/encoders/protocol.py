"""The encoder protocol: normalised images in, feature maps out, and how one is rebuilt.

A new encoder is one module: a subclass of `Encoder` under `@register_encoder("name")`, imported by
this package. It is then chosen by `encoder=name` (conf/encoder/name.yaml), loaded by
`load.load_encoder`, and rebuilt from a checkpoint's description by `build_encoder`.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from xray_report.errors import OptionError, WeightsError, one_line
from xray_report.models.encoders.intensity import INTENSITIES, stretched
from xray_report.models.encoders.weights.files import (
    ConversionReport,
    NamedTensor,
    Reading,
    WeightFile,
    check_places,
    place,
    read_file,
    read_state_dict,
    sketched,
)
from xray_report.models.maps import MapShape
from xray_report.options import check_count, is_plain

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LARGEST_SIZE = 4096
"""Largest side of an image: about that of the films themselves."""


@dataclass(frozen=True)
class Preprocessing:
    """How grey pixels become the input of an encoder: (level / 255 - mean) / std, channelwise.

    Args:
        size: side S of the square input, pixels; at most `LARGEST_SIZE`.
        mean: of each of the three channels, levels scaled to 0..1.
        std: likewise; positive.
        kind: name of the scheme, for people: `imagenet`, `torchxrayvision`, ...
        intensity: which levels: `as_stored` takes the pixels; `percentile` stretches each film
            between two percentiles of its exposed field; `standardised` also takes the film's own
            mean and deviation there, in place of `mean` and `std`.
    """

    size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    kind: str = "imagenet"
    intensity: str = "as_stored"

    def __post_init__(self) -> None:
        if not 1 <= self.size <= LARGEST_SIZE:
            raise WeightsError(f"the input size must be 1 to {LARGEST_SIZE}, got {self.size}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise WeightsError("preprocessing needs three means and three positive deviations")
        if self.intensity not in INTENSITIES:
            raise WeightsError(
                f"the intensity must be one of {', '.join(INTENSITIES)}, got {self.intensity!r}"
            )

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalise grey uint8 pixels [N, S, S] or [N, 1, S, S] to float32 [N, 3, S, S].

        Raises `WeightsError` if the pixels are not uint8 or not S x S.
        """
        if pixels.dim() == 3:
            pixels = pixels.unsqueeze(1)
        expected = (1, self.size, self.size)
        if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != expected:
            raise WeightsError(
                f"the encoder takes grey uint8 images [N, {self.size}, {self.size}], "
                f"got {pixels.dtype} {list(pixels.shape)}"
            )
        levels = pixels.float()
        if self.intensity != "as_stored":
            levels, own, deviation = stretched(pixels)
            if self.intensity == "standardised":
                return ((levels - own) / deviation).repeat(1, 3, 1, 1)
        mean = torch.tensor(self.mean, dtype=torch.float64)
        std = torch.tensor(self.std, dtype=torch.float64)
        scale, shift = (
            part.float().view(1, 3, 1, 1).to(pixels.device, non_blocking=True)
            for part in (1 / (255 * std), -mean / std)
        )
        return torch.addcmul(shift, levels, scale)

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for checkpoints and file metadata."""
        plain = asdict(self)
        return {**plain, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Preprocessing:
        """Inverse of `to_dict`. Raises `WeightsError` if a field is missing or malformed."""
        try:
            mean, std = (tuple(float(x) for x in plain[name]) for name in ("mean", "std"))
            # Whoever wrote it before films could be stretched took them as stored.
            intensity = str(plain.get("intensity", "as_stored"))
            return cls(int(plain["size"]), mean, std, str(plain["kind"]), intensity)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"malformed preprocessing {plain!r}: {error!r}") from error


class Encoder(nn.Module, ABC):
    """Base of all encoders: images to feature maps, on whatever device it is.

    A subclass builds its network in the constructor, which takes `preprocessing`, `source` and
    keyword options of its own, passes them all on, draws weights at random (no download), and sets
    `channels` and `grid`, perhaps by `measure`.

    Args:
        preprocessing: what its weights were trained with, at the size it will be used at.
        source: which weights these are, plain types: `weights`, `format`, `trained_on`, ...
        options: the subclass's own, plain types: with them `build_encoder` builds the same shape.
    """

    name: ClassVar[str]
    """What `register_encoder` calls it."""

    channels: int
    """Channels C of its maps."""

    grid: tuple[int, int]
    """Rows h and columns w of its maps."""

    def __init__(
        self, preprocessing: Preprocessing, source: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.source: dict[str, Any] = dict(source or {"weights": "random", "trained_on": []})
        self.options = options
        self._frozen = False
        self._frozen_blocks: list[nn.Module] = []

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Normalised images float [N, 3, S, S] -> feature maps [N, C, h, w]."""

    @property
    def map_shape(self) -> MapShape:
        """Shape of one image's maps."""
        return MapShape(self.channels, *self.grid)

    def measure(self) -> tuple[int, tuple[int, int]]:
        """Channels and grid of the maps, from a pass over shapes that computes nothing.

        Raises `WeightsError` if the network cannot take images of its size.
        """
        size, training = self.preprocessing.size, self.training
        parts = chain(self.named_parameters(), self.named_buffers())
        shapes = {name: part.to("meta") for name, part in parts}
        images = torch.empty(1, 3, size, size, device="meta")
        try:
            with torch.no_grad():
                maps = functional_call(self.eval(), shapes, (images,))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise WeightsError(
                f"encoder={self.name} cannot take images of encoder.image_size={size}: "
                f"{one_line(error)}"
            ) from error
        finally:
            self.train(training)
        _, channels, height, width = maps.shape
        return channels, (height, width)

    @property
    def frozen(self) -> bool:
        """Whether `freeze` was called."""
        return self._frozen

    def freeze(self) -> Encoder:
        """No gradients, and BatchNorm keeps its statistics even after `.train()`."""
        self._frozen = True
        self.requires_grad_(False)
        return self.eval()

    def blocks(self) -> Sequence[Sequence[nn.Module]]:
        """Its parts in order, so that the first of them can be frozen; none by default."""
        return ()

    def freeze_blocks(self, count: int) -> Encoder:
        """Keep the first `count` of `blocks` as they are; 0 frees all.

        No gradients, so that a backward pass ends early, and BatchNorm keeps its statistics even
        after `.train()`.
        """
        blocks = self.blocks()
        if check_count("model.frozen_blocks", count, 0) > len(blocks):
            raise OptionError(
                f"model.frozen_blocks must be 0 to {len(blocks)} with encoder={self.name}, "
                f"got {count!r}"
            )
        for number, block in enumerate(blocks):
            for part in block:
                part.requires_grad_(number >= count)
        self._frozen_blocks = [part for block in blocks[:count] for part in block]
        return self.train(self.training)

    def train(self, mode: bool = True) -> Encoder:
        """Training mode, unless frozen: what is frozen stays in evaluation mode."""
        super().train(mode and not self._frozen)
        for part in self._frozen_blocks:
            part.eval()
        return self

    @property
    def identity(self) -> str:
        """Hash of network, weights and preprocessing: equal exactly when all features are."""
        preprocessing = self.preprocessing.to_dict()
        preprocessing.pop("kind")
        if self.preprocessing.intensity == "as_stored":  # features kept before there were others
            preprocessing.pop("intensity")
        plain = [self.name, self.options, preprocessing]
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            if name.endswith("num_batches_tracked"):
                continue
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:32]

    def describe(self) -> dict[str, Any]:
        """Plain dict a checkpoint carries: `build_encoder` builds the same encoder shape."""
        return {
            "name": self.name,
            "options": dict(self.options),
            "preprocessing": self.preprocessing.to_dict(),
            "source": dict(self.source),
        }

    @classmethod
    def default_weights(cls, data_name: str) -> str:
        """Weights where none are named. Raises `OptionError` where there are none to be had."""
        raise OptionError(f"encoder.weights must be given for encoder={cls.name}")

    @classmethod
    def load(
        cls,
        weights: str,
        *,
        image_size: int | None = None,
        seed: int = 0,
        allow_pickle: bool = False,
        **options: Any,
    ) -> Encoder:
        """An encoder with weights: `random`, or a state dict file in the network's own names.

        Subclasses that know other weights override it, and name their options as keywords.

        Args:
            weights: name or path.
            image_size: side S of the images; None for what the weights were trained with.
            seed: of `random`.
            allow_pickle: load files that hold pickled Python objects, which can run any code.
            options: of the constructor.

        Raises `WeightsError` if there are no such weights or they do not fit.
        """
        preprocessing = Preprocessing(size=image_size or Preprocessing.size)
        with drawn_from(seed):
            encoder = cls(preprocessing, random_source(seed), **options)
        if weights != "random":
            file = read_file(weights, allow_pickle=allow_pickle)
            reading = read_state_dict(file, encoder)
            place(encoder, reading, file.name)
            encoder.source = reading.source(file.name)
        return encoder


def random_source(seed: int) -> dict[str, Any]:
    """`Encoder.source` of untrained weights."""
    return {"weights": "random", "format": "none", "trained_on": [], "seed": seed}


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Random weights that are the same for the same seed, whatever was drawn before or after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


ENCODERS: dict[str, type[Encoder]] = {}
"""Encoders by the name that `encoder=NAME` calls them."""

SomeEncoder = TypeVar("SomeEncoder", bound=type[Encoder])


def register_encoder(name: str) -> Callable[[SomeEncoder], SomeEncoder]:
    """Class decorator: make an encoder known as `name`."""

    def register(cls: SomeEncoder) -> SomeEncoder:
        if name in ENCODERS:
            raise OptionError(f"an encoder {name!r} is registered already: {ENCODERS[name]}")
        cls.name = name
        ENCODERS[name] = cls
        return cls

    return register


def encoder_class(name: object) -> type[Encoder]:
    """The encoder called `name`. Raises `OptionError` naming all there are."""
    if name not in ENCODERS:
        raise OptionError(f"encoder.name must be one of {', '.join(ENCODERS)}, got {name!r}")
    return ENCODERS[str(name)]


def build_encoder(description: Mapping[str, Any]) -> Encoder:
    """The encoder that `Encoder.describe` described, its weights still to be loaded.

    Downloads nothing. Raises `WeightsError` naming the field that is missing or malformed, and
    `MissingExtraError` where the package it is built by is not installed.
    """
    fields = {}
    for field in ("name", "options", "preprocessing", "source"):
        if field not in description:
            raise WeightsError(
                f"the description of the encoder has no {field}: it was written by another "
                "version; use that one, or train again"
            )
        fields[field] = description[field]
    if fields["name"] not in ENCODERS:
        raise WeightsError(
            f"unknown encoder {fields['name']!r} (known are {', '.join(ENCODERS)}): import the "
            "module that registers it first"
        )
    preprocessing = Preprocessing.from_dict(fields["preprocessing"])
    try:
        with drawn_from(0):
            return ENCODERS[fields["name"]](preprocessing, fields["source"], **fields["options"])
    except RuntimeError:  # such as RegNet, which computes its shape by tensors
        if torch.get_default_device().type != "meta" or fields["options"].keys() - {"architecture"}:
            raise
        with torch.device("cpu"), drawn_from(0):  # a name has one size, whoever gives it
            return ENCODERS[fields["name"]](preprocessing, fields["source"], **fields["options"])
    except (TypeError, ValueError) as error:
        raise WeightsError(
            f"options of the encoder {fields['name']!r} are malformed: {one_line(error)}"
        ) from error


ENCODER_PREFIX = "model.encoder."
"""Before the encoder's names in the checkpoints of training."""


def restore(file: WeightFile, image_size: int | None = None) -> tuple[Encoder, ConversionReport]:
    """The encoder of a file of our own: a checkpoint of train.py, or an exported encoder.

    Args:
        file: what was read; its description is `{"kind": ..., "encoder": Encoder.describe(), ...}`.
        image_size: side S of the images; None for what it says.

    Raises `WeightsError` if the description is damaged or the tensors do not fit it.
    """
    plain = file.ours or {}
    if plain.get("kind") == "report":
        raise WeightsError(
            f"{file.name} is a report model's checkpoint, and no encoder to begin with: give one "
            "of `python train.py model=chexnet`"
        )
    try:
        if not is_plain(plain.get("encoder")):
            raise TypeError("no plain values, or far too many")
        # Files of before there were others are of DenseNet121.
        described = {"name": "densenet121", "options": {}, **plain["encoder"]}
        if image_size is not None:
            size = {"size": image_size}
            described["preprocessing"] = {**described["preprocessing"], **size}
        source = dict(described["source"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{file.name}: its description of the encoder is damaged: {error!r}"
        ) from error
    trained_on = tuple(source.pop("trained_on", ()))
    first = (source.pop("weights", "unnamed weights"), source.pop("format", "unknown format"))
    source.setdefault("origin", "{} ({})".format(*first))
    if "metadata" in plain:
        source["metadata"] = plain["metadata"]
    kind = f"xray-report {plain.get('kind', 'encoder')}"
    reading = Reading(kind, trained_on=trained_on, facts=source)
    inside = any(name.startswith(ENCODER_PREFIX) for name in file.tensors)
    prefix = ENCODER_PREFIX if inside else ""
    for name, tensor in file.tensors.items():
        if name.startswith(prefix) and not name.endswith("num_batches_tracked"):
            reading.tensors[name[len(prefix) :]] = NamedTensor(name, tensor)
        else:
            reading.aside.append(name)
    described["source"] = reading.source(file.name)
    tensors = {name: one.tensor for name, one in reading.tensors.items()}
    try:
        check_places(sketched(partial(build_encoder, described), tensors), reading, file.name)
    except WeightsError as error:
        raise WeightsError(f"{file.name}: {one_line(error)}") from error
    encoder = build_encoder(described)
    return encoder, place(encoder, reading, file.name)
