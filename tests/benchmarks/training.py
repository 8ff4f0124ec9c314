"""Benchmark: training speed of the decoders, beside other ways and what the machine allows.

Timed is a training step: forward, backward and AdamW, in float32, on random maps of both views and
reports that are all equally long. Competitors take turns in one process, and the best turn counts:
- ours: the attention model as it trains by default, each word fused by torch.compile;
- eager: the same without torch.compile;
- transformer: the transformer decoder, its width that of the GRU, in three layers;
- plain: the attention model as a textbook's loop over words, everything left to autograd;
- compiled plain: that loop with its step compiled;
- raw: that loop attending to the encoder's 1024 channels instead of projected locations;
- prefixes: the original's scheme, each (prefix, next word) pair a row of its own, run from the
  start.
All but the transformer have the same parameters. A word is one that the loss scores; the end of a
report is one.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.benchmarks.plain import plain_recurrence, plain_step
from tests.benchmarks.training_bound import CHANNELS, WORD_SIZE, Sizes, bound, peaks
from tests.benchmarks.training_profile import where_time_goes
from xray_report.models.decoders.build import build_decoder
from xray_report.models.embedding import WordEmbedding
from xray_report.models.maps import MapShape
from xray_report.models.report_model import masked_cross_entropy
from xray_report.tokens import WORD_TOKENS

Step = Callable[..., tuple[Tensor, Tensor, Tensor]]
Found = dict[str, Any]

COMPARED = (Sizes(), Sizes(batch=64), Sizes(hidden=512, attention=256, vocabulary=1800, values=256))


class Case(NamedTuple):
    """A decoder and a batch of full-length reports with both views."""

    model: Any
    features: Tensor
    view_mask: Tensor
    tokens: Tensor


def architecture(sizes: Sizes, name: str) -> dict[str, Any]:
    """The decoder of that name at these sizes, as `build_decoder` takes it."""
    if name == "transformer":
        return {"name": name, "width": sizes.hidden, "feed_forward": 4 * sizes.hidden}
    raw = sizes.values is None
    return {
        "name": name,
        "rnn_size": sizes.hidden,
        "attention_size": sizes.attention,
        "value_size": sizes.values,
        "value_norm": not raw,
        "location_embedding": not raw,
    }


def case(sizes: Sizes, name: str = "attention", device: str | torch.device = "cpu") -> Case:
    """Random model and data of these sizes."""
    torch.manual_seed(0)
    embedding = WordEmbedding(sizes.vocabulary, WORD_SIZE)
    model = build_decoder(
        architecture(sizes, name), WORD_TOKENS, embedding, MapShape(CHANNELS, 7, 7)
    )
    features = torch.randn(sizes.batch, 2, 7, 7, CHANNELS).half().permute(0, 1, 4, 2, 3)
    view_mask = torch.ones(sizes.batch, 2, dtype=torch.bool)
    tokens = torch.randint(4, sizes.vocabulary, (sizes.batch, sizes.words + 1))
    return Case(*(part.to(device) for part in (model, features, view_mask, tokens)))


def loss_of(given: Case, logits: Tensor) -> Tensor:
    """What training makes smaller."""
    return masked_cross_entropy(logits, given.tokens[:, 1:], WORD_TOKENS.pad)


def by_model(given: Case) -> Tensor:
    """Loss by the decoder itself."""
    return loss_of(given, given.model(given.features, given.view_mask, given.tokens))


def ours(given: Case, compile: bool | str = "auto") -> Tensor:
    """Loss by the attention model, with `compile` as its option of that name."""
    given.model.rnn.fuse = compile
    return by_model(given)


def plain(given: Case, step: Step = plain_step) -> Tensor:
    """Loss by the textbook's loop, which also writes each word's logits inside of the loop."""
    hidden, context = _plain_states(given, given.tokens[:, :-1], step)
    shown = torch.cat([hidden, context], -1)
    logits = [given.model.vocabulary(word) for word in shown.unbind(1)]
    return loss_of(given, torch.stack(logits, 1))


def prefix_loss(given: Case, rows: int) -> Tensor:
    """Loss of `rows` (prefix, next word) pairs, prefixes padded to the longest report."""
    words = given.tokens.shape[1] - 1
    lengths = torch.linspace(1, words, rows).long()
    positions = torch.arange(words)
    padded = given.tokens[:rows, :-1] * (positions < lengths.unsqueeze(1))
    hidden, context = _plain_states(given, padded)
    last = torch.arange(rows), lengths - 1
    logits = given.model.vocabulary(torch.cat([hidden[last], context[last]], -1))
    return F.cross_entropy(logits, given.tokens[torch.arange(rows), lengths])


def _plain_states(given: Case, tokens: Tensor, step: Step = plain_step) -> tuple[Tensor, Tensor]:
    model = given.model
    views = model.views(given.features, given.view_mask)
    values, present = model.values(views)
    first, _ = model._image(views)
    words = model.embedding(tokens)
    hidden, context, _ = plain_recurrence(model.rnn, words, values, present, first, step)
    return hidden, context


def training_step(
    parameters: Iterable[nn.Parameter], loss: Callable[[], Tensor]
) -> Callable[[], None]:
    """Forward, backward and optimiser step."""
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.0, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def timed(call: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def seconds(steps: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Best time of each step, taken in turns so that all meet the same machine."""
    for step in steps.values():
        step()
    turns = [{name: timed(step) for name, step in steps.items()} for _ in range(repeats)]
    return {name: min(turn[name] for turn in turns) for name in steps}


def best_of(given: Case, losses: dict[str, Callable[[], Tensor]], repeats: int) -> dict[str, float]:
    """Seconds of a training step of the case's model by each of the losses."""
    parameters = list(given.model.parameters())
    return seconds({k: training_step(parameters, loss) for k, loss in losses.items()}, repeats)


def compare(sizes: Sizes, repeats: int, compile: bool | str = "auto") -> Found:
    """Words/s of ours, eager, the transformer and plain, and their shares of what is possible.

    The machine's rates are taken before and after: it is not always equally fast.
    """
    given, other, before = case(sizes), case(sizes, "transformer"), peaks()
    parameters = list(given.model.parameters())
    steps = {
        "ours": training_step(parameters, lambda: ours(given, compile)),
        "eager": training_step(parameters, lambda: ours(given, False)),
        "plain": training_step(parameters, lambda: plain(given)),
        "transformer": training_step(other.model.parameters(), lambda: by_model(other)),
    }
    best = seconds(steps, repeats)
    rates = {name: max(rate, before[name]) for name, rate in peaks().items()}
    words, least = sizes.batch * sizes.words, sum(bound(sizes, rates).values())
    profile = {name: where_time_goes(steps[name], rates["products_gflops"]) for name in PROFILED}
    return {
        **rates,
        "fused by torch.compile": any(given.model.rnn.fusible.values()),
        **{f"{name}, words/s": words / taken for name, taken in best.items()},
        **{f"{name} over plain": best["plain"] / best[name] for name in best if name != "plain"},
        **{f"{name}, share of bound": least / best[name] for name in PROFILED},
        **{f"profile of {name}": shares for name, shares in profile.items()},
    }


PROFILED = ("ours", "eager")


def compile_seconds(sizes: Sizes) -> Found:
    """How much longer the first step of the attention model takes than the next.

    Nothing is in torch's cache of compiled code, as on a new machine. To be called before anything
    else of this process has compiled a word.
    """
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=folder),
    ):
        given = case(sizes)
        step = training_step(given.model.parameters(), lambda: ours(given))
        return {"compiling, nothing cached, s": timed(step) - timed(step)}


def compare_with_compiled(repeats: int) -> Found:
    """Ours against the plain loop with its step compiled, and what compiling that costs.

    The whole loop is not compiled: unrolled over 45 words it took more than 150 s here, and would
    have to be compiled again for each length.
    """
    given, compiled = case(Sizes()), torch.compile(plain_step)
    compiling = timed(lambda: plain(given, compiled).backward())
    losses = {"ours": lambda: ours(given), "compiled": lambda: plain(given, compiled)}
    best = best_of(given, losses, repeats)
    return {
        "compiling, s": compiling,
        "compiled plain, words/s": given.tokens[:, 1:].numel() / best["compiled"],
        "ours over compiled plain": best["compiled"] / best["ours"],
    }


def compare_with_raw_maps(sizes: Sizes, repeats: int, compile: bool | str = "auto") -> Found:
    """Ours against the plain loop that attends to the raw 1024 channels."""
    given, raw = case(sizes), case(sizes._replace(values=None))
    steps = {
        "ours": training_step(given.model.parameters(), lambda: ours(given, compile)),
        "raw": training_step(raw.model.parameters(), lambda: plain(raw)),
    }
    best, words = seconds(steps, repeats), sizes.batch * sizes.words
    return {
        **{f"{name}, words/s": words / taken for name, taken in best.items()},
        "ours over raw": best["raw"] / best["ours"],
    }


def compare_with_prefixes(sizes: Sizes, repeats: int, compile: bool | str = "auto") -> Found:
    """Ours against the original's scheme, of which a step learns a word a row."""
    given, rows = case(sizes), sizes.batch
    losses = {"ours": lambda: ours(given, compile), "prefixes": lambda: prefix_loss(given, rows)}
    best = best_of(given, losses, repeats)
    mine, original = rows * sizes.words / best["ours"], rows / best["prefixes"]
    return {
        "ours, words/s": mine,
        "prefixes, words/s": original,
        "ours over prefixes": mine / original,
    }


def run(repeats: int = 4) -> Found:
    """All comparisons as plain numbers, by name."""
    found: Found = {"torch.compile": compile_seconds(Sizes())}
    for sizes in COMPARED:
        name = f"batch {sizes.batch}, hidden {sizes.hidden}, attention {sizes.attention}"
        found[f"{name}, vocabulary {sizes.vocabulary}"] = compare(sizes, repeats)
    found["compiled plain step"] = compare_with_compiled(repeats)
    found["raw 1024 channels"] = compare_with_raw_maps(Sizes(), repeats)
    found["prefix expansion, 60 words"] = compare_with_prefixes(Sizes(words=60), repeats)
    return found


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
