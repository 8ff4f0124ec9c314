"""Benchmark: what a GPU does, each number beside that of torchvision or transformers.

On random weights and data that lie on the card already. Competitors take turns; of each the median
rate of a few rounds counts, each a second or so of work that the card has finished
(torch.cuda.synchronize). float32 is torch's default (TF32 in convolutions), bfloat16 and float16
are autocast. What is measured:
- encoder, images/s: DenseNet121 as `FeatureExtractor` runs it, also with the pixels' way to the
  card and the maps' way back, beside torchvision's as it comes, with the same preprocessing;
- training, words/s: forward, backward and AdamW of the attention model, without and with
  torch.compile, and of the transformer, beside transformers' GPT-2 with cross-attention that has
  the transformer's width, layers, heads, hidden units, vocabulary and projection of the locations;
- beam 5, reports/s: both decoders beside transformers' generate on that GPT-2, all reports being
  equally long.
About three minutes on an H100. Without a CUDA device `python -m tests.benchmarks gpu` says so.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models import densenet121

from tests.benchmarks.training import Case, by_model, case, loss_of, ours, training_step
from tests.benchmarks.training_bound import Sizes
from tests.benchmarks.transformer import by_generate, by_ours, endless, equal_gpt2, seen_by
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.extractor import FeatureExtractor
from xray_report.models.encoders.protocol import Preprocessing

GPT2 = "transformers' GPT-2"
Ways = dict[str, Callable[[], object]]


class Scale(NamedTuple):
    """How much is measured.

    Args:
        images: to encode at once.
        side: of an image, pixels.
        sizes: of the decoders and the training batch.
        studies: to decode at once.
        length: words of a decoded report.
        rounds: of which the median counts.
        seconds: about, of a round of one competitor.
        compile: as of the attention model.
    """

    images: int = 128
    side: int = 224
    sizes: Sizes = Sizes(64, 60, hidden=512, attention=256, vocabulary=1800, values=256)
    studies: int = 64
    length: int = 60
    rounds: int = 5
    seconds: float = 1.0
    compile: bool | str = "auto"


FULL = Scale()


def run(device: str = "cuda", scale: Scale = FULL) -> dict[str, Any]:
    """All rates and ratios as plain numbers; of GPT-2 only where transformers is installed."""
    where = torch.device(device)
    found: dict[str, Any] = {"device": device, "torch": torch.__version__}
    if where.type == "cuda":
        found |= {"card": torch.cuda.get_device_name(where), "CUDA": torch.version.cuda}
    if gpt2_is_there():
        import transformers

        found["transformers"] = transformers.__version__
    found["encoder, images/s"] = encoding(where, scale)
    for dtype in (torch.float32, torch.bfloat16):
        found[f"training, words/s, {name_of(dtype)}"] = training(where, dtype, scale)
    for dtype in (torch.float32, torch.bfloat16):
        found[f"beam 5, reports/s, {name_of(dtype)}"] = decoding(where, dtype, scale)
    if where.type == "cuda":
        found["peak memory of the card, GiB"] = torch.cuda.max_memory_allocated(where) / 2**30
    return found


def gpt2_is_there() -> bool:
    """Whether transformers is installed (the extra `benchmark`)."""
    return importlib.util.find_spec("transformers") is not None


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Autocast to `dtype`, or none for float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


# ------------------------------------------------------------------------------
# Timing.


def rates(ways: Ways, items: int, device: torch.device, scale: Scale) -> dict[str, float]:
    """Items a second of each way, of which a call does `items`."""
    calls = {name: calls_for(way, device, scale.seconds) for name, way in ways.items()}
    rounds = [
        {name: calls[name] * items / timed(way, calls[name], device) for name, way in ways.items()}
        for _ in range(scale.rounds)
    ]
    return {name: statistics.median(one[name] for one in rounds) for name in ways}


def calls_for(way: Callable[[], object], device: torch.device, seconds: float) -> int:
    """How many calls take about that long, once all is compiled, chosen and in place."""
    timed(way, 2, device)
    return max(1, round(seconds / timed(way, 1, device)))


def timed(way: Callable[[], object], calls: int, device: torch.device) -> float:
    """Seconds of so many calls, to the end of the last one's work on the device."""
    finish(device)
    start = time.perf_counter()
    for _ in range(calls):
        way()
    finish(device)
    return time.perf_counter() - start


def finish(device: torch.device) -> None:
    """Wait for all work on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def beside(found: Mapping[str, float], other: str) -> dict[str, float]:
    """Rates, and how many times the other's each is."""
    if other not in found:
        return dict(found)
    base = found[other]
    ratios = {f"{name} over {other}": rate / base for name, rate in found.items() if name != other}
    return {**found, **ratios}


# ------------------------------------------------------------------------------
# What is measured.


def encoding(device: torch.device, scale: Scale) -> dict[str, float]:
    """Images/s of DenseNet121 in each precision."""
    torch.manual_seed(0)
    encoder = DenseNetEncoder(Preprocessing(scale.side))
    plain = densenet121(weights=None).eval()
    plain.features.load_state_dict(encoder.features.state_dict())
    plain = plain.features.to(device)
    images = torch.randint(0, 256, (scale.images, scale.side, scale.side), dtype=torch.uint8)
    pixels = images.to(device)

    @torch.inference_mode()
    def torchvision(dtype: torch.dtype) -> Tensor:
        with autocast(device, dtype):
            return functional.relu(plain(encoder.preprocessing(pixels)))

    ways: Ways = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        extractor = FeatureExtractor(encoder, device, name_of(dtype))
        ways[f"ours, {name_of(dtype)}"] = partial(extractor.encode, pixels)
        ways[f"ours, {name_of(dtype)}, to the card and back"] = partial(extractor, images)
    for dtype in (torch.float32, torch.bfloat16):
        ways[f"torchvision, {name_of(dtype)}"] = partial(torchvision, dtype)
    found = rates(ways, scale.images, device, scale)
    ratios = {
        f"ours over torchvision, {name}": found[f"ours, {name}"] / found[f"torchvision, {name}"]
        for name in ("float32", "bfloat16")
    }
    return {**found, **ratios}


def training(device: torch.device, dtype: torch.dtype, scale: Scale) -> dict[str, Any]:
    """Words/s of training steps, and what compiling took."""

    def step(given: Case, loss: Callable[[], Tensor], *more: torch.nn.Module) -> Any:
        def cast() -> Tensor:
            with autocast(device, dtype):
                return loss()

        modules = more or (given.model,)
        return training_step([p for module in modules for p in module.parameters()], cast)

    attention = case(scale.sizes, "attention", device)
    transformer = case(scale.sizes, "transformer", device)
    compiled = step(attention, lambda: ours(attention, scale.compile))
    ways: Ways = {
        "attention, compiled": compiled,
        "attention, eager": step(attention, lambda: ours(attention, False)),
        "transformer": step(transformer, lambda: by_model(transformer)),
    }
    if gpt2_is_there():
        given = case(scale.sizes, "transformer", device)
        gpt2 = equal_gpt2(given.model).train()
        ways[GPT2] = step(given, lambda: gpt2_loss(given, gpt2), given.model.values, gpt2)
    compiling = timed(compiled, 1, device)
    words = scale.sizes.batch * scale.sizes.words
    return {
        **beside(rates(ways, words, device, scale), GPT2),
        "attention: fused by torch.compile": any(attention.model.rnn.fusible.values()),
        "attention: first step with compiling, s": compiling,
    }


def gpt2_loss(given: Case, gpt2: Any) -> Tensor:
    """Loss of GPT-2 on what the transformer of `given` makes of the locations."""
    locations = seen_by(given.model, given.features, given.view_mask)
    logits = gpt2(given.tokens[:, :-1], **locations, use_cache=False).logits
    return loss_of(given, logits)


@torch.inference_mode()
def decoding(device: torch.device, dtype: torch.dtype, scale: Scale) -> dict[str, float]:
    """Reports/s of beam search."""
    sizes = scale.sizes._replace(batch=scale.studies)
    ways = dict(searches(device, sizes, scale.length))

    def cast(search: Callable[[], object]) -> object:
        with autocast(device, dtype):
            return search()

    cast_ways: Ways = {name: partial(cast, way) for name, way in ways.items()}
    return beside(rates(cast_ways, scale.studies, device, scale), GPT2)


def searches(
    device: torch.device, sizes: Sizes, length: int
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Beam search of each decoder, and generate's, by name."""
    for name in ("attention", "transformer"):
        given = case(sizes, name, device)
        endless(given.model)
        yield name, partial(by_ours, given.model, given.features, given.view_mask, length)
        if name == "transformer" and gpt2_is_there():
            gpt2 = equal_gpt2(given.model)
            look = partial(by_generate, given.model, gpt2, given.features, given.view_mask, length)
            yield GPT2, look
