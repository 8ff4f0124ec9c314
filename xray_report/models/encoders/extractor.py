"""Frozen encoders at work: grey pixels in, float16 feature maps out, on any device.

On an accelerator a whole batch goes through at once, in bfloat16 or float16 autocast where that
is asked for. On a processor each core takes a few images at a time in a thread of its own, since
threads that share nothing lose nothing to waiting for each other within a layer; and the process
keeps the memory it frees (`keep_freed_memory`).
"""

from __future__ import annotations

import copy
import ctypes
import platform
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xray_report.errors import OptionError, WeightsError, one_line
from xray_report.models.encoders.protocol import Encoder
from xray_report.options import check_choice, check_count

PRECISIONS = ("auto", "float32", "bfloat16", "float16")

CHUNK = 4
"""Images a thread takes at a time: the maps of more do not stay in the processor's cache."""

ACCELERATOR_BATCH = 128
"""Images at a time on a GPU."""


class FeatureExtractor:
    """Feature maps of a frozen encoder.

    It works on a copy, so that the encoder itself may live on another device: later changes of
    the encoder do not reach it.

    Args:
        encoder: whose features to extract.
        device: as `resolve_device` takes it.
        precision: as `resolve_precision` takes it.
        threads: how many to use on a processor; torch's own number if None.

    Attributes:
        precision: the resolved one: what has to be kept for another machine to read the same.
        identity: changes whenever the features of some image would.
        size: side S of the images it takes, pixels.
        batch: number of images that keeps it busy.
    """

    def __init__(
        self,
        encoder: Encoder,
        device: str | torch.device = "auto",
        precision: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self.identity = f"{encoder.identity}-{self.precision}"
        self.size = encoder.preprocessing.size
        threads = torch.get_num_threads() if threads is None else threads
        self.threads = check_count("encoder threads", threads)
        self.batch = 2 * CHUNK * threads if self.device.type == "cpu" else ACCELERATOR_BATCH
        self._encoder = encoder
        self._dtype: torch.dtype = getattr(torch, self.precision)
        if self.device.type == "cpu":
            keep_freed_memory()

    @cached_property
    def _net(self) -> Encoder:
        """The copy that works, made at the first call."""
        net = copy.deepcopy(self._encoder).freeze().to(self.device)
        for module in net.modules():
            # What autocast would cast anew for every batch; norms stay as they are.
            if self._dtype != torch.float32 and isinstance(module, (nn.Conv2d, nn.Linear)):
                module.to(self._dtype)
        return net.to(memory_format=torch.channels_last)

    def __call__(self, images: NDArray[np.uint8] | Tensor) -> NDArray[np.float16]:
        """Grey images uint8 [N, S, S] -> feature maps [N, C, h, w], channels last in memory.

        Raises `WeightsError` for other images, and for maps that are not finite in float16.
        """
        if isinstance(images, np.ndarray):
            images = torch.from_numpy(np.ascontiguousarray(images))
        self._net.eval()  # made here, not by the first thread
        maps = self._in_threads(images) if self.device.type == "cpu" else self._at_once(images)
        features: NDArray[np.float16] = maps.numpy()
        if not np.isfinite(features).all():
            raise WeightsError(
                "the encoder's features are not finite or beyond float16: its weights and its "
                "preprocessing do not belong together"
            )
        return features

    def encode(self, pixels: Tensor) -> Tensor:
        """Grey uint8 pixels [N, S, S] on its device -> float16 maps [N, C, h, w] there."""
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32),
        ):
            images = self._net.preprocessing(pixels)
            maps: Tensor = self._net(images.contiguous(memory_format=torch.channels_last))
            return maps.to(torch.float16, memory_format=torch.channels_last)

    def _at_once(self, pixels: Tensor) -> Tensor:
        """All images together on an accelerator; waits once, for the maps."""
        pin = self.device.type == "cuda"
        pixels = pixels.pin_memory() if pin else pixels
        maps = self.encode(pixels.to(self.device, non_blocking=pin))
        if not pin:
            return maps.cpu()
        result = torch.empty(
            maps.shape, dtype=maps.dtype, pin_memory=True, memory_format=torch.channels_last
        )
        result.copy_(maps, non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()
        return result

    def _in_threads(self, pixels: Tensor) -> Tensor:
        """A few images at a time on a processor, in as many threads as there are cores."""
        share = min(CHUNK, max(1, -(-len(pixels) // self.threads)))
        chunks = torch.split(pixels, share)
        if self.threads == 1 or len(chunks) == 1:
            return torch.cat([self.encode(chunk) for chunk in chunks])
        before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(self.threads, "encode", torch.set_num_threads, (1,)) as pool:
                return torch.cat(list(pool.map(self.encode, chunks)))
        finally:
            # The workers' setting is also what torch gives to threads begun later.
            torch.set_num_threads(before)


def resolve_device(name: str | torch.device) -> torch.device:
    """The device called `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    `auto` is a CUDA GPU where there is one, else Apple's, else the processor. Raises `OptionError`
    if there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        there = {
            "cpu": 1,
            "cuda": torch.cuda.device_count(),
            "mps": int(torch.backends.mps.is_available()),
        }
        count = there.get(device.type, 0)
    except (RuntimeError, TypeError) as error:
        raise OptionError(
            f"device must be auto, cpu, cuda, cuda:N or mps, got {name!r} ({one_line(error, 80)})"
        ) from error
    if (device.index or 0) >= count:
        found = ", ".join(f"{count} {kind}" for kind, count in there.items())
        raise OptionError(f"device={name} is not there (found {found}): use auto or cpu")
    return device


def resolve_precision(precision: str, device: torch.device) -> str:
    """`float32`, `bfloat16` or `float16`: itself, or for `auto` what suits the device.

    `auto` is bfloat16 on processors and CUDA GPUs that have it, float16 on other GPUs, float32 on
    other processors. float32 is what torch makes of it: TF32 in convolutions on CUDA.
    """
    check_choice("encoder.precision", precision, PRECISIONS)
    if precision != "auto":
        return precision
    if device.type == "cpu":
        return "bfloat16" if bfloat16_is_native() else "float32"
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if native else "float16"
    return "float16"


def bfloat16_is_native() -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX512-BF16 or AMX on x86)."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def keep_freed_memory() -> bool:
    """Stop glibc from handing freed memory back to the kernel; whether this system could.

    By default each tensor of more than 32 MB is new pages from the kernel, cleared one by one on
    first use: DenseNet121 in batches of 32 then spends 37 % of its time in the kernel, 1 % after
    this call (measured). The price: the process stays as large as it ever was. Other systems are
    left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>, as high as their type goes.
    return bool(mallopt(-1, 2**31 - 1) and mallopt(-3, 2**31 - 1))
