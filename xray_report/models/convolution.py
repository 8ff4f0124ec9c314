"""Convolutions for inference: weights laid out once for the processor, ReLU fused."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def bfloat16_is_native() -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX512-BF16 or AMX on x86)."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


@cache
def onednn_runs(dtype: torch.dtype) -> bool:
    """Whether oneDNN computes convolutions of `dtype` here, tried out on a small one.

    The calls are those of torch.compile's freezing and not promised by torch: where they are
    missing, changed or refuse the processor, the plain convolution is used.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16 and not bfloat16_is_native():
        return False
    images = torch.linspace(-1, 1, 8 * 16).view(1, 8, 4, 4).to(dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    weight = torch.linspace(-1, 1, 16 * 8).view(16, 8, 1, 1).to(dtype)
    weight = weight.contiguous(memory_format=torch.channels_last)
    bias = torch.linspace(-1, 1, 16).to(dtype)
    try:
        packed = _pack(weight, (1, 8, 4, 4), [1, 1], [0, 0])
        fused = _fused(images, packed, bias, [1, 1], [0, 0], relu=True)
    except (RuntimeError, TypeError, AttributeError):
        return False
    return torch.allclose(fused, functional.conv2d(images, weight, bias).relu_(), atol=0.1)


def _pack(weight: Tensor, example: tuple[int, ...], stride: list[int], padding: list[int]) -> Any:
    """Lay out weights once; else every call does."""
    return torch._C._nn.mkldnn_reorder_conv2d_weight(  # type: ignore[call-arg]
        weight.to_mkldnn(), padding, stride, [1, 1], 1, list(example)
    )


def _fused(
    images: Tensor,
    packed: Any,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    relu: bool,
) -> Tensor:
    """Convolution and ReLU in one pass over the result."""
    after = "relu" if relu else "none"
    run = torch.ops.mkldnn._convolution_pointwise
    return run(images, packed, bias, padding, stride, [1, 1], 1, after, [], "")  # type: ignore[no-any-return]


class Convolution:
    """A convolution with its bias, optionally followed by ReLU, channels last.

    Args:
        weight: [out, in, k, k].
        bias: [out], or None.
        example: shape [N, in, H, W] of the usual input: oneDNN picks the weights' layout for it
            (any other N or size still gives the right result).
        stride, padding: as in `torch.nn.functional.conv2d`.
        relu: apply ReLU to the result.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        example: tuple[int, int, int, int],
        stride: int = 1,
        padding: int = 0,
        relu: bool = False,
    ) -> None:
        self.stride, self.padding, self.relu = [stride] * 2, [padding] * 2, relu
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.bias, self.packed = bias, None
        if weight.device.type == "cpu" and onednn_runs(weight.dtype):
            self.packed = _pack(self.weight, example, self.stride, self.padding)

    def __call__(self, images: Tensor) -> Tensor:
        """Convolve [N, in, H, W], channels last, to [N, out, H', W'], channels last."""
        if self.packed is not None:
            return _fused(images, self.packed, self.bias, self.stride, self.padding, self.relu)
        result = functional.conv2d(images, self.weight, self.bias, self.stride, self.padding)
        return result.relu_() if self.relu else result
