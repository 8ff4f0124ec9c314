"""The encoder: its preprocessing, what freezing means, and CheXNet on top."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn
from torchvision.models import densenet121

from xray_report.errors import OptionError, WeightsError
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.protocol import Preprocessing, build_encoder
from xray_report.training.chexnet import CheXNet

PREPROCESSING = Preprocessing(64, (0.5, 0.4, 0.3), (0.25, 0.2, 0.5), "mine")


@pytest.fixture(scope="module")
def encoder() -> DenseNetEncoder:
    torch.manual_seed(0)
    return DenseNetEncoder(PREPROCESSING)


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randint(0, 256, (2, 64, 64), generator=torch.Generator().manual_seed(0)).byte()


def test_preprocessing_is_scale_then_mean_and_deviation(pixels: torch.Tensor) -> None:
    images = PREPROCESSING(pixels)
    assert images.dtype == torch.float32
    assert images.shape == (2, 3, 64, 64)
    for channel in range(3):
        mean, std = PREPROCESSING.mean[channel], PREPROCESSING.std[channel]
        expected = (pixels.double() / 255 - mean) / std
        torch.testing.assert_close(images[:, channel].double(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(PREPROCESSING(pixels[:, None]), images)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(1, 64, 64), torch.zeros(1, 32, 32).byte(), torch.zeros(1, 3, 64, 64)]
)
def test_preprocessing_refuses_what_is_no_grey_image_of_its_size(wrong: torch.Tensor) -> None:
    with pytest.raises(WeightsError, match="takes grey uint8 images"):
        PREPROCESSING(wrong)


def test_preprocessing_survives_json() -> None:
    plain = json.loads(json.dumps(PREPROCESSING.to_dict()))
    assert Preprocessing.from_dict(plain) == PREPROCESSING


@pytest.mark.parametrize(
    "change", [{"size": 0}, {"std": [1, 0, 1]}, {"mean": [1, 2]}, {"mean": "abc"}, {"std": None}]
)
def test_malformed_preprocessing_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(WeightsError):
        Preprocessing.from_dict({**PREPROCESSING.to_dict(), **change})


def test_features_are_torchvisions_after_the_relu(
    encoder: DenseNetEncoder, pixels: torch.Tensor
) -> None:
    reference = densenet121(weights=None).eval()
    reference.features.load_state_dict(encoder.features.state_dict())
    images = PREPROCESSING(pixels)
    with torch.no_grad():
        maps = encoder.eval()(images)
        pooled = maps.mean((2, 3))
        assert maps.shape == (2, 1024, 2, 2)
        assert float(maps.min()) == 0
        torch.testing.assert_close(reference.classifier(pooled), reference(images))


def test_freezing_survives_train(encoder: DenseNetEncoder, pixels: torch.Tensor) -> None:
    net = CheXNet(copy.deepcopy(encoder), 2)
    net.encoder.freeze()
    before = net.encoder.identity
    net.train()
    assert net.training
    assert not any(module.training for module in net.encoder.modules())
    net(PREPROCESSING(pixels)).logits.sum().backward()
    assert all(parameter.grad is None for parameter in net.encoder.parameters())
    assert net.classifier.weight.grad is not None
    assert net.encoder.identity == before

    free = CheXNet(copy.deepcopy(encoder), 2).train()
    with torch.no_grad():
        free(PREPROCESSING(pixels))
    assert free.encoder.identity != before, "statistics move"


def test_frozen_blocks_stay_as_they_are(encoder: DenseNetEncoder, pixels: torch.Tensor) -> None:
    net = copy.deepcopy(encoder).train().freeze_blocks(2)
    for again in (lambda: net, net.train):
        before = {name: part.clone() for name, part in net.features.state_dict().items()}
        again()(PREPROCESSING(pixels)).sum().backward()
        moved = {
            name.split(".")[0]
            for name, part in net.features.state_dict().items()
            if not torch.equal(part, before[name])
        }
        assert moved == {"transition2", "denseblock3", "transition3", "denseblock4", "norm5"}
    assert net.features.conv0.weight.grad is None
    assert net.features.denseblock3.denselayer1.conv1.weight.grad is not None
    assert net.freeze_blocks(0).train().features.norm0.training


def test_identity_is_of_weights_and_preprocessing_only(encoder: DenseNetEncoder) -> None:
    other = copy.deepcopy(encoder)
    other.source = {"weights": "elsewhere"}
    other.preprocessing = Preprocessing(64, (0.5, 0.4, 0.3), (0.25, 0.2, 0.5), "another name")
    other.features.norm0.num_batches_tracked += 1
    assert other.identity == encoder.identity
    other.preprocessing = Preprocessing(64)
    assert other.identity != encoder.identity
    other.preprocessing = encoder.preprocessing
    with torch.no_grad():
        other.features.norm5.running_var[7] *= 1.001
    assert other.identity != encoder.identity


def test_description_rebuilds_the_encoder(encoder: DenseNetEncoder) -> None:
    described = json.loads(json.dumps(encoder.describe()))
    again = build_encoder(described)
    again.load_state_dict(encoder.state_dict())
    assert again.identity == encoder.identity
    assert again.source == encoder.source


def test_chexnet_says_a_logit_a_label_and_a_cell(
    encoder: DenseNetEncoder, pixels: torch.Tensor
) -> None:
    images = PREPROCESSING(pixels)
    net = CheXNet(encoder, 5, locator=True).eval()
    with torch.no_grad():
        out = net(images)
        maps = encoder(images)
    assert out.logits.shape == (2, 5)
    torch.testing.assert_close(out.logits, net.classifier(maps.mean((2, 3))))
    assert out.cell_logits is not None
    assert isinstance(net.locator, nn.Conv2d)
    weight, bias = net.locator.weight[:, :, 0, 0], net.locator.bias
    assert bias is not None
    cell = weight @ maps[1, :, 0, 1] + bias
    torch.testing.assert_close(out.cell_logits[1, :, 0, 1], cell)
    assert CheXNet(encoder, 5).locator is None


def test_chexnet_needs_a_label(encoder: DenseNetEncoder) -> None:
    with pytest.raises(OptionError, match="at least one label"):
        CheXNet(encoder, 0)
