"""Training speed of the attention model, beside what it replaces and what the machine allows.

Every competitor trains the same number of parameters of the same kind in the same process:
(a) the original's scheme, each (prefix, next word) pair a row of its own and run from the start,
(b) the plain per-step loop, with the same projected locations and with the raw 1024 channels,
(c) ours, step by step and with its step compiled. All use the optimiser that the project trains
with. A token is a word that the loss scores.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.benchmarks.training_bound import CHANNELS, WORD_SIZE, Sizes, bound, peaks
from tests.benchmarks.training_profile import where_time_goes
from tests.models.plain import plain_recurrence, plain_step
from xray_report.models.decoders.attention import AttentionDecoder
from xray_report.models.embedding import WordEmbedding
from xray_report.models.loss import masked_cross_entropy
from xray_report.models.maps import MapShape
from xray_report.tokens import WORD_TOKENS

Step = Callable[..., tuple[Tensor, Tensor, Tensor]]

COMPARED = (Sizes(), Sizes(batch=64), Sizes(hidden=512, attention=256, vocabulary=1800, values=256))


class Case(NamedTuple):
    """A model and a batch of full-length reports with both views."""

    model: AttentionDecoder
    features: Tensor
    view_mask: Tensor
    tokens: Tensor


def case(sizes: Sizes) -> Case:
    """Random model and data of these sizes."""
    torch.manual_seed(0)
    raw = sizes.values is None
    model = AttentionDecoder(
        WORD_TOKENS,
        WordEmbedding(sizes.vocabulary, WORD_SIZE),
        MapShape(CHANNELS, 7, 7),
        rnn_size=sizes.hidden,
        attention_size=sizes.attention,
        value_size=sizes.values,
        value_norm=not raw,
        location_embedding=not raw,
    )
    features = torch.randn(sizes.batch, 2, 7, 7, CHANNELS).half().permute(0, 1, 4, 2, 3)
    view_mask = torch.ones(sizes.batch, 2, dtype=torch.bool)
    tokens = torch.randint(4, sizes.vocabulary, (sizes.batch, sizes.words + 1))
    return Case(model, features, view_mask, tokens)


def plain_logits(given: Case, step: Step = plain_step) -> Tensor:
    """Logits by the textbook loop, which also writes each word's logits inside of the loop."""
    hidden, context = _plain_states(given, given.tokens[:, :-1], step)
    shown = torch.cat([hidden, context], -1)
    return torch.stack([given.model.vocabulary(word) for word in shown.unbind(1)], 1)


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


def training_step(given: Case, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Forward, backward and optimiser step."""
    optimizer = torch.optim.AdamW(given.model.parameters(), weight_decay=0.0, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def seconds(steps: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Best time of each step, taken in turns so that all meet the same machine."""
    best = dict.fromkeys(steps, float("inf"))
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if repeat:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def ours(given: Case, fuse: bool = False) -> Tensor:
    """Loss by the model itself, its step fused by torch.compile or not."""
    given.model.rnn.fuse = fuse
    logits = given.model(given.features, given.view_mask, given.tokens)
    return masked_cross_entropy(logits, given.tokens[:, 1:], WORD_TOKENS.pad)


def plain(given: Case, step: Step = plain_step) -> Tensor:
    """Loss by the plain loop."""
    return masked_cross_entropy(plain_logits(given, step), given.tokens[:, 1:], WORD_TOKENS.pad)


def compare(sizes: Sizes, repeats: int) -> dict[str, float]:
    """Tokens/s of ours and of the plain loops, and ours as a share of the arithmetic bound.

    The machine's rates are taken before and after: it is not always equally fast.
    """
    given, before = case(sizes), peaks()
    losses = {
        "ours": lambda: ours(given),
        "compiled": lambda: ours(given, fuse=True),
        "plain": lambda: plain(given),
    }
    steps = {name: training_step(given, loss) for name, loss in losses.items()}
    best = seconds(steps, repeats)
    rates = {name: max(rate, before[name]) for name, rate in peaks().items()}
    tokens, least = sizes.batch * sizes.words, sum(bound(sizes, rates).values())
    return {
        **rates,
        **{f"{name}_tokens_per_s": tokens / taken for name, taken in best.items()},
        **{f"{name}_over_plain": best["plain"] / best[name] for name in ("ours", "compiled")},
        **{f"{name}_share_of_bound": least / taken for name, taken in best.items()},
        **where_time_goes(steps["ours"], rates["products_gflops"]),
    }


def compare_with_compiled(repeats: int) -> dict[str, float]:
    """Ours against the plain loop with its step compiled, and what compiling costs.

    The whole loop is not compiled: unrolled over 45 words it took more than 150 s here, and would
    have to be compiled again for each length.
    """
    given, compiled = case(Sizes()), torch.compile(plain_step)
    start = time.perf_counter()
    plain(given, compiled).backward()
    compiling = time.perf_counter() - start
    losses = {"ours": lambda: ours(given), "compiled": lambda: plain(given, compiled)}
    best = seconds({k: training_step(given, loss) for k, loss in losses.items()}, repeats)
    return {
        "compiling_s": compiling,
        "compiled_plain_tokens_per_s": given.tokens[:, 1:].numel() / best["compiled"],
        "over_compiled_plain": best["compiled"] / best["ours"],
    }


def compare_with_raw_maps(repeats: int) -> dict[str, float]:
    """Ours against the plain loop that attends to the raw 1024 channels."""
    sizes = Sizes()
    given, raw = case(sizes), case(sizes._replace(values=None))
    steps = {
        "ours": training_step(given, lambda: ours(given)),
        "plain": training_step(raw, lambda: plain(raw)),
    }
    best, tokens = seconds(steps, repeats), sizes.batch * sizes.words
    return {
        "ours_tokens_per_s": tokens / best["ours"],
        "plain_raw_tokens_per_s": tokens / best["plain"],
        "over_plain_raw": best["plain"] / best["ours"],
    }


def compare_with_prefixes(words: int, repeats: int) -> dict[str, float]:
    """Ours against the original's scheme on reports of `words` words."""
    sizes = Sizes(words=words)
    given = case(sizes)
    rows = sizes.batch
    losses = {"ours": lambda: ours(given), "prefix": lambda: prefix_loss(given, rows)}
    best = seconds({k: training_step(given, loss) for k, loss in losses.items()}, repeats)
    mine, original = rows * words / best["ours"], rows / best["prefix"]
    return {
        "ours_tokens_per_s": mine,
        "prefix_tokens_per_s": original,
        "over_prefix": mine / original,
    }


def run(repeats: int = 4) -> dict[str, dict[str, float]]:
    """All comparisons as plain numbers, by name."""
    found: dict[str, dict[str, float]] = {}
    for sizes in COMPARED:
        name = f"batch {sizes.batch}, hidden {sizes.hidden}, attention {sizes.attention}"
        found[f"{name}, vocabulary {sizes.vocabulary}"] = compare(sizes, repeats)
    found["compiled plain step"] = compare_with_compiled(repeats)
    found["raw 1024 channels"] = compare_with_raw_maps(repeats)
    found["prefix expansion, 60 words"] = compare_with_prefixes(60, repeats)
    return found


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
