"""Convolutions for inference: weights laid out once for the processor, ReLU fused."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def onednn_runs(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether oneDNN computes `dtype` convolutions natively on this processor."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bfloat16_is_native())


def bfloat16_is_native() -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX512-BF16 or AMX on x86)."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


class Convolution:
    """A bias-carrying convolution, optionally followed by ReLU, channels last.

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
        self.bias = bias
        self.packed: Any = None
        if onednn_runs(weight.dtype, weight.device):
            # What torch.compile's freezing calls, too: without it every call lays its weights
            # out anew, and ReLU is one more pass over the result.
            self.packed = torch._C._nn.mkldnn_reorder_conv2d_weight(  # type: ignore[call-arg]
                self.weight.to_mkldnn(), self.padding, self.stride, [1, 1], 1, list(example)
            )

    def __call__(self, images: Tensor) -> Tensor:
        """Convolve [N, in, H, W], channels last, to [N, out, H', W'], channels last."""
        if self.packed is not None:
            return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
                images, self.packed, self.bias, self.padding, self.stride, [1, 1], 1,
                "relu" if self.relu else "none", [], "",
            )  # fmt: skip
        result = functional.conv2d(images, self.weight, self.bias, self.stride, self.padding)
        return result.relu_() if self.relu else result
