"""Consensus decoding: of several candidates the one that agrees best with all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from torch import Tensor

from xray_report.errors import OptionError
from xray_report.inference.beam import BeamSearch
from xray_report.inference.sampling import SampleSearch
from xray_report.inference.search import Hypothesis, SearchOptions, ToText
from xray_report.metrics.agreement import UTILITIES, agreement
from xray_report.metrics.protocols import clean_tokens
from xray_report.models.decoders.protocol import StepModel
from xray_report.options import check_choice, check_count, check_known, check_number

CANDIDATES = ("samples", "beam")


@dataclass(frozen=True, kw_only=True)
class ConsensusSearch(SearchOptions):
    """Minimum Bayes risk: candidates ranked by their mean utility against all candidates.

    Kumar and Byrne 2004, equation 2, with the expectation taken over samples of the model, each
    counted as often as it was drawn (Eikema and Aziz 2020, section 5; Bertsch et al. 2023), or
    over the hypotheses of a beam, all alike. Utilities compare texts: the decoded ones, prepared
    as the protocol `clean` does.

    All candidates are returned. Their `score` is that mean, 0..1, the candidate itself among
    those it is held against, and what `length_reward` adds; equals stay in the order of their
    log-probability. As in every search a finished report goes before an unfinished one.

    Args:
        candidates: "samples", or "beam" for the hypotheses of a beam search.
        n_candidates: samples a study, or the width of the beam; costs as much as that search.
        temperature: of samples, as the three below; see `SampleSearch`.
        top_k: of samples.
        top_p: of samples.
        seed: of samples.
        utility: one of `UTILITIES`, or several with their weights.
        findings_beta: how many times as much recall as precision counts in the utilities findings
            and facts: above 1 the reports named first say more of them, below 1 fewer.
        length_reward: times the logarithm of a candidate's words over the mean of all candidates'
            is added to its mean utility, so that of two that agree alike the longer goes first.
            What agrees with all says least: without it reports are shorter than the references.
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
    to_text: ToText | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("candidates", self.candidates, CANDIDATES)
        check_count("n_candidates", self.n_candidates)
        check_number("findings_beta", self.findings_beta, above=0.0)
        check_number("length_reward", self.length_reward, least=0.0)
        if not any(self.weights.values()):
            raise OptionError(f"utility: give one of {', '.join(UTILITIES)} a weight above 0")
        self.source()

    @property
    def weights(self) -> dict[str, float]:
        """Weights of utilities. Raises `OptionError` for an unknown one or a negative weight."""
        given = {self.utility: 1.0} if isinstance(self.utility, str) else self.utility
        check_known("utility", given, UTILITIES)
        return {
            name: check_number(f"utility.{name}", weight, least=0.0)
            for name, weight in given.items()
        }

    def source(self) -> SampleSearch | BeamSearch:
        """The search that finds the candidates. Raises `OptionError` for what it refuses."""
        common = {one.name: getattr(self, one.name) for one in fields(SearchOptions)}
        sampling = {name: getattr(self, name) for name in ("temperature", "top_k", "top_p", "seed")}
        samples = SampleSearch(**common, **sampling, n_samples=self.n_candidates)
        if self.candidates == "samples":
            return samples
        for one in fields(self):
            if one.name in sampling and sampling[one.name] != one.default:
                raise OptionError(f"{one.name} is of candidates=samples: leave it {one.default}")
        return BeamSearch(**common, beam_width=self.n_candidates, n_best=self.n_candidates)

    def resolve(
        self, words: Sequence[str], max_length: int | None = None, to_text: ToText | None = None
    ) -> ConsensusSearch:
        """As `SearchOptions.resolve`, and with the texts of token ids."""
        resolved = super().resolve(words, max_length)
        return resolved if to_text is None else replace(resolved, to_text=to_text)

    def __call__(
        self,
        model: StepModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return all candidates of each of the B studies; arguments as in `Search`."""
        if self.to_text is None:
            raise OptionError(
                "consensus compares texts: use search.resolve(words, max_length, tokenizer.decode)"
            )
        found = self.source()(model, features, view_mask, study_ids)
        return [self._ranked(candidates, self.to_text) for candidates in found]

    def _ranked(self, candidates: Sequence[Hypothesis], to_text: ToText) -> list[Hypothesis]:
        texts = [clean_tokens(to_text(one.token_ids)) for one in candidates]
        # In an order of their own, so that sums do not depend on the order they were found in.
        drawn = dict(sorted(Counter(texts).items()))
        against = agreement(list(drawn), self.weights, self.findings_beta)
        times = np.array([*drawn.values()], dtype=np.float64)
        means = against @ times / len(texts)
        if self.length_reward:
            # An empty text counts as one word, whose logarithm is still a number.
            words = np.array([max(1, len(text.split())) for text in drawn])
            means += self.length_reward * np.log(words * len(texts) / (words @ times))
        score = dict(zip(drawn, means.tolist(), strict=True))
        ranked = [
            one._replace(score=score[text]) for one, text in zip(candidates, texts, strict=True)
        ]
        return sorted(ranked, key=lambda one: (one.finished, one.score), reverse=True)
