"""No encoder mixes devices: held without a GPU by fake tensors, and with one where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.models import VisionTransformer

from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.extractor import FeatureExtractor
from xray_report.models.encoders.load import load_encoder
from xray_report.models.encoders.protocol import Encoder, Preprocessing
from xray_report.models.encoders.timm import TimmEncoder
from xray_report.models.encoders.torchvision import feature_maps

FAKE = FakeTensorMode(allow_non_fake_inputs=True)
"""Tensors made in it have a device and a shape but no numbers; mixing devices raises."""


def on_fake_cuda(module: nn.Module) -> Any:
    """The module, its parameters and buffers on a GPU that need not be there."""
    for part in module.modules():
        for held in (part._parameters, part._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    with FAKE:
                        moved = FAKE.from_tensor(tensor.detach()).to("cuda")
                    is_parameter = isinstance(tensor, nn.Parameter)
                    held[name] = nn.Parameter(moved, False) if is_parameter else moved  # type: ignore[assignment]
    return module


def timm_vit() -> Encoder:
    pytest.importorskip("timm", reason="the extra `timm` is not installed")
    return TimmEncoder(Preprocessing(160), architecture="test_vit")


def hugging_face() -> Encoder:
    transformers = pytest.importorskip("transformers", reason="the extra `transformers`")
    from xray_report.models.encoders.huggingface import HuggingFaceEncoder

    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        image_size=32, patch_size=8,
    ).to_dict()  # fmt: skip
    return HuggingFaceEncoder(Preprocessing(32), config=config)


def resnet() -> Encoder:
    options: dict[str, Any] = {"architecture": "resnet18", "weights": "random", "image_size": 64}
    return load_encoder(name="torchvision", **options)


def densenet() -> Encoder:
    return DenseNetEncoder(Preprocessing(64))


BUILDERS = [densenet, resnet, timm_vit, hugging_face]


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("training", [False, True])
def test_an_encoder_stays_on_its_device(build: Any, training: bool) -> None:
    encoder = on_fake_cuda(build().train(training))
    size = encoder.preprocessing.size
    with FAKE:
        pixels = torch.zeros(2, size, size, dtype=torch.uint8, device="cuda")
        maps = encoder(encoder.preprocessing(pixels))
    assert maps.device.type == "cuda"
    assert maps.shape == (2, *encoder.map_shape)


def test_fake_tensors_do_see_a_mixture() -> None:
    encoder = on_fake_cuda(densenet())
    with FAKE, pytest.raises(RuntimeError, match="cpu"):
        encoder(torch.zeros(1, 3, 64, 64))


def test_a_vision_transformers_class_token_too() -> None:
    net = on_fake_cuda(VisionTransformer(32, 16, 1, 2, 8, 16))
    with FAKE:
        maps = feature_maps(net, torch.zeros(1, 3, 32, 32, device="cuda"))
    assert maps.device.type == "cuda"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("build", [resnet, timm_vit])
def test_extraction_stays_on_the_device(
    build: Any, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    extractor = FeatureExtractor(build(), "cpu", precision)
    extractor.__dict__["_net"] = on_fake_cuda(extractor._net)
    extractor.device = torch.device("cuda")
    with FAKE:
        size = extractor.size
        pixels = torch.zeros(3, size, size, dtype=torch.uint8, device="cuda")
        maps = extractor.encode(pixels)
    assert (maps.device.type, maps.dtype) == ("cuda", torch.float16)
    assert maps.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
@pytest.mark.parametrize("precision", ["float32", "auto"])
@pytest.mark.parametrize("build", BUILDERS)
def test_a_gpu_gives_the_processors_maps(build: Any, precision: str) -> None:
    encoder = build().eval()
    size = encoder.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (5, size, size), dtype=np.uint8)
    expected = torch.from_numpy(FeatureExtractor(encoder, "cpu", "float32")(pixels)).float()
    extractor = FeatureExtractor(encoder, "cuda", precision)
    found = torch.from_numpy(extractor(pixels)).float()
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.cosine_similarity(found.flatten(), expected.flatten(), 0) > 0.999
    assert next(encoder.parameters()).device.type == "cpu"
