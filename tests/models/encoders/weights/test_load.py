"""Every published form gives the features its publisher's own code gives, or fails by name."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.models.encoders.weights import imitations
from xray_report.errors import MissingExtraError, WeightsError
from xray_report.models.encoders import densenet
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.load import export_encoder, load_encoder, read_weights

PIXELS = torch.randint(0, 256, (1, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
TENSORS = 604


def encode(encoder: DenseNetEncoder) -> Tensor:
    """Features of PIXELS through the encoder's own preprocessing, at a small size."""
    preprocessing = replace(encoder.preprocessing, size=imitations.SIZE)
    with torch.no_grad():
        return encoder.eval()(preprocessing(PIXELS))


def assert_same(encoder: DenseNetEncoder, expected: Tensor) -> None:
    assert expected.std() > 0.01
    torch.testing.assert_close(encode(encoder), expected, rtol=1e-5, atol=1e-5)


def save_plain(path: Path, model: nn.Module) -> None:
    torch.save(model.state_dict(), path)


def save_features_only(path: Path, model: nn.Module) -> None:
    torch.save(model.features.state_dict(), path)


def save_nested(path: Path, model: nn.Module) -> None:
    torch.save({"state_dict": {f"net.{k}": v for k, v in model.state_dict().items()}}, path)


def save_safetensors(path: Path, model: nn.Module) -> None:
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)


def save_keras_whole(path: Path, model: nn.Module) -> None:
    imitations.write_keras(path, model, "model_weights")


def save_keras_of_later(path: Path, model: nn.Module) -> None:
    imitations.write_keras(path, model, "model_weights", {"/": "_"})


def save_under_model_state_dict(path: Path, model: nn.Module) -> None:
    torch.save({"epoch": 3, "model_state_dict": model.state_dict(), "optimizer": {}}, path)


def save_under_model(path: Path, model: nn.Module) -> None:
    torch.save({"epoch": 3, "model": model.state_dict()}, path)


@pytest.mark.parametrize(
    ("save", "format_name", "trained_on"),
    [
        (imitations.write_arnoweng, "arnoweng CheXNet", ["imagenet", "nih"]),
        (imitations.write_keras, "Keras CheXNet", ["imagenet", "nih"]),
        (save_keras_whole, "Keras CheXNet", ["imagenet", "nih"]),
        (save_keras_of_later, "Keras CheXNet", ["imagenet", "nih"]),
        (save_under_model_state_dict, "torchvision state dict", []),
        (save_under_model, "torchvision state dict", []),
        (save_plain, "torchvision state dict", []),
        (save_features_only, "torchvision state dict", []),
        (save_nested, "torchvision state dict", []),
        (save_safetensors, "torchvision state dict", []),
    ],
)
def test_formats_of_three_channels(
    tmp_path: Path,
    model: nn.Module,
    save: Callable[[Path, nn.Module], None],
    format_name: str,
    trained_on: list[str],
) -> None:
    path = tmp_path / "weights.bin"  # never recognised by name
    save(path, model)
    encoder, report = read_weights(path)
    assert_same(encoder, imitations.features(model, imitations.imagenet_input(PIXELS)))
    assert report.format == encoder.source["format"] == format_name
    assert encoder.source["trained_on"] == trained_on
    assert encoder.source["weights"] == "weights.bin"
    assert len(report.mapped) == TENSORS
    assert len({ours for _, ours in report.mapped}) == TENSORS


def test_torchvisions_imagenet_file_is_known_by_its_classifier(tmp_path: Path) -> None:
    model = imitations.published(outputs=1000)
    save_plain(tmp_path / "a", model)
    encoder, report = read_weights(tmp_path / "a")
    assert encoder.source["trained_on"] == ["imagenet"]
    assert {"classifier.weight", "classifier.bias"} <= set(report.aside)


def test_torchxrayvision_needs_the_users_word(tmp_path: Path, grey_model: nn.Module) -> None:
    path = tmp_path / "nih-densenet121-d121-best.pt"
    imitations.write_torchxrayvision(path, grey_model)
    with pytest.raises(WeightsError, match=r"can run any code.*--allow-pickle"):
        load_encoder(weights=str(path))
    encoder = load_encoder(weights=str(path), allow_pickle=True)
    assert encoder.source["trained_on"] == ["nih"]
    assert encoder.preprocessing.kind == "torchxrayvision"
    # The publisher's input reaches 1024 and the sums grow with it: compare relatively.
    expected = imitations.features(grey_model, imitations.torchxrayvision_input(PIXELS))
    scale = float(expected.abs().max())
    torch.testing.assert_close(encode(encoder) / scale, expected / scale, rtol=1e-5, atol=1e-5)


def test_what_needs_no_unpickling_is_never_unpickled(
    tmp_path: Path, model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_plain(tmp_path / "w.pth", model)
    asked: list[bool] = []
    load = torch.load

    def noted(*arguments: object, weights_only: bool, **options: object) -> object:
        asked.append(weights_only)
        return load(*arguments, weights_only=weights_only, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "load", noted)
    load_encoder(weights=str(tmp_path / "w.pth"), allow_pickle=True)
    assert asked
    assert all(asked)


class Spoilt:
    """Raises what it likes when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return json.loads, ("two\nlines",)


def test_a_pickle_that_fails_is_one_line(tmp_path: Path) -> None:
    torch.save(Spoilt(), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"w.pt: cannot be unpickled: ") as caught:
        load_encoder(weights=str(tmp_path / "w.pt"), allow_pickle=True)
    assert "\n" not in str(caught.value)


def test_torchxrayvision_tensors_alone_need_no_pickle(
    tmp_path: Path, grey_model: nn.Module
) -> None:
    save_plain(tmp_path / "all.pt", grey_model)
    encoder = load_encoder(weights=str(tmp_path / "all.pt"))
    assert encoder.source["format"] == "TorchXRayVision"
    assert "openi" in encoder.source["trained_on"]


def test_our_own_checkpoint(tmp_path: Path, model: nn.Module) -> None:
    path = tmp_path / "best.ckpt"
    torch.save(imitations.lightning_checkpoint(model), path)
    encoder, report = read_weights(path)
    assert encoder.preprocessing.to_dict()["mean"] == [0.5, 0.4, 0.3]
    assert encoder.source["trained_on"] == ["phantom"]
    assert encoder.source["weights"] == "best.ckpt"
    assert "model.classifier.weight" in report.aside
    expected = imitations.features(model, encoder.preprocessing(PIXELS))
    assert_same(encoder, expected)


def test_export_describes_itself_and_is_small(tmp_path: Path, model: nn.Module) -> None:
    torch.save(imitations.lightning_checkpoint(model), tmp_path / "best.ckpt")
    encoder = load_encoder(weights=str(tmp_path / "best.ckpt"))
    metadata = {"command": "train.py model=chexnet", "seed": 1, "auroc": 0.9}
    export_encoder(encoder, tmp_path / "small", metadata)
    assert (tmp_path / "small").stat().st_size < 15e6
    again = load_encoder(weights=str(tmp_path / "small"))
    assert again.preprocessing == encoder.preprocessing
    assert again.source["trained_on"] == ["phantom"]
    assert again.source["origin"] == "random (none)"
    assert again.source["metadata"] == metadata
    cosine = torch.cosine_similarity(encode(again).flatten(), encode(encoder).flatten(), 0)
    assert cosine > 0.9999
    export_encoder(again, tmp_path / "twice", again.source["metadata"])
    assert load_encoder(weights=str(tmp_path / "twice")).identity == again.identity


def test_random_is_the_same_for_the_same_seed_and_disturbs_nothing() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = load_encoder(weights="random")
    torch.testing.assert_close(torch.rand(3), expected)
    assert first.identity == load_encoder(weights="random").identity
    assert first.identity != load_encoder(weights="random", seed=1).identity


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(WeightsError, match=r"no weight file chexnet.*phantom, imagenet, random"):
        load_encoder(weights="chexnet")


def test_phantom_weights_missing_from_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(densenet, "PHANTOM_FILE", tmp_path / "phantom.safetensors")
    with pytest.raises(WeightsError, match=r"bundled phantom weights are missing"):
        load_encoder(weights="phantom")


def test_imagenet_without_a_network_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(url: str, target: str, hash_prefix: str) -> None:
        raise URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(WeightsError, match=rf"put that file at {tmp_path}.*download imagenet"):
        load_encoder(weights="imagenet")


def test_imagenet_is_taken_from_torchs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    model = imitations.published(outputs=1000)
    save_plain(tmp_path / "hub" / "checkpoints" / "densenet121-a639ec97.pth", model)
    encoder = load_encoder(weights="imagenet")
    assert encoder.source["weights"] == "imagenet"
    assert_same(encoder, imitations.features(model, imitations.imagenet_input(PIXELS)))


def test_a_pickled_module_of_a_missing_package_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, weights_only: bool, pickle_module: object = None, **__: object) -> None:
        if weights_only or pickle_module:
            raise pickle.UnpicklingError("Unsupported global")
        raise ModuleNotFoundError("No module named 'torchxrayvision'", name="torchxrayvision")

    torch.save({}, tmp_path / "w.pt")
    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(MissingExtraError, match="torchxrayvision"):
        load_encoder(weights=str(tmp_path / "w.pt"), allow_pickle=True)
