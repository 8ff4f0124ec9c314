"""Self-critical sequence training: reports are drawn, scored, and the better ones made likelier.

After Rennie et al. 2017, "Self-critical Sequence Training for Image Captioning", equation 9, with
the baseline of Luo 2020, "A Better Variant of Self-Critical Sequence Training" (arXiv:2003.09971):
the mean reward of the other reports drawn of the same study, which needs no greedy report.

Shapes: B studies, S reports drawn of each, T tokens, V words.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.data.dataset import pad
from xray_report.errors import OptionError
from xray_report.inference.sampling import SampleSearch
from xray_report.inference.search import Hypothesis
from xray_report.metrics.bleu import bleu_rows, count_pairs, smoothed_bleu4
from xray_report.metrics.cider import SCALE, Corpus, cider_rows
from xray_report.metrics.findings.scores import study_f1
from xray_report.metrics.protocols import clean_tokens
from xray_report.metrics.study_scores import Floats
from xray_report.models.report_model import ReportModel
from xray_report.options import (
    as_path,
    check_choice,
    check_count,
    check_flag,
    check_known,
    check_number,
)
from xray_report.text.tokenizer import Tokenizer
from xray_report.tokens import SpecialTokens

TRAININGS = ("cross_entropy", "scst")
"""Names of the group `training`."""

PARTS = ("cider", "bleu4", "findings", "facts")
"""Scores that may be rewarded."""


@dataclass(frozen=True, kw_only=True)
class SelfCriticalOptions:
    """What `training=scst` may be told, but where it starts.

    Args:
        rewards: weights of `PARTS`, at least 0 and one above; a part that is not named has none.
        samples: S, reports drawn of each study.
        entropy: weight of the mean entropy of the words drawn, nats.
        cross_entropy: weight of the loss of the published reports.
        dropout: learn from what was drawn with dropout, as in any training. What is drawn comes
            from the model without it, so that its words may be unlikely with it, and the push
            against poor reports may then grow: keep such trainings short.

    Raises `OptionError` for a bad option.
    """

    rewards: Mapping[str, float]
    samples: int = 5
    entropy: float = 0.0
    cross_entropy: float = 0.0
    dropout: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.rewards, Mapping):
            raise OptionError(f"training.rewards must be weights by name, got {self.rewards!r}")
        check_known("training.rewards", self.rewards, PARTS)
        for name, weight in self.rewards.items():
            check_number(f"training.rewards.{name}", weight, least=0.0)
        if not any(self.rewards.values()):
            raise OptionError(
                f"training.rewards must have a weight above 0 for one of {', '.join(PARTS)}"
            )
        check_count("training.samples", self.samples, 2)
        check_number("training.entropy", self.entropy, least=0.0)
        check_number("training.cross_entropy", self.cross_entropy, least=0.0)
        check_flag("training.dropout", self.dropout)


def self_critical_options(training: Mapping[str, Any]) -> SelfCriticalOptions | None:
    """What the group `training` says; None for cross-entropy.

    Raises `OptionError` for an option that is unknown, missing or out of range.
    """
    name = check_choice("training.name", training.get("name", ""), TRAININGS)
    own = {key: value for key, value in training.items() if key != "name"}
    if name == "cross_entropy":
        check_known("training", training, ("name",))
        return None
    known = ("start", *SelfCriticalOptions.__dataclass_fields__)
    check_known("training", training, ("name", *known))
    for key in known:
        if key not in own:
            raise OptionError(f"training.{key} is not set: leave it in, or name a value")
    as_path("training.start", own.pop("start"))
    return SelfCriticalOptions(**own)


# Rewards.


class Rewards:
    """Scores of single reports, on the tokens of protocol `clean`, each 0..1.

    `cider` is a tenth of CIDEr; `bleu4` is smoothed; `findings` and `facts` are F1 of a study. An
    empty report gets 0 for everything, whatever its reference.

    Args:
        weights: of `PARTS`; those of weight 0 are not computed.
        corpus: reports as published, whose document frequencies CIDEr takes: those of training.
    """

    def __init__(self, weights: Mapping[str, float], corpus: Sequence[str]) -> None:
        self.weights = {name: weights[name] for name in PARTS if weights.get(name)}
        texts = [clean_tokens(text) for text in corpus] if "cider" in self.weights else []
        self._corpus = Corpus(texts)

    def __call__(self, hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Floats]:
        """The rewarded parts of N reports beside N references, float64 [N] each; raw texts."""
        pairs = [
            (clean_tokens(left), clean_tokens(right))
            for left, right in zip(hypotheses, references, strict=True)
        ]
        place = {pair: row for row, pair in enumerate(dict.fromkeys(pairs))}
        rows = [place[pair] for pair in pairs]
        left, right = [pair[0] for pair in place], [pair[1] for pair in place]
        written = np.array([bool(text) for text in left], np.float64)
        parts = self._parts(left, right)
        return {name: (parts[name] * written)[rows] for name in self.weights}

    def _parts(self, left: Sequence[str], right: Sequence[str]) -> dict[str, Floats]:
        parts: dict[str, Floats] = {}
        if self.weights.keys() & {"cider", "bleu4"}:
            counts = count_pairs(left, right)
            parts["bleu4"] = smoothed_bleu4(bleu_rows(counts))
            if "cider" in self.weights:
                rarities = self._corpus.rarities([*left, *right])
                parts["cider"] = cider_rows(counts, rarities) / SCALE
        if self.weights.keys() & {"findings", "facts"}:
            parts["findings"], parts["facts"] = study_f1(left, right)
        return parts

    def weighted(self, parts: Mapping[str, Floats]) -> Floats:
        """The weighted sum [N] of what calling this gave."""
        return np.asarray(sum(self.weights[name] * part for name, part in parts.items()))


def advantages(rewards: Floats) -> Floats:
    """How much better than the mean of the others each report of a study is; [B, S] both.

    A study's advantages sum to 0, and are 0 where its reports are rewarded alike.
    """
    count = rewards.shape[1]
    others = (rewards.sum(1, keepdims=True) - rewards) / (count - 1)
    return np.asarray(rewards - others)


# The loss.


def policy_loss(logits: Tensor, targets: Tensor, pad_id: int, advantage: Tensor) -> Tensor:
    """-advantage * log-probability of each word that was drawn, mean over all of them.

    The mean is over the words of the batch, not first over those of a report, so that a word of a
    short report weighs no more than one of a long one.

    Args:
        logits: [N, T, V].
        targets: int64 [N, T], words and end, then `pad_id`.
        pad_id: where there is no word.
        advantage: float [N], of each report.
    """
    surprise = F.cross_entropy(
        logits.transpose(1, 2).float(), targets, ignore_index=pad_id, reduction="none"
    )
    return (advantage.unsqueeze(1) * surprise).sum() / (targets != pad_id).sum().clamp(min=1)


def as_drawn(logits: Tensor, special: SpecialTokens) -> Tensor:
    """`logits` [..., V] of the distribution that was drawn from: without what is never written.

    Were those words left in, each push against a poor report would make them likelier, and nothing
    would ever push against them, since they are never drawn.
    """
    never = torch.tensor(special.never_generated, device=logits.device)
    # Finite, so that its share of the entropy is 0.
    return logits.float().index_fill(-1, never, torch.finfo(torch.float32).min / 2)


def mean_entropy(logits: Tensor, present: Tensor) -> Tensor:
    """Entropy of logits [N, T, V], nats, mean over the words `present` (bool [N, T])."""
    log_probs = logits.float().log_softmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    return entropy.masked_fill(~present, 0.0).sum() / present.sum().clamp(min=1)


# A step.


class Learnt(NamedTuple):
    """Loss of a step, a scalar with a gradient, and what to log of it by name."""

    loss: Tensor
    logged: dict[str, Tensor | float]


class SelfCritical:
    """Draws reports, rewards them and gives the loss.

    They are drawn as the model is used: without dropout, and a guided decoder is told what its
    classifier sees, not what the study's report says. Their log-probabilities come from one
    teacher-forced pass, by choice with dropout; reports of a study that are rewarded alike give no
    gradient, with dropout or without.

    Args:
        options: what is rewarded, and how many reports are drawn.
        tokenizer: of the model.
        max_tokens: longest report, tokens with the end counted.
        references: the training reports as published.
        seed: of the run; with the step it seeds the draws, so that a resumed run draws the same.
    """

    def __init__(
        self,
        options: SelfCriticalOptions,
        tokenizer: Tokenizer,
        max_tokens: int,
        references: Sequence[str],
        seed: int = 0,
    ) -> None:
        self.options, self.tokenizer, self.seed = options, tokenizer, seed
        self.max_tokens = max_tokens
        self.rewards = Rewards(options.rewards, references)
        self._started: float | None = None
        self._rewarding = 0.0

    def __call__(
        self,
        model: ReportModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str],
        references: Sequence[str],
        step: int,
    ) -> Learnt:
        """Loss of one batch: policy loss, less the weighted entropy.

        Args:
            model: in training mode.
            features: [B, 2, C, h, w], with a gradient where the encoder is trained.
            view_mask: bool [B, 2].
            study_ids: B names, which the draws depend on.
            references: B reports as published.
            step: optimiser steps taken so far; every step draws others.
        """
        logged = self._clocked()
        samples, special = self.options.samples, self.tokenizer.special
        drawn = self.draw(model, features.detach(), view_mask, study_ids, step)
        began = time.perf_counter()
        texts = [self.tokenizer.decode(one.token_ids) for one in drawn]
        parts = self.rewards(texts, [one for one in references for _ in range(samples)])
        total = self.rewards.weighted(parts)
        self._rewarding = logged["reward_seconds"] = time.perf_counter() - began
        logged["reward"] = float(total.mean())
        logged |= {f"reward_{name}": float(part.mean()) for name, part in parts.items()}
        advantage = torch.from_numpy(advantages(total.reshape(-1, samples)).ravel()).float()
        tokens = token_rows(drawn, special).to(features.device, non_blocking=True)
        if not self.options.dropout:
            without_dropout(model.decoder)
        logits = model(
            features.repeat_interleave(samples, 0), view_mask.repeat_interleave(samples, 0), tokens
        )
        model.decoder.train()
        logits = as_drawn(logits, special)
        targets = tokens[:, 1:]
        advantage = advantage.to(features.device, non_blocking=True)
        loss = policy_loss(logits, targets, special.pad, advantage)
        if self.options.entropy:
            logged["entropy"] = entropy = mean_entropy(logits, targets != special.pad)
            loss = loss - self.options.entropy * entropy
        return Learnt(loss, logged)

    def draw(
        self,
        model: ReportModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str],
        step: int,
    ) -> list[Hypothesis]:
        """S reports of each study, one study after the other, without dropout or gradient."""
        samples, training = self.options.samples, model.decoder.training
        search = SampleSearch(
            max_length=self.max_tokens, n_samples=samples, seed=(self.seed << 31) + step
        )
        model.decoder.eval()
        try:
            ranked = search(model.decoder, features, view_mask, study_ids)
        finally:
            model.decoder.train(training)
        # In some versions of torch autocast keeps weights as they were cast here: without a
        # gradient, which the teacher-forced pass needs.
        torch.clear_autocast_cache()
        # A model whose numbers have become NaN writes a single empty report.
        return [one for found in ranked for one in (found * samples)[:samples]]

    def _clocked(self) -> dict[str, Any]:
        """The share that rewards had of the time since the last step began, from the second on.

        Whole steps are measured, backward pass and loading included: a device computes while the
        host goes on.
        """
        before, self._started = self._started, time.perf_counter()
        if before is None:
            return {}
        return {"reward_share": self._rewarding / (self._started - before)}


def without_dropout(decoder: nn.Module) -> None:
    """Put a decoder into evaluation mode, but for recurrent layers, which have no dropout here.

    For them cuDNN has no gradient in that mode.
    """
    decoder.eval()
    for part in decoder.modules():
        if isinstance(part, nn.RNNBase):
            part.train()


def token_rows(drawn: Sequence[Hypothesis], special: SpecialTokens) -> Tensor:
    """Int64 [N, T] of reports: BOS, words, EOS where the model ended it, PAD."""
    ends = ((special.eos,) if one.finished else () for one in drawn)
    rows = [(special.bos, *one.token_ids, *end) for one, end in zip(drawn, ends, strict=True)]
    return pad(rows, special.pad)
