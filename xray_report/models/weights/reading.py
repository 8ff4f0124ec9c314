"""What a weight file is read as, and how it strictly becomes an encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xray_report.errors import WeightsError
from xray_report.models.densenet import DenseNetEncoder, Preprocessing


class NamedTensor(NamedTuple):
    """A tensor and the name its file gives it."""

    name: str
    tensor: Tensor


@dataclass
class Reading:
    """A weight file, its tensors under the names `DenseNetEncoder.features` gives them.

    Args:
        format: name of the file's format.
        tensors: our name -> the tensor, in our layout, and the file's name for it.
        aside: names of tensors that are no part of an encoder (a classifier, counters).
        unknown: names of tensors that have no place: loading fails and names them.
        preprocessing: the format's own.
        trained_on: short names of the data sets the weights have seen.
        facts: what else the file says, plain types.
    """

    format: str
    tensors: dict[str, NamedTensor]
    preprocessing: Preprocessing
    aside: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    trained_on: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ConversionReport:
    """What became of every tensor of a weight file.

    Args:
        file: name of the file.
        format: what it was recognised as.
        mapped: (name in the file, name in the encoder), one pair a tensor.
        aside: names of the file's tensors an encoder has no use for.
    """

    file: str
    format: str
    mapped: tuple[tuple[str, str], ...]
    aside: tuple[str, ...]

    def __str__(self) -> str:
        aside = f", {len(self.aside)} left aside ({_some(self.aside)})" if self.aside else ""
        return f"{self.file}: {self.format}, {len(self.mapped)} tensors mapped{aside}"


def build_encoder(reading: Reading, file: str) -> tuple[DenseNetEncoder, ConversionReport]:
    """Encoder with the weights of `reading`.

    Raises `WeightsError`, naming the tensors, if one is missing, left over or of another shape.
    """
    source = {
        **reading.facts,
        "weights": file,
        "format": reading.format,
        "trained_on": list(reading.trained_on),
    }
    with torch.device("meta"):  # no time spent on drawing weights that are overwritten
        encoder = DenseNetEncoder(reading.preprocessing, source)
    expected = {
        name: tensor
        for name, tensor in encoder.features.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    _check(reading, expected, file)
    encoder.to_empty(device="cpu")
    with torch.no_grad():
        for name, tensor in encoder.features.state_dict().items():
            if name in expected:
                tensor.copy_(reading.tensors[name].tensor)
            else:
                tensor.zero_()  # a counter of batches
    mapped = tuple((reading.tensors[name].name, name) for name in expected)
    return encoder, ConversionReport(file, reading.format, mapped, tuple(reading.aside))


def _check(reading: Reading, expected: Mapping[str, Tensor], file: str) -> None:
    """Every tensor lands, and every place is taken."""
    faults = []
    if missing := [name for name in expected if name not in reading.tensors]:
        faults.append(f"{len(missing)} missing ({_some(missing)})")
    left = [reading.tensors[name].name for name in reading.tensors if name not in expected]
    if left := left + reading.unknown:
        faults.append(f"{len(left)} with no place in DenseNet121 ({_some(left)})")
    for name, (theirs, tensor) in reading.tensors.items():
        if name in expected and tensor.shape != expected[name].shape:
            wanted, got = list(expected[name].shape), list(tensor.shape)
            faults.append(f"{theirs} has shape {got}, not {wanted}")
        elif name in expected and not bool(torch.isfinite(tensor).all()):
            faults.append(f"{theirs} holds values that are not finite")
    if faults:
        raise WeightsError(f"{file} ({reading.format}): tensors do not fit: " + "; ".join(faults))


def _some(names: Iterable[str], most: int = 4) -> str:
    """The first few names, for an error message."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
