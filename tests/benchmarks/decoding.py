"""Benchmark: beam search of width 5, against what else a user could run.

All competitors decode the same studies with the same attention decoder in one process, in turns, a
batch at a time, so that whatever else the machine does meets all of them:
- ours, and greedy: the project's searches;
- bare: the very steps of ours once more, with no search around them;
- transformers: its generate over our decoder, wrapped as a model with a cache of its own;
- original: the original's algorithm, for every tenth study of each batch, so of all lengths.
Of ours, greedy and bare the best of some turns counts; the others, which take long, have one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from tests.benchmarks.ending import Ending
from tests.benchmarks.original_beam import original_beam
from tests.benchmarks.transformers_generate import generate
from xray_report.inference.beam import BeamSearch
from xray_report.inference.greedy import GreedySearch
from xray_report.models.decoders.protocol import DecoderState, StepModel

WIDTH = 5
LENGTH = 80


class Counted:
    """Passes steps on and keeps the rows and studies of each, to be run again bare."""

    def __init__(self, model: StepModel) -> None:
        self.model, self.special = model, model.special
        self.steps: list[tuple[Tensor, DecoderState]] = []
        self.inputs: list[tuple[Tensor, Tensor]] = []

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        self.inputs.append((features, view_mask))
        return self.model.initial_state(features, view_mask)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        self.steps.append((tokens, state))
        return self.model.step(tokens, state)

    def again(self) -> None:
        """The very steps once more, without any search."""
        for given in self.inputs:
            self.model.initial_state(*given)
        for given in self.steps:
            self.model.step(*given)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of `work`."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(
    model: Ending, features: Tensor, mask: Tensor, every: int, repeats: int
) -> Counter[str]:
    """Seconds of each competitor for one batch; the best of `repeats` turns where they are short.

    The original's algorithm decodes each `every`th study; its time is as measured, not scaled.
    """
    beam, greedy = BeamSearch(beam_width=WIDTH, max_length=LENGTH), GreedySearch(max_length=LENGTH)
    counted = Counted(model)
    beam(counted, features, mask)
    works = {
        "ours": lambda: beam(model, features, mask),
        "bare": counted.again,
        "greedy": lambda: greedy(model, features, mask),
    }
    turns = [{name: seconds(work) for name, work in works.items()} for _ in range(repeats)]
    best = Counter({name: min(turn[name] for turn in turns) for name in works})
    best["transformers"] = seconds(lambda: generate(model, features, mask, WIDTH, LENGTH))
    some, seen = features[::every], mask[::every]
    best["original"] = seconds(lambda: original_beam(model, some, seen, WIDTH, LENGTH))
    best["original studies"] = len(some)
    return best


@torch.inference_mode()
def run(
    studies: int = 590, words: int = 36, every: int = 10, batch: int = 64, repeats: int = 3
) -> dict[str, float]:
    """Time all competitors.

    Args:
        studies: to decode, with random features.
        words: mean length of a report.
        every: each so many-th study is also decoded by the original's algorithm.
        batch: studies decoded at once.
        repeats: the best of so many runs counts, a batch at a time.

    Returns:
        reports/s of each, and ratios: overhead is search time over bare steps less 1.
    """
    model = Ending(words)
    features = torch.randn(studies, 2, 1024, 7, 7, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(studies, 2, dtype=torch.bool)
    compare(model, features[:2], mask[:2], every=2, repeats=1)
    time: Counter[str] = Counter()
    for start in range(0, studies, batch):
        part = slice(start, start + batch)
        time += compare(model, features[part], mask[part], every, repeats)
    original = time["original"] / time["original studies"]
    return {
        "studies": studies,
        "mean words": words,
        "batch": batch,
        "ours, reports/s": studies / time["ours"],
        "greedy, reports/s": studies / time["greedy"],
        "transformers, reports/s": studies / time["transformers"],
        f"original, reports/s (each {every}th study)": 1 / original,
        "ours over transformers": time["transformers"] / time["ours"],
        "ours over the original": original * studies / time["ours"],
        "beam 5 over greedy, times": time["ours"] / time["greedy"],
        "overhead over bare steps": time["ours"] / time["bare"] - 1,
    }
