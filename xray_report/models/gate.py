"""Norm -> ReLU -> 1x1 convolution with all that is linear folded into the convolution.

With t = -shift / scale and scale > 0, relu(scale x + shift) = scale (max(x, t) - t); with
scale < 0 it is min. One pass over the maps is left of the norm and the ReLU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

# Smaller than this a norm's scale is none: its output is constant, and t would overflow.
NO_SCALE = 1e-12


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift, float64 [C], of a norm in evaluation mode."""
    mean, variance = (buffer.double() for buffer in norm.buffers() if buffer.dim())
    scale = norm.weight.double() / torch.sqrt(variance + norm.eps)
    return scale, norm.bias.double() - mean * scale


class Gate(NamedTuple):
    """The non-linear rest of norm -> ReLU: clamp to low..high, each [1, C, 1, 1].

    `high` is None where no channel has a negative scale.
    """

    low: Tensor
    high: Tensor | None

    def __call__(self, maps: Tensor) -> Tensor:
        """Clamp the channels-last maps [N, C, H, W] (a slice of a buffer) into a new tensor."""
        n, channels, height, width = maps.shape
        result = torch.empty(
            (n, channels, height, width),
            dtype=maps.dtype,
            device=maps.device,
            memory_format=torch.channels_last,
        )
        if self.high is None:
            return torch.maximum(maps, self.low, out=result)
        return torch.clamp(maps, self.low, self.high, out=result)


def split(norm: nn.BatchNorm2d, weight: Tensor, dtype: torch.dtype) -> tuple[Gate, Tensor, Tensor]:
    """Split norm -> ReLU -> 1x1 convolution into a gate and the convolution's new weight and bias.

    Returns the gate in `dtype`, weight float64 [out, in, 1, 1] and bias float64 [out].
    """
    scale, shift = affine(norm)
    dead = scale.abs() < NO_SCALE
    threshold = torch.where(dead, 0.0, -shift / torch.where(dead, 1.0, scale)).to(dtype)
    weight = weight.double()
    folded = weight * scale.where(~dead, torch.zeros_like(scale)).view(1, -1, 1, 1)
    # The bias takes the rounded threshold, so that a closed gate gives nothing in any precision.
    bias = weight[:, :, 0, 0] @ torch.where(dead, shift.clamp(min=0), 0.0)
    bias = bias - folded[:, :, 0, 0] @ threshold.double()
    low = threshold.masked_fill(scale < 0, -torch.inf).view(1, -1, 1, 1)
    high = threshold.masked_fill(scale > 0, torch.inf).view(1, -1, 1, 1)
    return Gate(low, high if bool((scale < 0).any()) else None), folded, bias
