"""Benchmark 3: beam search of width 5, against what else a user could run.

All competitors decode the same studies with the same attention decoder in one process: default
sizes, random weights, and an end that comes after a length drawn for each study as reports' are
(random weights alone never end). The original's algorithm decodes fewer studies.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from tests.benchmarks.transformers_generate import generate
from xray_report.inference.beam import BeamSearch
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.protocol import DecoderState, StepModel
from xray_report.models.attention_decoder import AttentionDecoder
from xray_report.models.embedding import WordEmbedding
from xray_report.tokens import BOS_ID, EOS_ID, NEVER_GENERATED

WIDTH = 5
VOCABULARY = 1400


class Ending:
    """An attention decoder with random weights whose reports end after given lengths.

    Args:
        mean: of the lengths in words, which have a standard deviation of mean / 3.
    """

    def __init__(self, mean: float, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.model = AttentionDecoder(VOCABULARY, WordEmbedding(VOCABULARY, 50)).eval()
        self.mean = mean
        with torch.no_grad():
            # Word probabilities about as sharp as a trained model's.
            self.model.vocabulary.weight *= 8
            self.model.vocabulary.bias[EOS_ID] = -50.0

    def lengths(self, features: Tensor) -> Tensor:
        """Words of each study's report, float [B, 1]: features are random, so one value is."""
        drawn = self.mean * (1 + features[:, 0, 0, 0, :1] / 3)
        return drawn.round().clamp(4, 2 * self.mean)

    def end(self, log_probs: Tensor, written: Tensor, lengths: Tensor) -> Tensor:
        """Log-probabilities [N, V] that favour the end once `written` [N, 1] reaches lengths."""
        over = (written >= lengths).float()
        log_probs = log_probs - 6 * over
        log_probs[:, EOS_ID] = (over.squeeze(1) - 1) * 50
        return log_probs

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        state = self.model.initial_state(features, view_mask)
        written = state.hidden.new_zeros(len(features), 1)
        hidden = torch.cat([state.hidden, written], 1)
        return DecoderState(hidden, (*state.memory, self.lengths(features)))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        own = DecoderState(state.hidden[:, :-1], state.memory[:-1])
        written, lengths = state.hidden[:, -1:], state.memory[-1]
        log_probs, after = self.model.step(tokens, own)
        lengths = lengths.repeat_interleave(len(tokens) // len(lengths), 0)
        log_probs = self.end(log_probs, written, lengths)
        hidden = torch.cat([after.hidden, written + 1], 1)
        return log_probs, DecoderState(hidden, state.memory, after.attention)


def original_beam(ending: Ending, features: Tensor, mask: Tensor, length: int) -> None:
    """The original's search: a study at a time, each prefix run from its start at each step."""
    for study in range(len(features)):
        own, seen = features[study : study + 1], mask[study : study + 1]
        beams: list[tuple[float, list[int]]] = [(0.0, [BOS_ID])]
        for _ in range(length):
            grown = []
            for score, words in beams:
                if words[-1] == EOS_ID:
                    grown.append((score, words))
                    continue
                # The forward pass gives the words after each word but the last.
                prefix = torch.tensor([[*words, EOS_ID]])
                last = ending.model(own, seen, prefix)[0, -1:].log_softmax(-1)
                written = torch.tensor([[float(len(words) - 1)]])
                log_probs = ending.end(last, written, ending.lengths(own))[0]
                log_probs[list(NEVER_GENERATED)] = -torch.inf
                values, best = log_probs.topk(WIDTH)
                grown += [
                    (score + value, [*words, word])
                    for value, word in zip(values.tolist(), best.tolist(), strict=True)
                ]
            beams = sorted(grown, reverse=True)[:WIDTH]
            if all(words[-1] == EOS_ID for _, words in beams):
                break


class Counted:
    """Passes steps on and keeps the rows and studies of each, to be run again bare."""

    def __init__(self, model: StepModel) -> None:
        self.model = model
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


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """Shortest of `repeats` times."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def bare_seconds(
    model: StepModel, search: BeamSearch, features: Tensor, mask: Tensor, repeats: int
) -> float:
    """Time of the decoder steps alone that the search takes over these studies."""
    counted = Counted(model)
    search(counted, features, mask)
    return seconds(counted.again, repeats)


@torch.inference_mode()
def run(
    studies: int = 590, words: int = 36, few: int = 2, batch: int = 64, repeats: int = 1
) -> dict[str, float]:
    """Time all competitors.

    Args:
        studies: for ours, for transformers and for the bare steps, `batch` at a time.
        words: mean length of a report.
        few: studies for the original's algorithm.
        batch: studies decoded at once.
        repeats: the best of so many runs counts.

    Returns:
        reports/s of each, and ratios: overhead is search time over bare steps less 1.
    """
    model, length = Ending(words), 80
    features = torch.randn(studies, 2, 1024, 7, 7, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(studies, 2, dtype=torch.bool)
    parts = [slice(start, start + batch) for start in range(0, studies, batch)]
    beam, greedy = BeamSearch(beam_width=WIDTH, max_length=length), GreedySearch(max_length=length)

    def each(work: Callable[[Tensor, Tensor], object]) -> float:
        return seconds(lambda: [work(features[p], mask[p]) for p in parts], repeats)

    beam(model, features[:2], mask[:2])
    ours = each(lambda f, m: beam(model, f, m))
    bare = sum(bare_seconds(model, beam, features[p], mask[p], repeats) for p in parts)
    single = each(lambda f, m: greedy(model, f, m))
    theirs = each(lambda f, m: generate(model, f, m, WIDTH, length))
    original = seconds(lambda: original_beam(model, features[:few], mask[:few], length), repeats)
    return {
        "studies": studies,
        "words": words,
        "batch": batch,
        "ours_reports_per_s": studies / ours,
        "greedy_reports_per_s": studies / single,
        "transformers_reports_per_s": studies / theirs,
        "original_reports_per_s": few / original,
        "times_faster_than_transformers": theirs / ours,
        "times_faster_than_original": (original / few) / (ours / studies),
        "beam_over_greedy": ours / single,
        "overhead_over_bare_steps": ours / bare - 1,
    }
