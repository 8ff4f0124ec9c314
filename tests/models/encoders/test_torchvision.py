"""torchvision's backbones: what they pool, their weights, their mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints
from urllib.error import URLError

import pytest
import torch
import torchvision.models as zoo
from safetensors.torch import save_file
from torch import Tensor, nn

from xray_report.errors import OptionError, WeightsError
from xray_report.models.encoders.load import load_encoder
from xray_report.models.encoders.torchvision import PARTS, backbone, feature_maps, fit_positions
from xray_report.models.encoders.weights.files import WeightFile

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def small(seed: int = 0, outputs: int = 7) -> nn.Module:
    torch.manual_seed(seed)
    return zoo.resnet18(num_classes=outputs).eval()


def pooled(net: nn.Module, images: Tensor) -> Tensor:
    """What the network itself gives to its pooling, seen by a hook."""
    seen: list[Tensor] = []
    hook = net.avgpool.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    with torch.no_grad():
        net.eval()(images)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize(
    "build",
    [
        zoo.resnet18,
        zoo.efficientnet_b0,
        zoo.mobilenet_v3_small,
        zoo.regnet_y_400mf,
        lambda: zoo.ConvNeXt([zoo.convnext.CNBlockConfig(8, None, 2)], num_classes=3),
        lambda: zoo.SwinTransformer([4, 4], 8, [1, 1], [1, 2], [2, 2], num_classes=3),
    ],
)
def test_maps_are_what_the_network_pools(build: Any) -> None:
    torch.manual_seed(0)
    net = build().eval()
    with torch.no_grad():
        torch.testing.assert_close(feature_maps(net, IMAGES), pooled(net, IMAGES))


@pytest.mark.parametrize(
    "name", ["densenet169", "mobilenet_v2", "shufflenet_v2_x0_5", "mnasnet0_5", "squeezenet1_1"]
)
def test_maps_give_the_networks_own_answer(name: str) -> None:
    torch.manual_seed(0)
    net: Any = zoo.get_model(name, weights=None).eval()
    with torch.no_grad():
        maps = feature_maps(net, IMAGES)
        if name == "squeezenet1_1":
            answer = net.classifier(maps).flatten(1)
        else:
            head = net.fc if hasattr(net, "fc") else net.classifier
            answer = head(maps.mean((2, 3)))
        torch.testing.assert_close(answer, net(IMAGES))


def test_a_vision_transformers_tokens_lie_where_its_patches_lay() -> None:
    torch.manual_seed(0)
    net = zoo.VisionTransformer(64, 16, 1, 2, 8, 16, num_classes=3).eval()
    seen: list[Tensor] = []
    net.encoder.register_forward_hook(lambda *given: seen.append(given[2].clone()))
    with torch.no_grad():
        maps = feature_maps(net, IMAGES)
        net(IMAGES)
    assert maps.shape == (2, 8, 4, 4)
    torch.testing.assert_close(maps[1, :, 2, 3], seen[1][1, 1 + 2 * 4 + 3])
    torch.testing.assert_close(seen[0], seen[1])


def test_every_network_of_torchvision_is_known() -> None:
    special = {zoo.DenseNet, zoo.MaxVit, zoo.SwinTransformer, zoo.VisionTransformer}
    for name in zoo.list_models(module=zoo):
        builds = get_type_hints(zoo.get_model_builder(name))["return"]
        if builds in PARTS or builds in special:
            continue
        with pytest.raises(OptionError, match="not offered"):
            backbone(name, 224)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_state_dict_lands_and_its_head_is_left_aside(tmp_path: Path, suffix: str) -> None:
    net, path = small(), tmp_path / f"resnet{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, path)
    else:
        save_file(net.state_dict(), path)
    options = {"name": "torchvision", "architecture": "resnet18", "image_size": 64}
    encoder = load_encoder(weights=str(path), **options)
    prefix = "module." if suffix == ".pth" else ""
    assert sorted(encoder.source["left_aside"]) == [f"{prefix}fc.bias", f"{prefix}fc.weight"]
    with torch.no_grad():
        torch.testing.assert_close(encoder(IMAGES), feature_maps(net, IMAGES))
    assert encoder.preprocessing.mean == (0.485, 0.456, 0.406)


def test_a_state_dict_of_another_network_names_what_is_missing(tmp_path: Path) -> None:
    torch.save(zoo.resnet34().state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w.pth .* with no place in the encoder \(layer1.2"):
        load_encoder(name="torchvision", architecture="resnet18", weights=str(tmp_path / "w.pth"))


def test_imagenet_weights_come_from_torchs_cache_or_the_cure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    options = {"name": "torchvision", "architecture": "resnet18", "image_size": 64}
    with pytest.raises(WeightsError, match=rf"put that file at {tmp_path}.*resnet18-f37072fd.pth"):
        load_encoder(weights="imagenet", **options)
    net, folder = small(outputs=1000), tmp_path / "hub" / "checkpoints"
    torch.save(net.state_dict(), folder / "resnet18-f37072fd.pth")
    encoder = load_encoder(**options)  # its default
    assert encoder.source["trained_on"] == ["imagenet"]
    assert encoder.source["weights"] == "resnet18 IMAGENET1K_V1"
    with torch.no_grad():
        torch.testing.assert_close(encoder(IMAGES), feature_maps(net, IMAGES))


def test_a_vision_transformer_takes_another_image_size() -> None:
    small, large = (zoo.VisionTransformer(size, 16, 1, 2, 8, 16) for size in (64, 96))
    file = WeightFile("vit.pth", small.state_dict())
    fit_positions(file, large, 96)
    large.load_state_dict(file.tensors)
    assert large.encoder.pos_embedding.shape == (1, 1 + 6 * 6, 8)
    expected = torch.nn.functional.interpolate(
        small.encoder.pos_embedding[:, 1:].mT.reshape(1, 8, 4, 4),
        size=(6, 6),
        mode="bicubic",
        align_corners=True,
    )
    torch.testing.assert_close(
        large.encoder.pos_embedding[:, 1:].mT.reshape(expected.shape), expected
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"architecture": "resnet5"}, r"architecture=resnet5 is unknown .* resnet50"),
        ({"architecture": "vit_b_16", "image_size": 100}, r"cannot take .*image_size=100"),
        ({"architecture": 3}, "architecture=3 is unknown"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        load_encoder(name="torchvision", weights="random", **options)
