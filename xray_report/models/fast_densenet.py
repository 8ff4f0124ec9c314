"""DenseNet121 rearranged for fast inference; the same features as `DenseNetEncoder`.

DenseNet is pre-activation, so most norms cannot fold into the convolution before them. What can:

- conv0 + norm0 and each conv1 + norm2: the norm scales the convolution's weights.
- norm -> ReLU -> convolution, everywhere else: with t = -shift / scale and scale > 0,
  relu(scale x + shift) = scale (max(x, t) - t). The affine part folds into the convolution, and
  one pass of `max` (`min` for scale < 0) is left where there were three.
- A transition pools after its 1x1 convolution; both are linear, so pooling first gives the same
  for a quarter of the arithmetic (8 % of the net).
- Grey pixels: the three channels of conv0 and the normalisation fold into one channel.
- A dense block's maps are written side by side into one buffer, never concatenated.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from xray_report.models.convolution import Convolution
from xray_report.models.densenet import STRIDE, DenseNetEncoder, Preprocessing
from xray_report.models.gate import Gate, affine, split

BLOCKS = (6, 12, 24, 16)
GROWTH = 32


class _Layer(NamedTuple):
    """One dense layer: reads `channels` of the block's buffer, writes the next GROWTH."""

    channels: int
    gate: Gate
    squeeze: Convolution
    grow: Convolution


class _Stem:
    """Pixels [N, 1, S, S] -> maps [N, 64, S/4, S/4]: normalisation, conv0, norm0, ReLU, pooling."""

    def __init__(
        self, features: nn.Sequential, preprocessing: Preprocessing, batch: int, dtype: torch.dtype
    ) -> None:
        conv, norm = features.conv0, features.norm0
        scale, shift = affine(norm)  # type: ignore[arg-type]
        weight = conv.weight.double() * scale.view(-1, 1, 1, 1)  # type: ignore[operator,union-attr]
        size = preprocessing.size
        by, plus = (part.double() for part in preprocessing.affine(weight.device))
        grey = (weight * by).sum(1, keepdim=True)
        # Zero padding comes after normalisation, so what `plus` adds is less along the border.
        flat = functional.conv2d(plus.expand(1, 3, size, size), weight, stride=2, padding=3)
        inside = flat[0, :, size // 4, size // 4]
        self.border = (flat - inside.view(1, -1, 1, 1)).to(dtype)
        bias = (inside + shift).to(dtype)
        self.conv = Convolution(grey.to(dtype), bias, (batch, 1, size, size), 2, 3)

    def __call__(self, pixels: Tensor) -> Tensor:
        maps = self.conv(pixels.contiguous(memory_format=torch.channels_last))
        for rows, columns in (
            (slice(0, 2), slice(None)),
            (slice(-1, None), slice(None)),
            (slice(2, -1), slice(0, 2)),
            (slice(2, -1), slice(-1, None)),
        ):
            maps[:, :, rows, columns] += self.border[:, :, rows, columns]
        return functional.max_pool2d(maps, 3, 2, 1).relu_()


class FastDenseNet:
    """Grey pixels to feature maps, equal to `encoder(encoder.preprocessing(pixels))`.

    Holds copies of the encoder's weights: later changes of the encoder do not reach it. Safe to
    call from several threads at once.

    Args:
        encoder: whose weights and preprocessing to use; evaluation-mode norms are assumed.
        batch: usual number of images a call (any number works).
        dtype: float32, or bfloat16 where the processor has it.
    """

    def __init__(
        self, encoder: DenseNetEncoder, batch: int = 4, dtype: torch.dtype = torch.float32
    ) -> None:
        features, size = encoder.features, encoder.preprocessing.size
        self.size, self.dtype = size, dtype
        with torch.no_grad():
            self._stem = _Stem(features, encoder.preprocessing, batch, dtype)
            self._blocks: list[list[_Layer]] = []
            self._transitions: list[tuple[Gate, Convolution]] = []
            for number in range(len(BLOCKS)):
                self._add_block(features, number, (batch, size // 4 // 2**number))
            last = (part.to(dtype).view(1, -1, 1, 1) for part in affine(features.norm5))
            self._scale, self._shift = last

    def _add_block(self, features: nn.Sequential, number: int, example: tuple[int, int]) -> None:
        """Prepare dense block `number` (from 0) and the transition after it."""
        batch, side = example
        block = features.get_submodule(f"denseblock{number + 1}")
        layers = [_layer(layer, batch, side, self.dtype) for layer in block.children()]
        self._blocks.append(layers)
        if number + 1 < len(BLOCKS):
            transition = features.get_submodule(f"transition{number + 1}")
            conv: nn.Conv2d = transition.conv  # type: ignore[assignment]
            gate, weight, bias = split(transition.norm, conv.weight, self.dtype)  # type: ignore[arg-type]
            shape = (batch, conv.in_channels, side // 2, side // 2)
            folded = Convolution(weight.to(self.dtype), bias.to(self.dtype), shape)
            self._transitions.append((gate, folded))

    def __call__(self, pixels: Tensor) -> Tensor:
        """Grey uint8 [N, S, S] -> feature maps of `dtype`, >= 0, [N, 1024, S/32, S/32]."""
        with torch.inference_mode():
            maps = self._stem(pixels.unsqueeze(1).to(self.dtype))
            for number, layers in enumerate(self._blocks):
                maps = _dense_block(maps, layers)
                if number < len(self._transitions):
                    gate, conv = self._transitions[number]
                    maps = conv(functional.avg_pool2d(gate(maps), 2))
            return torch.addcmul(self._shift, maps, self._scale).relu_()

    @property
    def side(self) -> int:
        """Side of the feature map, cells."""
        return self.size // STRIDE


def _layer(layer: nn.Module, batch: int, side: int, dtype: torch.dtype) -> _Layer:
    """Fold one dense layer."""
    conv1: nn.Conv2d = layer.conv1  # type: ignore[assignment]
    conv2: nn.Conv2d = layer.conv2  # type: ignore[assignment]
    gate, weight, bias = split(layer.norm1, conv1.weight, dtype)  # type: ignore[arg-type]
    scale, shift = affine(layer.norm2)  # type: ignore[arg-type]
    weight, bias = weight * scale.view(-1, 1, 1, 1), bias * scale + shift
    channels, middle = conv1.in_channels, conv1.out_channels
    squeeze = Convolution(
        weight.to(dtype), bias.to(dtype), (batch, channels, side, side), relu=True
    )
    grow = Convolution(
        conv2.weight.to(dtype, copy=True), None, (batch, middle, side, side), padding=1
    )
    return _Layer(channels, gate, squeeze, grow)


def _dense_block(maps: Tensor, layers: list[_Layer]) -> Tensor:
    """Run one dense block: [N, C, H, W] -> [N, C + GROWTH * layers, H, W], channels last."""
    n, channels, height, width = maps.shape
    buffer = torch.empty(
        (n, channels + GROWTH * len(layers), height, width),
        dtype=maps.dtype,
        device=maps.device,
        memory_format=torch.channels_last,
    )
    buffer[:, :channels] = maps
    for layer in layers:
        start = layer.channels
        new = layer.grow(layer.squeeze(layer.gate(buffer[:, :start])))
        buffer[:, start : start + GROWTH] = new
    return buffer
