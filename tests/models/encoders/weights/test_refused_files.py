"""A file that is not exactly an encoder is refused, and what is wrong with it named."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import torch
from torch import Tensor, nn

from tests.models.encoders.weights import imitations
from xray_report.errors import CheckpointError, WeightsError
from xray_report.inference.checkpoint import read_file as read_checkpoint_file
from xray_report.models.encoders.load import load_encoder


def drop(tensors: dict[str, Tensor]) -> None:
    del tensors["features.denseblock2.denselayer3.conv2.weight"]


def add(tensors: dict[str, Tensor]) -> None:
    tensors["features.denseblock2.denselayer13.conv1.weight"] = torch.zeros(1)


def stray(tensors: dict[str, Tensor]) -> None:
    tensors["decoder.weight"] = torch.zeros(1)


def reshape(tensors: dict[str, Tensor]) -> None:
    tensors["features.conv0.weight"] = torch.zeros(64, 3, 3, 3)


def spoil(tensors: dict[str, Tensor]) -> None:
    tensors["features.norm5.bias"] = torch.full((1024,), torch.nan)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop, r"1 missing \(features.denseblock2.denselayer3.conv2.weight\)"),
        (add, r"1 with no place .*denselayer13.conv1.weight"),
        (stray, r"1 with no place .*decoder.weight"),
        (reshape, r"features.conv0.weight has shape \[64, 3, 3, 3\], not \[64, 3, 7, 7\]"),
        (spoil, r"features.norm5.bias holds values that are not finite"),
    ],
)
def test_a_tensor_without_a_place_or_a_place_without_a_tensor(
    tmp_path: Path, model: nn.Module, change: Callable[[dict[str, Tensor]], None], said: str
) -> None:
    tensors = dict(model.state_dict())
    change(tensors)
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=said):
        load_encoder(weights=str(tmp_path / "w.pth"))


def test_a_keras_layer_without_a_place(tmp_path: Path, model: nn.Module) -> None:
    imitations.write_keras(tmp_path / "w", model)
    with h5py.File(tmp_path / "w", "a") as file:
        file["bn"].move("bn/gamma:0", "bn/delta:0")
        names = [name.replace(b"gamma", b"delta") for name in file["bn"].attrs["weight_names"]]
        file["bn"].attrs["weight_names"] = names
    with pytest.raises(WeightsError, match=r"missing \(features.norm5.weight\).*bn/delta:0"):
        load_encoder(weights=str(tmp_path / "w"))


def test_hdf5_that_is_not_keras(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(WeightsError, match=r"w.h5: not a Keras weight file"):
        load_encoder(weights=str(tmp_path / "w.h5"))


def test_keras_3_is_named_with_its_cure(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        file["layers/conv2d/vars/0"] = [1.0]
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.write(tmp_path / "w.weights.h5", "model.weights.h5")
    for name in ("w.weights.h5", "w.keras"):
        with pytest.raises(WeightsError, match=r"Keras 3.*save\('model.h5'\)"):
            load_encoder(weights=str(tmp_path / name))


def test_the_keys_of_a_checkpoint_without_tensors_are_named(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "weights": {"a": torch.zeros(1)}}, tmp_path / "w")
    with pytest.raises(WeightsError, match=r"under state_dict, model_state_dict, model.*weights"):
        load_encoder(weights=str(tmp_path / "w"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a weight file"),
        (b"<html>404</html>", "not a weight file"),
        (b"\x80\x02 no pickle", "holds pickled|damaged"),
        (b"\x10\0\0\0\0\0\0\0{", "damaged safetensors"),
        (b"\x89HDF\r\n\x1a\n broken", "not a Keras weight file"),
    ],
)
def test_files_that_are_no_weights(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(WeightsError, match=said):
        load_encoder(weights=str(tmp_path / "w"))


@pytest.mark.parametrize(
    ("loaded", "said"),
    [
        ([1, 2], "holds a list"),
        ({"state_dict": [1]}, "no state dict"),
        ({"epoch": 3}, "no state dict"),
        ({"fc.weight": torch.zeros(1)}, "no DenseNet121 among its 1 tensors"),
        ({"a.conv0.weight": torch.zeros(1), "b.conv0.weight": torch.zeros(1)}, "2 encoders"),
        ({"state_dict": {"a": torch.zeros(1)}, "xray_report": {}}, "description .* is damaged"),
    ],
)
def test_pytorch_files_that_hold_no_encoder(tmp_path: Path, loaded: object, said: str) -> None:
    torch.save(loaded, tmp_path / "w")
    with pytest.raises(WeightsError, match=said):
        load_encoder(weights=str(tmp_path / "w"))


def test_keras_weights_that_claim_to_be_larger_than_the_file(
    tmp_path: Path, model: nn.Module
) -> None:
    imitations.write_keras(tmp_path / "w", model)
    with h5py.File(tmp_path / "w", "a") as file:
        del file["conv1/conv/conv1/conv/kernel:0"]
        file.create_dataset("conv1/conv/conv1/conv/kernel:0", (1 << 34,), "f4", chunks=(1 << 20,))
    with pytest.raises(WeightsError, match="claim to be larger than the file"):
        load_encoder(weights=str(tmp_path / "w"))


def packed(path: Path, content: object) -> Path:
    """What torch.save writes, its parts deflated as torch itself never does."""
    torch.save(content, path)
    with zipfile.ZipFile(path) as parts:
        read = {name: parts.read(name) for name in parts.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as parts:
        for name, part in read.items():
            parts.writestr(name, part)
    return path


def test_torch_weights_that_claim_to_be_larger_than_the_file(tmp_path: Path) -> None:
    path = packed(tmp_path / "w.pth", {"features.conv0.weight": torch.zeros(1 << 20)})
    assert torch.load(path, weights_only=True)["features.conv0.weight"].numel() == 1 << 20
    with pytest.raises(WeightsError, match=r"w\.pth: damaged .*its parts claim 4 MB"):
        load_encoder(weights=str(path))
    with pytest.raises(CheckpointError, match=r"w\.pth is damaged .*its parts claim 4 MB"):
        read_checkpoint_file(path)


def test_a_pickle_that_claims_to_remember_millions(tmp_path: Path) -> None:
    """`LONG_BINPUT`: one object, under a number that pickle in C makes a table of that size for."""
    (tmp_path / "w.pth").write_bytes(b"\x80\x02]r" + (1 << 24).to_bytes(4, "little") + b".")
    tracemalloc.start()
    with pytest.raises(WeightsError, match=r"w\.pth: damaged PyTorch file"):
        load_encoder(weights=str(tmp_path / "w.pth"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_a_tensor_of_more_numbers_than_were_stored_is_refused(tmp_path: Path) -> None:
    torch.save({"features.conv0.weight": torch.zeros(1).expand(1 << 20, 1 << 20)}, tmp_path / "w")
    with pytest.raises(WeightsError, match=r"w: features\.conv0\.weight claims more numbers"):
        load_encoder(weights=str(tmp_path / "w"))
