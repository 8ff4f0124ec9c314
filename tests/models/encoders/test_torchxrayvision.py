"""TorchXRayVision's networks: by name, by file, and what they have seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from tests.models.encoders.weights import imitations
from xray_report.errors import MissingExtraError, OptionError, WeightsError
from xray_report.models.encoders.load import load_encoder

PIXELS = torch.randint(0, 256, (1, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
NIH = "nih-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt"
RESNET = "pc-nih-rsna-siim-vin-resnet50-test512-e400-state.pt"


def grey_resnet() -> Any:
    torch.manual_seed(0)
    net = resnet50(num_classes=18)
    net.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return net.eval()


def check(encoder: Any, expected: torch.Tensor) -> None:
    scale = float(expected.abs().max())  # its input reaches 1024
    with torch.no_grad():
        maps = encoder(encoder.preprocessing(PIXELS))
    torch.testing.assert_close(maps / scale, expected / scale, rtol=1e-4, atol=1e-5)


def test_a_densenet_by_name_comes_from_the_packages_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pytest.importorskip("torchxrayvision", reason="the extra `torchxrayvision`")
    monkeypatch.setattr(package.utils, "get_cache_dir", lambda: str(tmp_path))
    model = imitations.published(outputs=18, channels=1)
    imitations.write_torchxrayvision(tmp_path / NIH, model)
    options: dict[str, Any] = {"name": "torchxrayvision", "image_size": 64}
    with pytest.raises(WeightsError, match=r"can run any code.*allow_pickle=true"):
        load_encoder(weights="densenet121-res224-nih", **options)
    encoder = load_encoder(weights="densenet121-res224-nih", allow_pickle=True, **options)
    assert encoder.source["trained_on"] == ["nih"]
    assert encoder.source["weights"] == "densenet121-res224-nih"
    check(encoder, imitations.features(model, imitations.torchxrayvision_input(PIXELS)))


def test_the_resnet_by_file(tmp_path: Path) -> None:
    net = grey_resnet()
    torch.save(net.state_dict(), tmp_path / RESNET)
    encoder = load_encoder(name="torchxrayvision", weights=str(tmp_path / RESNET), image_size=64)
    assert encoder.source["trained_on"] == ["nih", "pc", "rsna", "siim", "vin"]
    assert (encoder.options, encoder.channels) == ({"architecture": "resnet50"}, 2048)
    maps = imitations.torchxrayvision_input(PIXELS)
    with torch.no_grad():
        for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            maps = getattr(net, part)(maps)
    check(encoder, maps)


def test_each_network_has_its_own_image_size() -> None:
    sizes = {
        name: load_encoder(name="torchxrayvision", weights="random", architecture=name)
        for name in ("densenet121", "resnet50")
    }
    assert sizes["densenet121"].map_shape == (1024, 7, 7)
    assert sizes["resnet50"].map_shape == (2048, 16, 16)


def test_weights_that_saw_the_data_are_refused(tmp_path: Path) -> None:
    torch.save(grey_resnet().state_dict(), tmp_path / RESNET)
    options: dict[str, Any] = {
        "name": "torchxrayvision",
        "weights": str(tmp_path / RESNET),
        "image_size": 64,
    }
    with pytest.raises(WeightsError, match=r"trained on nih, rsna, siim, .*allow_leak=true"):
        load_encoder(data_name="nih_chestxray14", **options)
    load_encoder(data_name="iu_xray", **options)


def test_a_network_of_three_channels_is_not_its(tmp_path: Path) -> None:
    torch.save(resnet50(num_classes=18).state_dict(), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"take one channel, this one does not"):
        load_encoder(name="torchxrayvision", weights=str(tmp_path / "w.pt"))


def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("torchxrayvision", reason="the extra `torchxrayvision`")
    with pytest.raises(OptionError, match=r"architecture must be one of densenet121, resnet50"):
        load_encoder(name="torchxrayvision", weights="random", architecture="resnet18")
    with pytest.raises(WeightsError, match=r"no weight file mine.*densenet121-res224-nih"):
        load_encoder(name="torchxrayvision", weights="mine")

    def offline(*_: object) -> None:
        raise OSError("offline")

    monkeypatch.setattr(package.utils, "get_cache_dir", lambda: str(tmp_path))
    monkeypatch.setattr(package.utils, "download", offline)
    with pytest.raises(WeightsError, match=r"cannot download https.*\(offline\).*encoder.weights"):
        load_encoder(name="torchxrayvision", weights="densenet121-res224-pc")
    import sys

    monkeypatch.setitem(sys.modules, "torchxrayvision", None)
    with pytest.raises(MissingExtraError, match=r"xray-report\[torchxrayvision\]"):
        load_encoder(name="torchxrayvision", weights="densenet121-res224-pc")
