"""DenseNet121 as an image encoder, with the preprocessing its weights were trained with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import densenet121  # type: ignore[import-untyped]

from xray_report.errors import WeightsError

FEATURES = 1024
STRIDE = 32
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How grey pixels become the input of an encoder: (pixel / 255 - mean) / std, channelwise.

    Args:
        size: side S of the square input, pixels; a multiple of 32.
        mean: of each of the three channels, pixels scaled to 0..1.
        std: likewise; positive.
        kind: name of the scheme, for people: `imagenet`, `torchxrayvision`, ...
    """

    size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    kind: str = "imagenet"

    def __post_init__(self) -> None:
        if self.size < STRIDE or self.size % STRIDE:
            raise WeightsError(f"input size must be a positive multiple of {STRIDE}: {self.size}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise WeightsError("preprocessing needs three means and three positive deviations")

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalise grey uint8 pixels [N, S, S] or [N, 1, S, S] to float32 [N, 3, S, S].

        Raises `WeightsError` if the pixels are not uint8 or not S x S.
        """
        if pixels.dim() == 3:
            pixels = pixels.unsqueeze(1)
        expected = (1, self.size, self.size)
        if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != expected:
            raise WeightsError(
                f"the encoder takes grey uint8 images [N, {self.size}, {self.size}], "
                f"got {pixels.dtype} {list(pixels.shape)}"
            )
        scale, shift = self.affine(pixels.device)
        return torch.addcmul(shift, pixels.float(), scale)

    def affine(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Scale and shift, each float32 [1, 3, 1, 1], that take a pixel 0..255 to the input."""
        mean = torch.tensor(self.mean, dtype=torch.float64)
        std = torch.tensor(self.std, dtype=torch.float64)
        scale, shift = 1 / (255 * std), -mean / std
        return (
            scale.float().view(1, 3, 1, 1).to(device),
            shift.float().view(1, 3, 1, 1).to(device),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for checkpoints and file metadata."""
        plain = asdict(self)
        return {**plain, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Preprocessing:
        """Inverse of `to_dict`. Raises `WeightsError` if a field is missing or malformed."""
        try:
            mean, std = (tuple(float(x) for x in plain[name]) for name in ("mean", "std"))
            return cls(int(plain["size"]), mean, std, str(plain["kind"]))  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"malformed preprocessing {dict(plain)!r}: {error!r}") from error


class DenseNetEncoder(nn.Module):
    """DenseNet121 (Huang et al. 2017) up to and including its last ReLU, as torchvision builds it.

    Args:
        preprocessing: what its weights were trained with.
        source: which weights these are, plain types: `weights`, `format`, `trained_on`, ...
    """

    def __init__(
        self,
        preprocessing: Preprocessing | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.features = densenet121(weights=None).features
        self.preprocessing = preprocessing or Preprocessing()
        self.source: dict[str, Any] = dict(source or {"weights": "random", "trained_on": []})
        self._frozen = False

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images float [N, 3, S, S] -> feature maps, >= 0, [N, 1024, S/32, S/32]."""
        return functional.relu(self.features(images), inplace=True)

    @property
    def frozen(self) -> bool:
        """Whether `freeze` was called."""
        return self._frozen

    def freeze(self) -> DenseNetEncoder:
        """No gradients, and BatchNorm keeps its statistics even after `.train()`."""
        self._frozen = True
        self.requires_grad_(False)
        return self.eval()

    def freeze_blocks(self, blocks: int) -> DenseNetEncoder:
        """Keep the stem and the first `blocks` (0 to 4) dense blocks as they are; 0 frees all.

        No gradients, so that a backward pass ends early (with two blocks it costs about half),
        and BatchNorm keeps its statistics even after `.train()`.
        """
        if not 0 <= blocks <= 4:
            raise WeightsError(f"frozen_blocks must be 0 to 4, got {blocks}")
        last = f"denseblock{blocks}"
        frozen = blocks > 0
        for name, module in self.features.named_children():
            module.requires_grad_(not frozen)
            frozen = frozen and name != last
        return self.train(self.training)

    def unfreeze(self) -> DenseNetEncoder:
        """Undo `freeze`: gradients again; `.train()` moves BatchNorm statistics again."""
        self._frozen = False
        self.requires_grad_(True)
        return self

    def train(self, mode: bool = True) -> DenseNetEncoder:
        """Training mode, unless frozen: what is frozen stays in evaluation mode."""
        super().train(mode and not self._frozen)
        for part in self.features.children():
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    @property
    def identity(self) -> str:
        """Hash of weights and preprocessing: equal exactly when features of any image are."""
        plain = self.preprocessing.to_dict()
        plain.pop("kind")
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            if name.endswith("num_batches_tracked"):
                continue
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
        return digest.hexdigest()[:32]

    def describe(self) -> dict[str, Any]:
        """Plain dict a checkpoint carries: `from_description` builds the same encoder shape."""
        return {"preprocessing": self.preprocessing.to_dict(), "source": dict(self.source)}

    @classmethod
    def from_description(cls, plain: Mapping[str, Any]) -> DenseNetEncoder:
        """Encoder without weights yet, as described by `describe`; load a state dict into it."""
        return cls(Preprocessing.from_dict(plain["preprocessing"]), plain["source"])
