"""A pickled module gives its tensors and runs nothing."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.models.encoders.weights import imitations
from xray_report.errors import WeightsError
from xray_report.models.encoders.load import load_encoder, read_weights
from xray_report.models.encoders.weights.pickled import StandIn, read_pickled

NIH = "nih-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt"


@pytest.mark.parametrize("old", [True, False], ids=["pickle", "zip"])
def test_torchxrayvisions_file_needs_no_trust(
    tmp_path: Path, grey_model: nn.Module, old: bool
) -> None:
    path = tmp_path / NIH
    imitations.write_published_torchxrayvision(path, grey_model, old=old)
    tensors = read_pickled(path)
    expected = grey_model.state_dict()
    assert tensors.keys() == {*expected, "op_threshs"}
    assert all(torch.equal(tensors[name], tensor) for name, tensor in expected.items())
    encoder, report = read_weights(path)
    assert (report.format, encoder.source["trained_on"]) == ("TorchXRayVision", ["nih"])


@pytest.mark.parametrize("old", [True, False], ids=["pickle", "zip"])
def test_a_module_of_torch_itself(tmp_path: Path, old: bool) -> None:
    module = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.BatchNorm1d(3)))
    torch.save(module, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    tensors = read_pickled(tmp_path / "w.pt")
    assert tensors.keys() == module.state_dict().keys()
    assert all(torch.equal(tensors[name], one) for name, one in module.state_dict().items())


class Command:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path, function: Any = os.mkdir) -> None:
        self.made = (function, (str(folder),))

    def __reduce__(self) -> Any:
        return self.made


@pytest.mark.parametrize("old", [True, False], ids=["pickle", "zip"])
@pytest.mark.parametrize("function", [os.mkdir, exec, eval, getattr, __import__, pickle.loads])
def test_code_is_refused_by_name_and_not_run(tmp_path: Path, old: bool, function: Any) -> None:
    model = nn.Linear(1, 1)
    model.extra = Command(tmp_path / "run", function)  # type: ignore[assignment]
    torch.save(model, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    with pytest.raises(pickle.UnpicklingError, match=rf"it names \w+\.{function.__name__}"):
        read_pickled(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=rf"{function.__name__}.*can run any code.*allow-pickle"):
        load_encoder(weights=str(tmp_path / "w.pt"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("function", [torch.hub.load, torch.load, torch.save, torch.nn.Linear])
def test_even_torchs_own_functions_are_not_called(tmp_path: Path, function: Any) -> None:
    model = nn.Linear(1, 1)
    model.extra = Command(tmp_path / "run", function)  # type: ignore[assignment]
    torch.save(model, tmp_path / "w.pt")
    assert read_pickled(tmp_path / "w.pt").keys() == {"weight", "bias"}
    assert not (tmp_path / "run").exists()


def test_what_a_file_does_to_its_names_it_does_to_those_alone(tmp_path: Path) -> None:
    """Sets an attribute of torch's own function, were it given it."""
    changing = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x01\x00\x00\x00aK\x01s\x86b."
    from xray_report.models.encoders.weights import pickled

    made = pickled._load(__import__("io").BytesIO(changing))
    assert made.a == 1
    assert not hasattr(torch._utils._rebuild_tensor_v2, "a")


def test_stand_ins_do_nothing() -> None:
    one = StandIn(1, b=2)
    one.__setstate__((1, 2))
    assert vars(one) == {}
    one.__setstate__({"c": 3})
    assert vars(one) == {"c": 3}
