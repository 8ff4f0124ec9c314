"""From the plain options of conf/encoder/ to an encoder with weights, and from it to a file."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from xray_report.errors import OptionError, WeightsError
from xray_report.files import replacing
from xray_report.hub import is_hub_name
from xray_report.models.encoders.densenet import read_foreign
from xray_report.models.encoders.extractor import PRECISIONS
from xray_report.models.encoders.intensity import INTENSITIES
from xray_report.models.encoders.protocol import Encoder, encoder_class, restore
from xray_report.models.encoders.weights.files import (
    DESCRIPTION_KEY,
    ConversionReport,
    WeightFile,
    is_hdf5,
    our_description,
    read_file,
)
from xray_report.models.encoders.weights.leak import check_leak
from xray_report.models.folder import fetched, is_model_folder, read_folder
from xray_report.options import check_choice, check_count, check_flag

DEFAULT = "densenet121"
SHARED = (
    "name", "weights", "image_size", "intensity", "precision", "trainable", "allow_pickle",
    "allow_leak",
)  # fmt: skip
"""Options that every encoder has."""


def own_options(name: str) -> dict[str, Any]:
    """Options that encoder `name` alone has, with their default values."""
    cls = encoder_class(name)
    parameters = inspect.signature(cls.load).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):  # handed on to the constructor
        parameters = inspect.signature(cls.__init__).parameters.values()
    known = (*SHARED, "seed")
    return {
        one.name: one.default
        for one in parameters
        if one.kind is one.KEYWORD_ONLY and one.name not in known
    }


def check_encoder(options: Mapping[str, Any]) -> None:
    """Raise `OptionError`, naming the option, unless `load_encoder` takes these.

    Reads no file, so that mistakes are found before any work is done.
    """
    name = options.get("name", DEFAULT)
    allowed = (*SHARED, *own_options(name))
    for option in options:
        if option not in allowed:
            raise OptionError(
                f"unknown option encoder.{option} of encoder={name}: it has "
                f"{', '.join(sorted(allowed))}"
            )
    for option in ("trainable", "allow_pickle", "allow_leak"):
        check_flag(f"encoder.{option}", options.get(option, False))
    if options.get("image_size") is not None:
        check_count("encoder.image_size", options["image_size"])
    if options.get("intensity") is not None:
        check_choice("encoder.intensity", options["intensity"], INTENSITIES)
    precision = options.get("precision", "auto")
    check_choice("encoder.precision", precision, PRECISIONS)
    if options.get("trainable", False) and precision not in ("auto", "float32"):
        raise OptionError(
            f"encoder.precision={precision} is for cached features, which an encoder that is "
            "trained has not; leave it auto"
        )


def check_weights(weights: object) -> None:
    """Raise `WeightsError` for a path where nothing lies. Names are for the encoder to know.

    So are those of the Hugging Face hub, `org/name`, for who fetches them.
    """
    path = Path(str(weights))
    if is_hub_name(path):
        return
    if (path.suffix or len(path.parts) > 1) and not path.exists():
        raise WeightsError(f"encoder.weights: no weight file {path}; correct the path")


def load_encoder(
    *,
    name: str = DEFAULT,
    weights: str | None = None,
    image_size: int | None = None,
    intensity: str | None = None,
    precision: str = "auto",
    trainable: bool = False,
    allow_pickle: bool = False,
    allow_leak: bool = False,
    seed: int = 0,
    data_name: str = "",
    **options: Any,
) -> Encoder:
    """The encoder that the group `encoder` of the configuration describes, with its weights.

    Args:
        name: which encoder, such as `densenet121`, `torchvision`, `timm`.
        weights: a name or path that the encoder knows, or one of our own of such an encoder: a
            checkpoint of train.py, an exported encoder, the folder of an exported report model, or
            the name `org/name` of such a folder on the Hugging Face hub; None for its default.
        image_size: side S of the images; None for what the weights were trained with.
        intensity: as `Preprocessing` has it; None for what the weights were trained with.
        precision: of feature extraction; only checked here (see `FeatureExtractor`).
        trainable: whether it will be trained; if not, it is frozen.
        allow_pickle: load files that hold pickled Python objects, which can run any code.
        allow_leak: accept weights that saw the data set's test images.
        seed: of `weights=random`.
        data_name: the data set it is for, such as `iu_xray`; empty for none.
        options: what this encoder alone has, such as `architecture`.

    Raises:
        OptionError: an unknown option, or a value out of range.
        WeightsError: there are no such weights, they do not fit, or they leak.
        MissingExtraError: the package that builds it is not installed.
    """
    check_encoder(
        {
            "name": name,
            "image_size": image_size,
            "intensity": intensity,
            "precision": precision,
            "trainable": trainable,
            "allow_pickle": allow_pickle,
            "allow_leak": allow_leak,
            **options,
        }
    )
    cls = encoder_class(name)
    weights = cls.default_weights(data_name) if weights is None else str(weights)
    file = _our_file(fetched(weights) if is_hub_name(weights) else Path(weights), allow_pickle)
    if file is not None:
        encoder, _ = restore(file, image_size)
        _check_fits(encoder, name, options, weights)
    else:
        encoder = cls.load(
            weights, image_size=image_size, seed=seed, allow_pickle=allow_pickle, **options
        )
    if intensity is not None and intensity != encoder.preprocessing.intensity:
        _change_intensity(encoder, intensity, trainable, file is not None)
    check_leak(encoder.source, data_name, allow_leak)
    return encoder if trainable else encoder.freeze()


def _our_file(path: Path, allow_pickle: bool) -> WeightFile | None:
    """What a checkpoint, an exported encoder or a model's folder of ours holds; None of others."""
    if path.is_dir() and is_model_folder(path):
        return read_folder(path).encoder_file(path.name)
    if not path.is_file() or our_description(path) is None:
        return None
    return read_file(path, allow_pickle=allow_pickle)


def _check_fits(encoder: Encoder, name: str, options: Mapping[str, Any], weights: str) -> None:
    """Raise `OptionError` unless the encoder of a file is the one that was asked for."""
    if encoder.name != name:
        raise OptionError(f"{weights} is of encoder={encoder.name}, not of {name}: choose that one")
    for option, value in options.items():
        known = encoder.options.get(option, value)
        if value is not None and value != known:
            raise OptionError(
                f"{weights} was made with encoder.{option}={known}, not {value}: leave it out"
            )


def _change_intensity(encoder: Encoder, intensity: str, trainable: bool, ours: bool) -> None:
    """Take films otherwise than the weights were trained with, and say so.

    Raises `OptionError` where weights trained here, and not to be trained on, would see films as
    they never did.
    """
    weights, before = encoder.source.get("weights"), encoder.preprocessing.intensity
    if ours and not trainable:
        raise OptionError(
            f"{weights} was trained with encoder.intensity={before}, not {intensity}: leave it out"
        )
    if weights != "random":
        print(
            f"encoder: {weights} was trained with encoder.intensity={before} and is given films "
            f"with {intensity}" + (" to be trained on" if trainable else ""),
            file=sys.stderr,
        )
    encoder.preprocessing = replace(encoder.preprocessing, intensity=intensity)


def read_weights(
    path: str | Path, *, allow_pickle: bool = False
) -> tuple[Encoder, ConversionReport]:
    """Encoder of a file of our own, or of any format of DenseNet121, and where its tensors went."""
    path = Path(path)
    if path.is_file() and not is_hdf5(path) and our_description(path) is not None:
        return restore(read_file(path, allow_pickle=allow_pickle))
    return read_foreign(path, allow_pickle=allow_pickle)


def export_encoder(
    encoder: Encoder,
    path: str | Path,
    metadata: Mapping[str, Any] | None = None,
    *,
    compact: bool = True,
) -> None:
    """Write a safetensors file that describes itself: how it was trained, on what, its input.

    Args:
        encoder: whose weights and description to write.
        path: where to.
        metadata: what else to say of the weights, JSON types: command, seed, scores, licence.
        compact: write matrices in float16; vectors stay float32, since running variances go
            beyond what float16 holds. False writes all as they are.
    """
    tensors = {
        name: _compact(tensor) if compact else tensor.detach().cpu().contiguous().clone()
        for name, tensor in encoder.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    plain = {"kind": "encoder", "encoder": encoder.describe(), "metadata": dict(metadata or {})}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={DESCRIPTION_KEY: json.dumps(plain, sort_keys=True)})


def _compact(tensor: Tensor) -> Tensor:
    """Float16 where that is harmless."""
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point() or tensor.dim() < 2:
        return tensor.clone()
    half = tensor.to(torch.float16)
    return half if bool(torch.isfinite(half).all()) else tensor.float()
