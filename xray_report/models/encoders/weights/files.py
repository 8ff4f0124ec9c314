"""Weight files of any container, and how their tensors strictly land in a network.

`read_file` recognises the container by its first bytes (PyTorch, safetensors); `place` puts the
tensors into a module: every tensor has a place and every place its tensor, or it fails and names
those that do not fit.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from xray_report.errors import MissingExtraError, WeightsError, one_line
from xray_report.models.encoders.weights.pickled import module_tensors, read_pickled

DESCRIPTION_KEY = "xray_report"
"""Where our own files keep their description: safetensors metadata, or a checkpoint's key."""
FILMS_KEY = "films"
"""Where a report model's checkpoint or folder keeps what it remembers of its training films."""

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
PICKLE_MAGIC = b"\x80"
KERAS_3_PART = "model.weights.h5"
"""File that a `.keras` archive holds its weights in."""
KERAS_3 = (
    "Keras 3's own form, whose layers have no names to know them by; load it there and save it as "
    "HDF5 of the older form: keras.saving.load_model(FILE).save('model.h5')"
)
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model")
"""Where checkpoints of others keep their tensors."""


class WeightFile(NamedTuple):
    """What a file holds.

    Args:
        name: of the file, for messages.
        tensors: its state dict, as named there.
        ours: our own description of it, where we wrote it.
    """

    name: str
    tensors: dict[str, Tensor]
    ours: Mapping[str, Any] | None = None


class NamedTensor(NamedTuple):
    """A tensor and the name its file gives it."""

    name: str
    tensor: Tensor


@dataclass
class Reading:
    """A weight file's tensors under the names of the network they are for.

    Args:
        format: name of the file's format.
        tensors: the network's name -> the tensor, in its layout, and the file's name for it.
        aside: names of tensors that are no part of an encoder (a classifier, counters).
        unknown: names of tensors that have no place: placing fails and names them.
        trained_on: short names of the data sets the weights have seen.
        facts: what else the file says, plain types.
    """

    format: str
    tensors: dict[str, NamedTensor] = field(default_factory=dict)
    aside: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    trained_on: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def source(self, weights: str) -> dict[str, Any]:
        """Plain facts for `Encoder.source`, of weights called `weights`."""
        named = {"weights": weights, "format": self.format, "trained_on": list(self.trained_on)}
        heads = [name for name in self.aside if not name.endswith("num_batches_tracked")]
        return {**self.facts, **named, **({"left_aside": heads} if heads else {})}


@dataclass(frozen=True)
class ConversionReport:
    """What became of every tensor of a weight file.

    Args:
        file: name of the file.
        format: what it was recognised as.
        mapped: (name in the file, name in the network), one pair a tensor.
        aside: names of the file's tensors an encoder has no use for.
    """

    file: str
    format: str
    mapped: tuple[tuple[str, str], ...]
    aside: tuple[str, ...]

    def __str__(self) -> str:
        aside = f", {len(self.aside)} left aside ({_some(self.aside)})" if self.aside else ""
        return f"{self.file}: {self.format}, {len(self.mapped)} tensors mapped{aside}"


def read_file(path: str | Path, *, allow_pickle: bool = False) -> WeightFile:
    """Read a PyTorch or safetensors file.

    Args:
        path: of the file.
        allow_pickle: load files that hold pickled Python objects, which can run any code.

    Raises `WeightsError`, naming the file, if it is missing, damaged or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weight file {path}")
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if _is_keras_3(path):
        raise WeightsError(f"{path}: is in {KERAS_3}")
    if head.startswith(PICKLE_MAGIC) or zipfile.is_zipfile(path):
        return _read_torch(_unpickle(path, allow_pickle), path.name)
    if is_hdf5(path):
        raise WeightsError(f"{path}: Keras HDF5 weights are read by encoder=densenet121 alone")
    raise WeightsError(
        f"{path}: not a weight file known here (PyTorch, safetensors and Keras HDF5 are)"
    )


def is_hdf5(path: str | Path) -> bool:
    """Whether the file is HDF5, as its first bytes say."""
    with Path(path).open("rb") as file:
        return file.read(len(HDF5_MAGIC)) == HDF5_MAGIC


def _is_keras_3(path: Path) -> bool:
    """Whether the file is a `.keras` archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return KERAS_3_PART in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def our_description(path: str | Path) -> Mapping[str, Any] | None:
    """What our own file says of its encoder (`Encoder.describe`), None if it is not ours.

    Runs no code the file may hold, and reads no tensor of it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
        if head[8:9] == b"{":
            with safe_open(path, framework="pt") as opened:
                ours = json.loads((opened.metadata() or {}).get(DESCRIPTION_KEY, "null"))
        elif zipfile.is_zipfile(path):
            check_packing(path)
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            ours = loaded.get(DESCRIPTION_KEY) if isinstance(loaded, Mapping) else None
        else:
            return None
    except Exception:  # whatever is wrong with it is told by who reads it whole
        return None
    return ours if isinstance(ours, Mapping) else None


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        plain = json.loads(metadata[DESCRIPTION_KEY]) if DESCRIPTION_KEY in metadata else None
    except (SafetensorError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged safetensors file: {one_line(error)}") from error
    return WeightFile(path.name, tensors, plain if isinstance(plain, dict) else None)


def _unpickle(path: Path, allow_pickle: bool) -> Any:
    """What torch.save wrote: tensors, a module's by stand-ins for its classes.

    Arbitrary objects only where it needs them and the user trusts it.
    """
    try:
        check_packing(path)
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            return read_pickled(path)
    except pickle.UnpicklingError as error:
        if not allow_pickle:
            raise WeightsError(
                f"{path} holds pickled Python objects, not just tensors ({one_line(error)}): "
                "loading it can run any code its author put there. If you trust the file, say so "
                "with --allow-pickle (encoder.allow_pickle=true)"
            ) from error
    except Exception as error:  # spoilt bytes can make the unpickler raise anything
        raise WeightsError(f"{path}: damaged PyTorch file: {one_line(error)}") from error
    return _unpickle_any(path)


def check_packing(path: Path) -> None:
    """Raise `ValueError` for an archive of torch's whose parts claim to be larger than it is.

    torch packs nothing, but would unpack whatever another program has packed.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as parts:
            claimed = sum(one.file_size for one in parts.infolist())
        if claimed > path.stat().st_size:
            raise ValueError(f"its parts claim {claimed / 1e6:.0f} MB, which the file has not")


def _unpickle_any(path: Path) -> Any:
    """Unpickle whatever is in a file, which runs the code it holds."""
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{path} is a pickled object of the package {error.name!r}: install that first"
        ) from error
    except Exception as error:  # code that someone else wrote
        raise WeightsError(f"{path}: cannot be unpickled: {one_line(error)}") from error


def _read_torch(loaded: Any, file: str) -> WeightFile:
    """Read a module, a checkpoint or a state dict."""
    if isinstance(loaded, nn.Module):
        return WeightFile(file, module_tensors(loaded))
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{file} holds a {type(loaded).__name__}, not a model or state dict")
    tensors = next((loaded[key] for key in STATE_DICT_KEYS if key in loaded), loaded)
    if isinstance(tensors, nn.Module):
        tensors = module_tensors(tensors)
    if not isinstance(tensors, Mapping) or not all(
        isinstance(tensor, Tensor) for tensor in tensors.values()
    ):
        raise WeightsError(
            f"{file}: no state dict: some of its values are not tensors; it is looked for under "
            f"{', '.join(STATE_DICT_KEYS)}, and the file has {_some(map(str, loaded), 8)}"
        )
    if claims := [name for name, tensor in tensors.items() if _is_spread(tensor)]:
        raise WeightsError(f"{file}: {claims[0]} claims more numbers than the file holds")
    ours = loaded.get(DESCRIPTION_KEY)
    return WeightFile(file, dict(tensors), ours if isinstance(ours, Mapping) else None)


def _is_spread(tensor: Tensor) -> bool:
    """Whether strides make a tensor of more numbers than were stored."""
    stored = tensor.layout is torch.strided and tensor.untyped_storage().nbytes()
    return tensor.numel() * tensor.element_size() > stored


def read_state_dict(
    file: WeightFile,
    net: nn.Module,
    *,
    heads: Sequence[str] = (),
    rename: Callable[[str], str | None] = str,
    kind: str = "state dict",
) -> Reading:
    """Tensors for `net`, whose names the file uses, perhaps with one prefix before all of them.

    Args:
        file: what was read.
        net: the network to be filled.
        heads: first parts of names, in the file, that belong to a classifier: left aside.
        rename: the file's name -> the network's, or None where it has no place.
        kind: name of the format.
    """
    reading = Reading(kind)
    prefix = _prefix(file.tensors, net, rename)
    for name, tensor in file.tensors.items():
        inner = name.removeprefix(prefix)
        place = rename(inner)
        if name.endswith("num_batches_tracked") or inner.startswith(tuple(heads)):
            reading.aside.append(name)
            if tensor.shape[:1] == (1000,):  # a classifier of ImageNet's classes
                reading.trained_on = ("imagenet",)
        elif not name.startswith(prefix) or place is None:
            reading.unknown.append(name)
        else:
            reading.tensors[place] = NamedTensor(name, tensor)
    return reading


def _prefix(names: Iterable[str], net: nn.Module, rename: Callable[[str], str | None]) -> str:
    """What stands before the network's own names in a file: nothing, or such as `module.`."""
    known, found = net.state_dict().keys(), Counter[str]()
    for name in names:
        parts = name.split(".")
        for start in range(len(parts)):
            if rename(".".join(parts[start:])) in known:
                found["".join(f"{part}." for part in parts[:start])] += 1
                break
    return found.most_common(1)[0][0] if found else ""


ROOM = 100_000_000
"""Bytes of tables that a network may compute for itself, beside as many as its weights have."""
SHARED = 10
"""Times that a file's weights may stand in a network, on average."""

SomeModule = TypeVar("SomeModule", bound=nn.Module)


def sketched(build: Callable[[], SomeModule], tensors: Mapping[str, Tensor]) -> SomeModule:
    """What `build` builds from a description in a file, without memory for its numbers.

    Its state is on the device "meta": compared with the file's tensors, it shows whether the
    description claims more than the file holds, before anything of that size is allocated.

    Args:
        build: builds a network by the description.
        tensors: of the file.

    Raises:
        WeightsError: it has far more parts than the file has tensors, or computes tables that are
            far larger than they; or one of these claims more numbers than are stored.
    """
    if claims := [name for name, tensor in tensors.items() if _is_spread(tensor)]:
        raise WeightsError(f"{claims[0]} claims more numbers than the file holds")
    claimed = sum(tensor.nbytes for tensor in tensors.values())
    stores = (tensor.untyped_storage() for tensor in tensors.values())
    if claimed > SHARED * sum({one.data_ptr(): one.nbytes() for one in stores}.values()):
        raise WeightsError("its tensors claim the same numbers again and again")
    most = 1000 + 10 * len(tensors)  # some build a classifier, or a tower for text, and drop it
    parts = 0

    def count(*_: object) -> None:
        nonlocal parts
        parts += 1
        if parts > most:
            raise WeightsError(
                f"its description is of a network of more than {most} weights, the file has "
                f"{len(tensors)}"
            )

    watching = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            net = build()
    finally:
        watching.remove()
    kept = net.state_dict().keys()
    tables = sum(one.nbytes for name, one in net.named_buffers() if name not in kept)
    if tables > ROOM + claimed:
        raise WeightsError(
            f"its description is of a network that computes {tables / 1e6:.0f} MB of tables"
        )
    return net


def place(net: nn.Module, reading: Reading, file: str) -> ConversionReport:
    """Copy the tensors of `reading` into `net`; counters of batches start from zero.

    Raises `WeightsError`, naming the tensors, if one is missing, left over, of another shape or
    not finite.
    """
    check_places(net, reading, file)
    state = net.state_dict()
    expected = _counted_out(state)
    with torch.no_grad():
        for name, tensor in state.items():
            if name in expected:
                tensor.copy_(reading.tensors[name].tensor)
            else:
                tensor.zero_()
    mapped = tuple((reading.tensors[name].name, name) for name in expected)
    return ConversionReport(file, reading.format, mapped, tuple(reading.aside))


def _counted_out(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state without the counters of batches."""
    return {name: one for name, one in state.items() if not name.endswith("num_batches_tracked")}


def check_places(net: nn.Module, reading: Reading, file: str) -> None:
    """Raise `WeightsError` unless every tensor lands in `net`, and every place of it is taken."""
    faults, expected = [], _counted_out(net.state_dict())
    if missing := [name for name in expected if name not in reading.tensors]:
        faults.append(f"{len(missing)} missing ({_some(missing)})")
    left = [reading.tensors[name].name for name in reading.tensors if name not in expected]
    if left := left + reading.unknown:
        faults.append(f"{len(left)} with no place in the encoder ({_some(left)})")
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
