"""Vision models in Hugging Face's form: tokens to maps, strict loading, preprocessing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from xray_report.errors import WeightsError
from xray_report.models.encoders.load import load_encoder

transformers = pytest.importorskip(
    "transformers", reason="the extra `transformers` is not installed"
)
SMALL = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "patch_size": 8,
}
SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 8, "window_size": 2}
PREPROCESSING = {
    "size": {"height": 32, "width": 32},
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.2, 0.1],
    "rescale_factor": 1 / 255,
}


def saved(folder: Path, model: Any, **preprocessing: Any) -> Path:
    model.save_pretrained(folder)
    plain = json.dumps({**PREPROCESSING, **preprocessing})
    (folder / "preprocessor_config.json").write_text(plain)
    return folder


def vit(**options: Any) -> Any:
    torch.manual_seed(0)
    return transformers.ViTModel(transformers.ViTConfig(**SMALL, **options)).eval()


FAMILIES: dict[str, Any] = {
    "vit": lambda: (vit(), 1),
    "deit": lambda: (transformers.DeiTModel(transformers.DeiTConfig(**SMALL)), 2),
    "dinov2": lambda: (
        transformers.Dinov2WithRegistersModel(
            transformers.Dinov2WithRegistersConfig(**SMALL, num_register_tokens=3)
        ),
        4,
    ),
    "swin": lambda: (
        transformers.SwinModel(transformers.SwinConfig(**SWIN, depths=[1, 1], num_heads=[1, 2])),
        0,
    ),
    "clip": lambda: (transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**SMALL)), 1),
}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_patch_tokens_become_maps(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, dropped = FAMILIES[family]()
    encoder = load_encoder(name="huggingface", weights=str(saved(tmp_path, model)))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        maps = encoder(images)
        tokens = model.eval()(images).last_hidden_state[:, dropped:]
    rows, columns = encoder.grid
    assert rows * columns == tokens.shape[1]
    assert maps.shape[1:] == encoder.map_shape
    place = columns * (rows - 1) + 1
    torch.testing.assert_close(maps[1, :, rows - 1, 1], tokens[1, place])
    assert encoder.preprocessing.mean == pytest.approx((0.5, 0.4, 0.3))


def test_a_convolutional_network_and_a_clip_of_two_towers(tmp_path: Path) -> None:
    config = transformers.ResNetConfig(hidden_sizes=[8, 16], depths=[1, 1], embedding_size=8)
    folder = saved(tmp_path / "resnet", transformers.ResNetModel(config))
    assert load_encoder(name="huggingface", weights=str(folder)).map_shape == (16, 4, 4)
    text = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9,
            "intermediate_size": 8, "bos_token_id": 0, "eos_token_id": 1}  # fmt: skip
    both = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=SMALL))
    encoder = load_encoder(name="huggingface", weights=str(saved(tmp_path / "clip", both)))
    assert encoder.map_shape == (8, 4, 4)
    assert not any("text" in name for name in encoder.state_dict())


def test_another_image_size_interpolates_the_positions(tmp_path: Path) -> None:
    folder = saved(tmp_path, vit())
    encoder = load_encoder(name="huggingface", weights=str(folder), image_size=48)
    assert encoder.grid == (6, 6)


def test_a_classifier_is_left_aside_and_half_precision_is_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**SMALL))
    encoder = load_encoder(name="huggingface", weights=str(saved(tmp_path, model.half())))
    assert encoder.source["left_aside"] == ["classifier.bias", "classifier.weight"]
    assert all(part.dtype == torch.float32 for part in encoder.parameters())


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_every_tensor_has_its_place(tmp_path: Path, change: str) -> None:
    path = saved(tmp_path, vit()) / "model.safetensors"
    state = load_file(path)
    name = next(name for name in state if name.endswith("layernorm.weight"))
    weight = state.pop(name)
    if change == "extra":
        state |= {name: weight, "encoder.layer.7.weight": weight.clone()}
    if change == "shape":
        state[name] = weight[:3].clone()
    save_file(state, path, {"format": "pt"})
    with pytest.raises(WeightsError) as caught:
        load_encoder(name="huggingface", weights=str(tmp_path))
    said = "7.weight" if change == "extra" else name.removeprefix("vit.")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("preprocessing", "size", "mean", "std"),
    [
        ({"size": 24}, 24, 0.5, 0.5),
        ({"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}, 32, 0.5, 0.5),
        ({"do_normalize": False}, 32, 0.0, 1.0),
        ({"rescale_factor": 1 / 127.5}, 32, 0.25, 0.25),
    ],
)
def test_preprocessing_is_the_folders(
    tmp_path: Path, preprocessing: dict[str, Any], size: int, mean: float, std: float
) -> None:
    folder = saved(tmp_path, vit(), **preprocessing)
    found = load_encoder(name="huggingface", weights=str(folder)).preprocessing
    assert (found.size, found.mean[0], found.std[0]) == (
        size,
        pytest.approx(mean),
        pytest.approx(std),
    )


def test_an_incomplete_folder_names_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"needs a folder with config\.json"):
        load_encoder(name="huggingface", weights=str(tmp_path))
    folder = saved(tmp_path, vit())
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json: cannot tell the size"):
        load_encoder(name="huggingface", weights=str(tmp_path))
    (saved(tmp_path, vit()) / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"cannot be loaded: .*safetensors"):
        load_encoder(name="huggingface", weights=str(tmp_path))
