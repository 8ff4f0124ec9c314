"""Feature extraction gives the encoder's own features, on whatever device and threads."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.models.encoders.weights.imitations import published
from xray_report.errors import OptionError, WeightsError
from xray_report.models.encoders import extractor as module
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.extractor import (
    FeatureExtractor,
    resolve_device,
    resolve_precision,
)
from xray_report.models.encoders.protocol import Preprocessing

SIZE = 64


@pytest.fixture(scope="module")
def encoder() -> DenseNetEncoder:
    """Norms that are not the identity; three channels that differ."""
    encoder = DenseNetEncoder(Preprocessing(SIZE, (0.5, 0.4, 0.3), (0.25, 0.2, 0.5), "mine"))
    encoder.features.load_state_dict(published().features.state_dict())
    encoder.freeze()
    return encoder


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(encoder: DenseNetEncoder, images: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return encoder(encoder.preprocessing(torch.from_numpy(images)))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_maps_are_the_encoders_whatever_the_threads(
    encoder: DenseNetEncoder, images: np.ndarray, expected: torch.Tensor, threads: int
) -> None:
    before = torch.get_num_threads()
    extractor = FeatureExtractor(encoder, "cpu", "float32", threads=threads)
    maps = extractor(images)
    assert torch.get_num_threads() == before
    assert maps.dtype == np.float16
    assert np.moveaxis(maps, 1, -1).flags.c_contiguous  # channels last, as the cache keeps them
    torch.testing.assert_close(torch.from_numpy(maps).float(), expected, rtol=2e-3, atol=1e-3)
    assert np.array_equal(extractor(torch.from_numpy(images)), maps)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_stays_near(
    encoder: DenseNetEncoder, images: np.ndarray, expected: torch.Tensor, precision: str
) -> None:
    extractor = FeatureExtractor(encoder, "cpu", precision, threads=1)
    maps = torch.from_numpy(extractor(images[:1])).float()
    assert torch.cosine_similarity(maps.flatten(), expected[:1].flatten(), 0) > 0.99
    assert encoder.features.conv0.weight.dtype == torch.float32


def test_the_encoder_itself_is_left_alone(images: np.ndarray) -> None:
    encoder = DenseNetEncoder(Preprocessing(SIZE)).train()
    before = encoder.identity
    FeatureExtractor(encoder, "cpu", "bfloat16", threads=1)(images[:1])
    assert encoder.training
    assert not encoder.frozen
    assert encoder.identity == before


def test_identity_tells_precisions_apart(encoder: DenseNetEncoder) -> None:
    single = FeatureExtractor(encoder, "cpu", "float32")
    assert single.identity != FeatureExtractor(encoder, "cpu", "bfloat16").identity
    assert single.identity == FeatureExtractor(encoder, "cpu", "float32", threads=3).identity
    assert (single.size, single.precision) == (SIZE, "float32")


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_what_the_processor_has(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "bfloat16_is_native", lambda: native)
    found = resolve_precision("auto", torch.device("cpu"))
    assert found == ("bfloat16" if native else "float32")
    assert resolve_precision("float16", torch.device("cpu")) == "float16"
    assert resolve_precision("auto", torch.device("mps")) == "float16"


@pytest.mark.parametrize(
    ("cuda", "mps", "found"), [(1, True, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
def test_the_device_is_the_best_there_is(
    cuda: int, mps: bool, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto").type == found
    assert resolve_device(found).type == found
    with pytest.raises(OptionError, match=rf"device=cuda:1 is not there \(found .* {cuda} cuda"):
        resolve_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "cuda:one", "", "meta"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="device"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "int8"}, "precision must be one of auto, float32, bfloat16, float16"),
        ({"threads": 0}, "encoder threads must be a positive integer"),
    ],
)
def test_options_are_checked(
    encoder: DenseNetEncoder, options: dict[str, object], said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        FeatureExtractor(encoder, **options)


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
        FeatureExtractor(encoder, "cpu")(wrong)


def test_features_beyond_float16_are_refused(images: np.ndarray) -> None:
    encoder = DenseNetEncoder(Preprocessing(SIZE))
    with torch.no_grad():
        encoder.features.norm5.bias.fill_(1e6)
    with pytest.raises(WeightsError, match="beyond float16"):
        FeatureExtractor(encoder, "cpu", "float32")(images[:1])


COUNT_FAULTS = """
import resource, torch
from xray_report.models.encoders.extractor import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.zeros(16 << 20)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
assert keep_freed_memory()
faults()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these limits")
def test_large_tensors_cost_no_page_faults_the_second_time() -> None:
    found = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS], check=True, capture_output=True, text=True
    )
    before, after = map(int, found.stdout.split())
    # Huge pages make the first number small on some machines, but never none.
    assert after < before / 4


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert module.keep_freed_memory() is False
