"""The encoder door: laws over every encoder there is, and a toy that enters by it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xray_report.errors import OptionError, WeightsError
from xray_report.inference.film_check import Gaussian, pooled
from xray_report.models.encoders.extractor import FeatureExtractor
from xray_report.models.encoders.load import check_encoder, export_encoder, load_encoder
from xray_report.models.encoders.protocol import (
    ENCODERS,
    Encoder,
    Preprocessing,
    build_encoder,
    register_encoder,
)
from xray_report.models.encoders.weights.files import sketched
from xray_report.training.chexnet import CheXNet


class Toy(Encoder):
    """One convolution of stride 8."""

    def __init__(
        self, preprocessing: Preprocessing, source: dict[str, Any] | None = None, *, width: int = 4
    ) -> None:
        super().__init__(preprocessing, source, width=width)
        self.conv = nn.Conv2d(3, width, 8, stride=8)
        self.norm = nn.BatchNorm2d(width)
        self.channels, self.grid = width, (preprocessing.size // 8, preprocessing.size // 8)

    def forward(self, images: Tensor) -> Tensor:
        """Maps [N, width, S/8, S/8]."""
        return self.norm(self.conv(images)).relu()


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    register_encoder("toy")(Toy)
    yield
    del ENCODERS["toy"]


def hugging_face(folder: Path) -> dict[str, Any]:
    """Options of a tiny vision transformer in a folder."""
    transformers = pytest.importorskip("transformers", reason="the extra `transformers`")
    config = transformers.ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
    )
    torch.manual_seed(0)
    transformers.ViTModel(config).save_pretrained(folder)
    plain = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(plain))
    return {"weights": str(folder)}


def timm(folder: Path) -> dict[str, Any]:
    pytest.importorskip("timm", reason="the extra `timm`")
    return {"architecture": "test_vit", "weights": "random"}


TINY: dict[str, Callable[[Path], dict[str, Any]]] = {
    "densenet121": lambda folder: {"weights": "random", "image_size": 32},
    "torchvision": lambda folder: {
        "architecture": "shufflenet_v2_x0_5",
        "weights": "random",
        "image_size": 64,
    },
    "timm": timm,
    "huggingface": hugging_face,
    "torchxrayvision": lambda folder: {
        "architecture": "resnet50",
        "weights": "random",
        "image_size": 64,
    },
    "toy": lambda folder: {"weights": "random", "image_size": 16, "width": 5},
}


def test_every_encoder_is_held_to_the_laws() -> None:
    assert set(TINY) == set(ENCODERS)


@pytest.fixture(scope="module", params=sorted(TINY))
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """Trainable; do not change it."""
    folder = tmp_path_factory.mktemp("weights")
    found = load_encoder(name=request.param, trainable=True, **TINY[request.param](folder))
    if request.param == "torchxrayvision":  # its input reaches 1024, which trained weights expect
        with torch.no_grad():
            found.net.conv1.weight.div_(1024)  # type: ignore[union-attr,operator]
    return found


def images(encoder: Encoder, number: int = 2) -> Tensor:
    size = encoder.preprocessing.size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (number, size, size), generator=generator).byte()
    return encoder.preprocessing(pixels)


@torch.no_grad()
def maps(encoder: Encoder) -> Tensor:
    return copy.deepcopy(encoder).eval()(images(encoder))


def test_maps_have_the_shape_that_is_announced(encoder: Encoder) -> None:
    found = maps(encoder)
    assert found.shape == (2, encoder.channels, *encoder.grid)
    assert encoder.map_shape == (encoder.channels, *encoder.grid)
    assert encoder.map_shape.locations == found[0, 0].numel()
    assert found.isfinite().all()
    assert found.std() > 0


def test_a_description_and_a_state_dict_are_all_it_takes(encoder: Encoder) -> None:
    described = json.loads(json.dumps(encoder.describe()))
    again = build_encoder(described)
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(maps(again), maps(encoder))
    assert again.identity == encoder.identity
    assert (again.source, again.map_shape) == (encoder.source, encoder.map_shape)


def test_a_description_is_sketched_without_memory(encoder: Encoder) -> None:
    """As a stranger's checkpoint is, before anything of the size that it claims is built."""
    net = sketched(lambda: build_encoder(encoder.describe()), encoder.state_dict())
    shapes = {name: one.shape for name, one in encoder.state_dict().items()}
    assert {name: one.shape for name, one in net.state_dict().items()} == shapes
    assert all(one.is_meta for one in net.state_dict().values())
    assert net.map_shape == encoder.map_shape
    again = build_encoder(encoder.describe())
    assert not any(one.is_meta for one in (*again.parameters(), *again.buffers()))


def test_a_network_that_is_shaped_by_tensors_is_sketched_with_them() -> None:
    described = {
        "name": "torchvision",
        "options": {"architecture": "regnet_y_400mf"},
        "preprocessing": Preprocessing(64).to_dict(),
        "source": {},
    }
    real = build_encoder(described).state_dict()
    net = sketched(lambda: build_encoder(described), real)
    assert {name: one.shape for name, one in net.state_dict().items()} == {
        name: one.shape for name, one in real.items()
    }


def test_a_file_that_claims_a_vast_encoder_is_refused(tmp_path: Path) -> None:
    toy = load_encoder(name="toy", weights="random", image_size=16, width=3)
    claimed = {**toy.describe(), "options": {"width": 10**13}}  # 8 petabytes
    saved = {"state_dict": toy.state_dict(), "xray_report": {"kind": "encoder", "encoder": claimed}}
    torch.save(saved, tmp_path / "vast.pt")
    with pytest.raises(WeightsError, match=r"vast\.pt.*has shape \[3, 3, 8, 8\], not") as caught:
        load_encoder(name="toy", weights=str(tmp_path / "vast.pt"))
    assert "\n" not in str(caught.value)


def test_building_draws_from_nobody_elses_numbers(encoder: Encoder) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    build_encoder(encoder.describe())
    assert torch.equal(torch.rand(2), expected)


def test_freezing_survives_train_and_leaves_no_gradient(encoder: Encoder) -> None:
    net = CheXNet(copy.deepcopy(encoder), 2)
    net.encoder.freeze()
    before = net.encoder.identity
    net.train()
    assert not any(module.training for module in net.encoder.modules())
    net(images(encoder)).logits.sum().backward()
    assert all(parameter.grad is None for parameter in net.encoder.parameters())
    assert net.classifier.weight.grad is not None
    assert net.encoder.identity == before


def test_it_can_be_trained(encoder: Encoder) -> None:
    net = copy.deepcopy(encoder).train()
    before = net.identity
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    found = net(images(encoder))
    (found * torch.randn(found.shape)).sum().backward()
    assert sum(float(p.grad.abs().sum()) for p in net.parameters() if p.grad is not None) > 0
    optimizer.step()
    assert net.identity != before


def test_identity_is_of_weights_and_preprocessing_alone(encoder: Encoder) -> None:
    other = copy.deepcopy(encoder)
    other.source = {"weights": "elsewhere", "trained_on": []}
    other.preprocessing = replace(other.preprocessing, kind="another name")
    assert other.identity == encoder.identity
    other.preprocessing = replace(other.preprocessing, mean=(0.1, 0.2, 0.3))
    assert other.identity != encoder.identity
    other.preprocessing = encoder.preprocessing
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-3
    assert other.identity != encoder.identity


def test_the_extractor_gives_its_maps(encoder: Encoder) -> None:
    size = encoder.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size), dtype=np.uint8)
    found = FeatureExtractor(encoder, "cpu", "float32", threads=2)(pixels)
    with torch.no_grad():
        expected = copy.deepcopy(encoder).eval()(encoder.preprocessing(torch.from_numpy(pixels)))
    torch.testing.assert_close(torch.from_numpy(found).float(), expected, rtol=2e-3, atol=2e-3)


def test_bfloat16_maps_stay_near(encoder: Encoder) -> None:
    size = encoder.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size), dtype=np.uint8)
    exact, rough = (
        torch.from_numpy(FeatureExtractor(encoder, "cpu", precision, threads=1)(pixels)).float()
        for precision in ("float32", "bfloat16")
    )
    assert torch.cosine_similarity(exact.flatten(), rough.flatten(), 0) > 0.98


def test_a_chexnet_checkpoint_and_an_export_are_loaded_back(
    encoder: Encoder, tmp_path: Path
) -> None:
    checkpoint = {
        "state_dict": {f"model.encoder.{k}": v for k, v in encoder.state_dict().items()}
        | {"model.classifier.weight": torch.zeros(2, encoder.channels)},
        "xray_report": {"kind": "chexnet", "encoder": encoder.describe()},
    }
    torch.save(checkpoint, tmp_path / "best.ckpt")
    again = load_encoder(name=encoder.name, weights=str(tmp_path / "best.ckpt"))
    assert torch.equal(maps(again), maps(encoder))
    assert again.frozen
    assert again.source["weights"] == "best.ckpt"
    export_encoder(again, tmp_path / "small.safetensors", {"seed": 1})
    small = load_encoder(name=encoder.name, weights=str(tmp_path / "small.safetensors"))
    assert small.source["metadata"] == {"seed": 1}
    assert torch.cosine_similarity(maps(small).flatten(), maps(encoder).flatten(), 0) > 0.999


def test_a_file_of_another_encoder_is_refused(tmp_path: Path) -> None:
    toy = load_encoder(name="toy", weights="random", image_size=16, width=3)
    export_encoder(toy, tmp_path / "toy.safetensors")
    path = str(tmp_path / "toy.safetensors")
    with pytest.raises(OptionError, match=r"is of encoder=toy, not of densenet121"):
        load_encoder(weights=path)
    with pytest.raises(OptionError, match=r"was made with encoder\.width=3, not 4"):
        load_encoder(name="toy", weights=path, width=4)
    assert load_encoder(name="toy", weights=path, image_size=32).grid == (4, 4)


def test_a_report_models_checkpoint_is_no_encoder(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "xray_report": {"kind": "report"}}, tmp_path / "best.ckpt")
    with pytest.raises(WeightsError, match=r"best\.ckpt is a report model's checkpoint, .*chexnet"):
        load_encoder(weights=str(tmp_path / "best.ckpt"))


def test_a_toy_loads_its_own_state_dict(tmp_path: Path) -> None:
    toy = load_encoder(name="toy", weights="random", image_size=16, seed=1)
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in toy.state_dict().items()}}, tmp_path / "toy.pt"
    )
    again = load_encoder(name="toy", weights=str(tmp_path / "toy.pt"), image_size=16)
    assert torch.equal(maps(again), maps(toy))
    torch.save({"conv.weight": toy.conv.weight}, tmp_path / "part.pt")
    with pytest.raises(WeightsError, match=r"5 missing \(conv.bias, norm.weight"):
        load_encoder(name="toy", weights=str(tmp_path / "part.pt"), image_size=16)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "vgg"}, r"encoder\.name must be one of .*densenet121.* got 'vgg'"),
        ({"architecture": "resnet18"}, r"unknown option encoder\.architecture of encoder=densenet"),
        ({"name": "toy", "height": 3}, r"unknown option encoder\.height .*width"),
        ({"trainable": "no"}, r"encoder\.trainable must be true or false"),
        ({"allow_pickle": 1}, r"encoder\.allow_pickle must be true or false"),
        ({"allow_leak": "yes"}, r"encoder\.allow_leak must be true or false"),
        ({"image_size": 22.4}, r"encoder\.image_size must be a positive integer"),
        ({"precision": "int8"}, r"encoder\.precision must be one of auto, float32"),
        ({"trainable": True, "precision": "float16"}, r"precision=float16 .* leave it auto"),
        ({"name": "toy"}, r"encoder\.weights must be given for encoder=toy"),
    ],
)
def test_options_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        load_encoder(**options)
    if "weights" not in said:
        with pytest.raises(OptionError, match=said):
            check_encoder(options)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "inception"}, "unknown encoder 'inception'"),
        ({"name": None}, "has no name"),
        ({"options": None}, "has no options"),
        ({"source": None}, "has no source"),
        ({"preprocessing": {"size": 3}}, "malformed preprocessing"),
        ({"options": {"depth": 3}}, "options of the encoder 'toy' are malformed: .*depth"),
    ],
)
def test_a_damaged_description_names_the_field(change: dict[str, Any], said: str) -> None:
    plain = {**load_encoder(name="toy", weights="random", image_size=16).describe(), **change}
    plain = {key: value for key, value in plain.items() if value is not None}
    with pytest.raises(WeightsError, match=said):
        build_encoder(plain)


def test_an_image_size_that_is_none_of_its() -> None:
    with pytest.raises(WeightsError, match=r"image_size must be a multiple of 32"):
        load_encoder(weights="random", image_size=100)
    with pytest.raises(WeightsError, match=r"cannot take images of encoder\.image_size=8"):
        load_encoder(name="torchvision", architecture="alexnet", weights="random", image_size=8)


def test_only_an_encoder_with_blocks_freezes_some() -> None:
    toy = load_encoder(name="toy", weights="random", image_size=16)
    assert toy.freeze_blocks(0) is toy
    with pytest.raises(OptionError, match=r"frozen_blocks must be 0 to 0 with encoder=toy, got 1"):
        toy.freeze_blocks(1)


def test_films_are_told_from_noise_by_the_maps_of_any_encoder(encoder: Encoder) -> None:
    random, size = torch.Generator().manual_seed(0), encoder.preprocessing.size

    def seen(pixels: Tensor) -> Tensor:
        with torch.no_grad():
            return pooled(encoder.eval()(encoder.preprocessing(pixels)))

    ramp = torch.linspace(0, 200, size).repeat(24, size, 1)
    alike = (ramp + 20 * torch.rand(24, size, size, generator=random)).byte()
    noise = torch.randint(0, 256, (4, size, size), generator=random).byte()
    rows = seen(alike)
    known = Gaussian.fit(rows[:16], rows[16:], 0.99)
    assert known.mean.shape == (encoder.channels,)
    assert (known.distances(seen(noise)) > known.threshold).all()
