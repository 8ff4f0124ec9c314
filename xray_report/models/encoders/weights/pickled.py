"""Tensors of a pickled module, with none of its code run.

`torch.save(module)` pickles the module's classes by name, and unpickling calls whatever is named:
a file can run any code. Here nothing that a file names is ever looked up. Tensors are rebuilt by
torch's own functions for that, and everything else that torch, torchvision, torchxrayvision and
numpy are asked for is an empty stand-in, which keeps its attributes and does nothing. A file that
names anything beyond them is refused.

Both of torch's forms are read: zip archives, and the older plain pickles, which `weights_only`
loading does not know where they hold a module.
"""

from __future__ import annotations

import io
import pickle
import warnings
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import torch
from torch import Tensor

PACKAGES: Final = frozenset({"torch", "torchvision", "torchxrayvision", "numpy"})
"""Whose classes a file may name."""
OF_PYTHON: Final = frozenset(
    f"{module}.{name}"
    for modules, names in (
        (("builtins", "__builtin__"), ("set", "frozenset", "list", "dict", "tuple", "object")),
        (("copyreg", "copy_reg"), ("_reconstructor",)),
        (("collections",), ("defaultdict", "deque", "Counter")),
        (("_codecs",), ("encode",)),  # numpy's arrays hold their bytes so
    )
    for module in modules
    for name in names
)
"""What a pickle of those classes names of Python itself."""


def read_pickled(path: Path) -> Any:
    """The state dict of a pickled module, or the mapping that the file holds.

    Raises `pickle.UnpicklingError` for a file that names what is neither of `PACKAGES` nor one of
    `OF_PYTHON`, and whatever the unpickler makes of a damaged one.
    """
    module = SimpleNamespace(Unpickler=_Unpickler, load=_load, __name__="stand_ins")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the source of stand-ins cannot be compared
        # From memory: torch would take a file on disk for a tar archive, and unpack it.
        loaded = torch.load(
            io.BytesIO(path.read_bytes()),
            map_location="cpu",
            pickle_module=module,
            weights_only=False,
        )
    return module_tensors(loaded) if "_modules" in getattr(loaded, "__dict__", {}) else loaded


def module_tensors(module: Any, prefix: str = "") -> dict[str, Tensor]:
    """Parameters and buffers by name, without methods that modules of old versions lack."""
    own = {**module.__dict__["_parameters"], **module.__dict__["_buffers"]}
    tensors = {f"{prefix}{name}": tensor for name, tensor in own.items() if tensor is not None}
    for name, child in module.__dict__["_modules"].items():
        if child is not None:
            tensors |= module_tensors(child, f"{prefix}{name}.")
    return tensors


class StandIn:
    """Keeps what a pickle says an object's attributes are, and does nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


class _Unpickler(pickle._Unpickler):
    """Gives a file classes and functions of its own: whatever it does to them, it does to those.

    Python's own implementation: that in C takes as much memory as a file claims to remember.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return type(name, (OrderedDict,), {})
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return lambda *parts: getattr(torch._utils, name)(*parts)
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda tensor, *_: tensor
        if module.partition(".")[0] in PACKAGES or f"{module}.{name}" in OF_PYTHON:
            return type(name, (StandIn,), {})
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _load(file: Any, **options: Any) -> Any:
    return _Unpickler(file, **options).load()
