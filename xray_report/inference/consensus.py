"""Consensus decoding: of several candidates the one that agrees best with what the model says.

In order: the search, what the model's classifier sees, and what the model says of reports that it
is given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from xray_report.errors import OptionError
from xray_report.inference.beam import BeamSearch
from xray_report.inference.sampling import SampleSearch
from xray_report.inference.search import Hypothesis, SearchOptions, ToText, precise
from xray_report.metrics.agreement import UTILITIES, agreement, f_beta, in_reports, stated
from xray_report.metrics.protocols import clean_tokens
from xray_report.metrics.study_scores import Floats
from xray_report.models.decoders.protocol import Classifier, StepModel, select_rows
from xray_report.options import check_choice, check_count, check_known, check_number
from xray_report.text.tokenizer import Tokenizer
from xray_report.tokens import SpecialTokens

CANDIDATES = ("samples", "beam", "reports")
VERDICTS = "verdicts"
"""The utility of agreeing with what the model's own classifier sees, in place of what it says."""
KEPT = 5
"""Most reports returned where people's reports are the candidates: each is read by the model."""
MOST_REPORTS = 5000
"""To choose from: every one is held against all samples of a study, a second for each study."""


@dataclass(frozen=True, kw_only=True)
class ConsensusSearch(SearchOptions):
    """Minimum Bayes risk: candidates ranked by their mean utility against what the model says.

    Kumar and Byrne 2004, equation 2, with the expectation taken over samples of the model, each
    counted as often as it was drawn (Eikema and Aziz 2020, section 5; Bertsch et al. 2023), or
    over the hypotheses of a beam, all alike. Utilities compare texts: the decoded ones, prepared
    as the protocol `clean` does.

    The candidates are those samples or hypotheses themselves, all of which are returned, or
    reports that people have written, such as those of training: of these the `KEPT` best, each as
    if the model had written it. What is shown then are no words of the model, but of a person who
    saw another study.

    One more utility, `VERDICTS`, holds a candidate against what the model's classifier sees in the
    images (of a guided decoder, see `xray_report.models.decoders.guided`): the F of the labels that
    a report can be read for. A decoder knows what it sees and does not reliably say it.

    A candidate's `score` is that mean, 0..1, and what `length_reward` adds; equals stay in the
    order of their log-probability, reports in that of their token ids. As in every search a
    finished report goes before an unfinished one.

    Args:
        candidates: "samples", "beam" for the hypotheses of a beam search, or "reports" for those
            that `choosing_among` gives, held against samples.
        n_candidates: samples a study, or the width of the beam; costs as much as that search.
        temperature: of samples, as the three below; see `SampleSearch`.
        top_k: of samples.
        top_p: of samples.
        seed: of samples, and of the lot that reports are drawn by.
        utility: one of `UTILITIES` or `VERDICTS`, or several with their weights.
        findings_beta: how many times as much recall as precision counts in the utilities findings,
            facts and verdicts: above 1 the reports named first say more of them, below 1 fewer.
        length_reward: times the logarithm of a candidate's words over the mean of what was drawn
            is added to its mean utility, so that of two that agree alike the longer goes first.
            What agrees with all says least: without it reports are shorter than the references.
        reports: token ids of the reports to choose from; filled in by `choosing_among`.
        to_text: text of token ids; filled in by `resolve`.
    """

    candidates: str = "samples"
    n_candidates: int = 32
    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    utility: str | Mapping[str, float] = field(
        default_factory=lambda: {"bleu": 1.0, "ngrams": 1.0, "findings": 1.0, "facts": 0.0}
    )
    findings_beta: float = 1.0
    length_reward: float = 0.0
    reports: tuple[tuple[int, ...], ...] = ()
    to_text: ToText | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("candidates", self.candidates, CANDIDATES)
        check_count("n_candidates", self.n_candidates)
        check_number("findings_beta", self.findings_beta, above=0.0)
        check_number("length_reward", self.length_reward, least=0.0)
        if not any(self.weights.values()):
            every = ", ".join((*UTILITIES, VERDICTS))
            raise OptionError(f"utility: give one of {every} a weight above 0")
        self.source()

    @property
    def weights(self) -> dict[str, float]:
        """Weights of utilities. Raises `OptionError` for an unknown one or a negative weight."""
        given = {self.utility: 1.0} if isinstance(self.utility, str) else self.utility
        check_known("utility", given, (*UTILITIES, VERDICTS))
        return {
            name: check_number(f"utility.{name}", weight, least=0.0)
            for name, weight in given.items()
        }

    def source(self) -> SampleSearch | BeamSearch:
        """The search that finds the candidates. Raises `OptionError` for what it refuses."""
        common = {one.name: getattr(self, one.name) for one in fields(SearchOptions)}
        if self.candidates == "reports":  # samples are only compared with: many, each with its maps
            common["return_attention"] = False
        sampling = {name: getattr(self, name) for name in ("temperature", "top_k", "top_p", "seed")}
        samples = SampleSearch(**common, **sampling, n_samples=self.n_candidates)
        if self.candidates != "beam":
            return samples
        for one in fields(self):
            if one.name in sampling and sampling[one.name] != one.default:
                raise OptionError(f"{one.name} is of samples: leave it {one.default}")
        return BeamSearch(**common, beam_width=self.n_candidates, n_best=self.n_candidates)

    def resolve(
        self, words: Sequence[str], max_length: int | None = None, to_text: ToText | None = None
    ) -> ConsensusSearch:
        """As `SearchOptions.resolve`, and with the texts of token ids."""
        resolved = super().resolve(words, max_length)
        return resolved if to_text is None else replace(resolved, to_text=to_text)

    def check(self, model: StepModel) -> None:
        """Raise `OptionError` where verdicts are asked of a model that has none."""
        if self.weights.get(VERDICTS) and not any(map(in_reports, labels_of(model))):
            raise OptionError(
                f"utility.{VERDICTS} needs a model that sees labels which reports name: train one "
                f"with model.label_guidance=true or evidence, or leave utility.{VERDICTS} at 0"
            )

    def choosing_among(
        self, texts: Sequence[str], tokenizer: Tokenizer, max_length: int | None = None
    ) -> ConsensusSearch:
        """This search with published reports to choose from.

        Those are left out that the model could not have written so: with a word it never writes,
        longer than it writes, or against an option of this search (`min_length`, `banned_words`,
        `forced_words`, `no_repeat_ngram`). Of more than `MOST_REPORTS` so many are drawn by lot.

        Args:
            texts: reports as published, equal ones among them or not.
            tokenizer: the model's.
            max_length: the model's longest report, tokens with the end counted.

        Raises:
            OptionError: none is left, or a banned or forced word is not in the vocabulary.
        """
        search = self.resolve(tokenizer.words, max_length, tokenizer.decode)
        written = {tuple(tokenizer.encode(text)[1:-1]) for text in texts}  # without BOS and EOS
        kept = sorted(ids for ids in written if ids and search._permits(ids, tokenizer.special))
        if not kept:
            raise OptionError(
                f"candidates=reports: of {len(texts)} reports to choose from the model could have "
                "written none: give it reports like those of its training"
            )
        if len(kept) > MOST_REPORTS:
            kept = sorted(Random(self.seed).sample(kept, MOST_REPORTS))
        return replace(search, reports=tuple(kept))

    def _permits(self, ids: tuple[int, ...], special: SpecialTokens) -> bool:
        """Whether the model could write a report so under the options of this search."""
        never = {*special.never_generated, special.eos, *self.banned_ids}
        size = self.no_repeat_ngram
        runs = [ids[at : at + size] for at in range(len(ids) - size + 1)] if size else []
        return (
            self.min_length <= len(ids) < self.longest
            and never.isdisjoint(ids)
            and set(self.forced_ids) <= set(ids)
            and len(set(runs)) == len(runs)
        )

    def __call__(
        self,
        model: StepModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return the candidates of each of the B studies; arguments as in `Search`."""
        if self.to_text is None:
            raise OptionError(
                "consensus compares texts: use search.resolve(words, max_length, tokenizer.decode)"
            )
        if self.candidates == "reports" and not self.reports:
            raise OptionError(
                "candidates=reports needs reports to choose from: evaluate.py gives it those of "
                "training, a program search.choosing_among(texts, tokenizer)"
            )
        self.check(model)
        found = self.source()(model, features, view_mask, study_ids)
        seen: Sequence[Seen | None] = [None] * len(found)
        if self.weights.get(VERDICTS):
            seen = seen_by(model, features, view_mask)
        both = [*zip(found, seen, strict=True)]
        if self.candidates != "reports":
            return [self._ranked(own, here, self.to_text) for own, here in both]
        texts = [clean_tokens(self.to_text(one)) for one in self.reports]
        worth = [self._worth(texts, own, here, self.to_text) for own, here in both]
        best = [np.argsort(-own, kind="stable")[:KEPT].tolist() for own in worth]
        chosen = [[self.reports[at] for at in own] for own in best]
        given = as_written(model, features, view_mask, chosen, self.return_attention)
        return [
            [one._replace(score=float(own[at])) for one, at in zip(reports, places, strict=True)]
            for reports, own, places in zip(given, worth, best, strict=True)
        ]

    def _ranked(
        self, candidates: Sequence[Hypothesis], seen: Seen | None, to_text: ToText
    ) -> list[Hypothesis]:
        texts = [clean_tokens(to_text(one.token_ids)) for one in candidates]
        worth = self._worth(texts, candidates, seen, to_text).tolist()
        ranked = [one._replace(score=score) for one, score in zip(candidates, worth, strict=True)]
        return sorted(ranked, key=lambda one: (one.finished, one.score), reverse=True)

    def _worth(
        self, texts: Sequence[str], drawn: Sequence[Hypothesis], seen: Seen | None, to_text: ToText
    ) -> Floats:
        """What each of the N texts is worth, [N], given what was drawn, and seen, of the study."""
        # In an order of their own, so that sums do not depend on the order they were found in.
        own = Counter(clean_tokens(to_text(one.token_ids)) for one in drawn)
        times = np.array([own[one] for one in sorted(own)], dtype=np.float64)
        distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        of_texts = {name: weight for name, weight in self.weights.items() if name != VERDICTS}
        share = sum(of_texts.values()) / sum(self.weights.values())
        worth = np.zeros(len(distinct))
        if share:
            against = agreement(list(distinct), of_texts, self.findings_beta, sorted(own))
            worth += share * (against @ times / len(drawn))
        if seen is not None:
            named = stated(list(distinct), seen.labels)
            worth += (1 - share) * f_beta(named, seen.there[None], self.findings_beta)[:, 0]
        if self.length_reward:
            # An empty text counts as one word, whose logarithm is still a number.
            words = np.array([max(1, len(text.split())) for text in distinct])
            mean = times @ [max(1, len(text.split())) for text in sorted(own)] / len(drawn)
            worth += self.length_reward * np.log(words / mean)
        return np.asarray(worth[[distinct[text] for text in texts]])


class Seen(NamedTuple):
    """What a model's classifier sees of a study, of the K labels that reports can be read for.

    Args:
        labels: their names.
        there: [K], 1 where one is seen, else 0.
    """

    labels: tuple[str, ...]
    there: Floats


def labels_of(model: StepModel) -> tuple[str, ...]:
    """Labels that a model looks for; none of one that is no `Classifier`."""
    return model.labels if isinstance(model, Classifier) else ()


@torch.no_grad()
def seen_by(model: StepModel, features: Tensor, view_mask: Tensor) -> list[Seen]:
    """What `model`, a `Classifier`, sees of each of B studies; arguments as of `as_written`."""
    assert isinstance(model, Classifier)
    kept = [number for number, label in enumerate(model.labels) if in_reports(label)]
    labels = tuple(model.labels[number] for number in kept)
    there = model.classify(features, view_mask).cpu().numpy().astype(np.float64)
    return [Seen(labels, row) for row in there[:, kept]]


@torch.no_grad()
def as_written(
    model: StepModel,
    features: Tensor,
    view_mask: Tensor,
    reports: Sequence[Sequence[tuple[int, ...]]],
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Hypotheses of given reports, as if the model had written them, `score` as `log_prob`.

    Args:
        model: anything that implements the protocol.
        features: float [B, 2, C, h, w], one map a view.
        view_mask: bool [B, 2].
        reports: token ids, without BOS and EOS, of K reports of each of the B studies.
        attention: keep the attention of each word.
    """
    longest = max(len(one) for own in reports for one in own) + 1
    eos = model.special.eos
    padded = [[*one, *[eos] * (longest - len(one))] for own in reports for one in own]
    words = torch.tensor(padded, device=features.device)
    rows = torch.arange(len(features), device=features.device).repeat_interleave(len(reports[0]))
    state = select_rows(model.initial_state(features, view_mask), rows)
    read = torch.full_like(rows, model.special.bos)
    log_probs, weights = [], []
    for written in words.unbind(1):
        following, state = model.step(read, state)
        log_probs.append(precise(following).gather(1, written.unsqueeze(1)).squeeze(1))
        if attention and state.attention is not None:
            weights.append(state.attention)
        read = written
    of_words = torch.stack(log_probs, 1).tolist()
    maps = torch.stack(weights, 1).tolist() if weights else [[]] * len(words)
    every = iter(zip(of_words, maps, strict=True))
    return [[_as_hypothesis(one, *next(every)) for one in own] for own in reports]


def _as_hypothesis(
    ids: tuple[int, ...], log_probs: list[float], weights: list[list[float]]
) -> Hypothesis:
    known = tuple(log_probs[: len(ids) + 1])  # those of the words, and of the end
    total = math.fsum(known)
    attention = tuple(map(tuple, weights[: len(ids)]))
    return Hypothesis(ids, total, total, True, known, attention)
