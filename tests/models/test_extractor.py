"""Fast feature extraction gives the encoder's own features, by every backend."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.models.weights.imitations import published
from xray_report.errors import OptionError, WeightsError
from xray_report.models import convolution
from xray_report.models.convolution import Convolution
from xray_report.models.densenet import DenseNetEncoder, Preprocessing
from xray_report.models.extractor import build_extractor
from xray_report.models.fast_densenet import FastDenseNet

SIZE = 64


@pytest.fixture(scope="module")
def encoder() -> DenseNetEncoder:
    """Norms with negative, tiny and no scale; three channels that differ."""
    encoder = DenseNetEncoder(Preprocessing(SIZE, (0.5, 0.4, 0.3), (0.25, 0.2, 0.5), "mine"))
    encoder.features.load_state_dict(published().features.state_dict())
    with torch.no_grad():
        norm = encoder.features.denseblock1.denselayer2.norm1
        norm.weight[:3] = torch.tensor([0.0, 1e-9, -1e-20])
        norm.bias[:3] = torch.tensor([0.7, 0.5, -0.4])
        encoder.features.transition2.norm.weight.abs_()
    return encoder.freeze()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(encoder: DenseNetEncoder, images: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return encoder(encoder.preprocessing(torch.from_numpy(images)))


@pytest.mark.parametrize("onednn", [True, False])
def test_fast_densenet_equals_the_encoder(
    encoder: DenseNetEncoder,
    images: np.ndarray,
    expected: torch.Tensor,
    onednn: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not onednn:
        monkeypatch.setattr(convolution, "onednn_runs", lambda dtype: False)
    net = FastDenseNet(encoder)
    assert net.side == 2
    torch.testing.assert_close(net(torch.from_numpy(images)), expected, rtol=1e-4, atol=1e-4)
    one = net(torch.from_numpy(images[3:4]))
    torch.testing.assert_close(one, expected[3:4], rtol=1e-4, atol=1e-4)


def test_bfloat16_stays_near(
    encoder: DenseNetEncoder, images: np.ndarray, expected: torch.Tensor
) -> None:
    maps = FastDenseNet(encoder, dtype=torch.bfloat16)(torch.from_numpy(images[:1]))
    assert maps.dtype == torch.bfloat16
    assert torch.cosine_similarity(maps.float().flatten(), expected[:1].flatten(), 0) > 0.99


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_extractor_gives_float16_whatever_the_threads(
    encoder: DenseNetEncoder, images: np.ndarray, expected: torch.Tensor, threads: int
) -> None:
    before = torch.get_num_threads()
    extractor = build_extractor(encoder, precision="float32", threads=threads)
    maps = extractor(images)
    assert torch.get_num_threads() == before
    assert maps.dtype == np.float16
    assert np.moveaxis(maps, 1, -1).flags.c_contiguous  # channels last, as the cache keeps them
    torch.testing.assert_close(torch.from_numpy(maps).float(), expected, rtol=2e-3, atol=1e-3)


def test_openvino_gives_the_same_features(
    encoder: DenseNetEncoder, images: np.ndarray, expected: torch.Tensor
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO (extra openvino) is not installed")
    extractor = build_extractor(encoder, "openvino", "float32", threads=1)
    assert extractor.identity != build_extractor(encoder, precision="float32").identity
    maps = torch.from_numpy(extractor(images)).float()
    torch.testing.assert_close(maps, expected, rtol=2e-3, atol=1e-3)


def test_identity_tells_precisions_apart(encoder: DenseNetEncoder) -> None:
    single = build_extractor(encoder, precision="float32")
    assert single.identity != build_extractor(encoder, precision="bfloat16").identity
    assert single.identity == build_extractor(encoder, precision="float32", threads=3).identity
    assert single.size == SIZE


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": "tensorflow"}, "backend must be one of torch, openvino"),
        ({"precision": "int8"}, "precision must be one of auto, float32, bfloat16"),
        ({"threads": 0}, "threads must be positive"),
    ],
)
def test_options_are_checked(
    encoder: DenseNetEncoder, options: dict[str, object], said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        build_extractor(encoder, **options)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, SIZE, SIZE), np.float32),
        np.zeros((SIZE, SIZE), np.uint8),
        np.zeros((1, 9, 9), np.uint8),
    ],
)
def test_wrong_images_are_refused(encoder: DenseNetEncoder, wrong: np.ndarray) -> None:
    with pytest.raises(WeightsError, match="takes grey uint8 images"):
        build_extractor(encoder)(wrong)


def test_features_beyond_float16_are_refused(images: np.ndarray) -> None:
    encoder = DenseNetEncoder(Preprocessing(SIZE))
    with torch.no_grad():
        encoder.features.norm5.bias.fill_(1e6)
    with pytest.raises(WeightsError, match="beyond float16"):
        build_extractor(encoder.freeze(), precision="float32")(images[:1])


def test_a_onednn_that_refuses_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("not here")

    convolution.onednn_runs.cache_clear()
    monkeypatch.setattr(convolution, "_pack", refuse)
    try:
        weight, images = torch.randn(4, 2, 3, 3), torch.randn(1, 2, 5, 5)
        conv = Convolution(weight, None, (1, 2, 5, 5), padding=1, relu=True)
        reference = torch.nn.functional.conv2d(images, weight, padding=1).relu()
        torch.testing.assert_close(conv(images), reference)
    finally:
        convolution.onednn_runs.cache_clear()
