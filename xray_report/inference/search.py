"""What every search shares.

In order: what a search returns and how it is called, the options that all of them have, length
penalties, constraints on words, and the back-pointers that lead from steps to whole reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from xray_report.errors import OptionError
from xray_report.models.decoders.protocol import StepModel
from xray_report.options import as_tuple, check_choice, check_count, check_number
from xray_report.tokens import SpecialTokens

ToText = Callable[[Sequence[int]], str]
"""The text of token ids, as `Tokenizer.decode` gives it."""


class Hypothesis(NamedTuple):
    """One decoded report. A NamedTuple, since Lightning takes predictions apart and together.

    Args:
        token_ids: the words, without BOS and without EOS.
        log_prob: sum of the log-probabilities of the words (and of EOS where finished).
        score: what the search ranks by (length-normalised log_prob, or a utility).
        finished: whether the model ended the report itself.
        word_log_probs: log-probability of each word, and of EOS last where finished.
        attention: weights [words][L] of each word, or () for models without attention.
    """

    token_ids: tuple[int, ...]
    log_prob: float
    score: float
    finished: bool
    word_log_probs: tuple[float, ...] = ()
    attention: tuple[tuple[float, ...], ...] = ()


class Search(Protocol):
    """Greedy, beam and every other search: features in, ranked hypotheses out."""

    def __call__(
        self,
        model: StepModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return, for each study, its hypotheses, best first and at least one.

        Args:
            model: anything that implements the protocol.
            features: float [B, 2, C, h, w], one map a view.
            view_mask: bool [B, 2].
            study_ids: B names; only a random search reads them, to draw for a study the same
                numbers in whatever batch it stands.
        """
        ...

    def resolve(
        self, words: Sequence[str], max_length: int | None = None, to_text: ToText | None = None
    ) -> Search:
        """This search with what it leaves to the model: ids of its words, the longest report.

        Args:
            words: the vocabulary, `words[id]`.
            max_length: of a report, tokens with the end counted, where the search names none.
            to_text: of the tokenizer, for a search that compares texts.
        """
        ...

    def check(self, model: StepModel) -> None:
        """Raise `OptionError` where the search asks of `model` what it cannot say."""
        ...


Options = TypeVar("Options", bound="SearchOptions")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What may be asked of any search.

    Args:
        max_length: longest report in tokens, the end token counted; a report that has not ended
            by then is returned unfinished. None leaves it to the model, and `resolve` fills it in.
        min_length: fewest words before a report may end.
        no_repeat_ngram: no run of this many words occurs twice in a report; 0 allows all.
        repetition_penalty: log-probabilities of words already written are multiplied by it
            (Keskar et al. 2019, CTRL, section 4.1, on log-probabilities); 1 is off.
        banned_words: words never written.
        forced_words: words every finished report contains: a report cannot end before they are
            in it, and where it would end or run out of room the best missing one comes next.
        return_attention: keep the attention of each word; costs memory, not time.
        banned_ids: token ids of `banned_words`; filled in by `resolve`.
        forced_ids: token ids of `forced_words`; filled in by `resolve`.

    Raises:
        OptionError: a value is out of range; the message names the option.
    """

    max_length: int | None = None
    min_length: int = 0
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    banned_words: tuple[str, ...] = ()
    forced_words: tuple[str, ...] = ()
    return_attention: bool = False
    banned_ids: tuple[int, ...] = ()
    forced_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("banned_words", "forced_words", "banned_ids", "forced_ids"):
            object.__setattr__(self, name, as_tuple(name, getattr(self, name)))
        if self.max_length is not None:
            check_count("max_length", self.max_length)
        check_count("min_length", self.min_length, least=0)
        check_count("no_repeat_ngram", self.no_repeat_ngram, least=0)
        check_number("repetition_penalty", self.repetition_penalty, above=0.0)
        if self.max_length is not None and self.min_length >= self.max_length:
            raise OptionError(
                f"min_length must be below max_length ({self.max_length}), got {self.min_length}"
            )
        self._check_words()

    def _check_words(self) -> None:
        forced = max(len(self.forced_words), len(self.forced_ids))
        if self.max_length is not None and forced >= self.max_length:
            raise OptionError(
                f"forced_words must be fewer than max_length ({self.max_length}), got {forced}"
            )
        both = set(self.banned_words) & set(self.forced_words)
        if both:
            raise OptionError(f"{min(both)!r} is both in banned_words and in forced_words")

    @property
    def longest(self) -> int:
        """`max_length`. Raises `OptionError` where nobody has said it."""
        if self.max_length is None:
            raise OptionError(
                "max_length is not set: give it, or take the model's by "
                "search.resolve(words, max_length)"
            )
        return self.max_length

    def resolve(
        self: Options,
        words: Sequence[str],
        max_length: int | None = None,
        to_text: ToText | None = None,
    ) -> Options:
        """This search with the ids of its banned and forced words, and a longest report.

        Args:
            words: the vocabulary, `words[id]`.
            max_length: the model's, for a search that names none.
            to_text: not needed by a search that reads token ids alone.

        Raises:
            OptionError: a banned or forced word is not among `words`, or does not fit the length.
        """
        ids = {word: index for index, word in enumerate(words)}
        return replace(
            self,
            max_length=max_length if self.max_length is None else self.max_length,
            banned_ids=look_up("banned_words", self.banned_words, ids) or self.banned_ids,
            forced_ids=look_up("forced_words", self.forced_words, ids) or self.forced_ids,
        )

    def check(self, model: StepModel) -> None:
        """Nothing: any model writes words."""

    def check_ids(self, special: SpecialTokens) -> None:
        """Raise OptionError where words were not looked up, or are special tokens."""
        resolved = len(self.banned_ids) >= len(self.banned_words)
        if not (resolved and len(self.forced_ids) >= len(self.forced_words)):
            raise OptionError(
                "banned_words and forced_words need a vocabulary: use search.resolve(words)"
            )
        if special.eos in self.banned_ids or {special.eos, *special.never_generated} & set(
            self.forced_ids
        ):
            raise OptionError("banned_words and forced_words must not be special tokens")

    @property
    def needs_history(self) -> bool:
        """Whether a constraint depends on the words already written."""
        return bool(self.no_repeat_ngram or self.repetition_penalty != 1 or self.forced_ids)


def look_up(name: str, words: Sequence[str], ids: dict[str, int]) -> tuple[int, ...]:
    """Token ids of `words`; OptionError where the vocabulary lacks one."""
    for word in words:
        if word not in ids:
            raise OptionError(
                f"{name}: {word!r} is not among the {len(ids)} words of the vocabulary"
            )
    return tuple(ids[word] for word in words)


# Length penalties: what a sum of log-probabilities is worth at a length.

KINDS = ("normalised", "gnmt")
STRONGEST = 10.0
"""Largest exponent of either sign: with more, float32 cannot hold the divisor of a long report."""


@dataclass(frozen=True)
class LengthPenalty:
    """score = log_prob / divisor; length counts the words, and the end token where finished.

    Args:
        alpha: 0 ranks by log_prob, 1 (normalised) by the mean of a word; above 0 favours long
            reports, below 0 short ones; -10 to 10.
        kind: "normalised", divisor = length ** alpha; "gnmt", divisor =
            ((5 + length) / 6) ** alpha (Wu et al. 2016, equation 14).
    """

    alpha: float = 1.0
    kind: str = "normalised"

    def __post_init__(self) -> None:
        check_number("length_penalty", self.alpha, least=-STRONGEST, most=STRONGEST)
        check_choice("length_penalty_kind", self.kind, KINDS)

    def score(self, sums: Tensor, length: Tensor | int) -> Tensor:
        """Scores of summed log-probabilities at `length` (at least 1; one, or one for each)."""
        base = length if self.kind == "normalised" else (5.0 + length) / 6.0
        return torch.as_tensor(sums / base ** float(self.alpha))

    def best_possible(self, sums: Tensor, length: int, max_length: int) -> Tensor:
        """Upper bound of the scores that open hypotheses of `length` tokens can still reach.

        A sum can only fall from here, so the bound keeps it and takes the best length left. The
        divisor is monotone in the length, hence the best is the next length or the last.
        """
        following = min(length + 1, max_length)
        return torch.maximum(self.score(sums, following), self.score(sums, max_length))


# What a report may not, and must, contain: the same rules for every search.
#
# The functions change `candidates` in place: float [N, V], the worth of each next word of each row,
# which is `base` [N, 1] (the row's sum so far, or 0) plus the word's log-probability [N, V]. A
# forbidden word is worth -inf. `history` is int64 [N, t], the words written so far.


class Constraints:
    """The rules of `options`, ready to be applied at every step on `device`.

    Raises:
        OptionError: a banned or forced word is a special token, or was not looked up.
    """

    def __init__(
        self, options: SearchOptions, special: SpecialTokens, device: torch.device
    ) -> None:
        options.check_ids(special)
        self.options, self.eos = options, special.eos
        never = (*special.never_generated, *options.banned_ids)
        self._never = torch.tensor(never, dtype=torch.long, device=device)
        self._forced = torch.tensor(options.forced_ids, dtype=torch.long, device=device)

    def apply(
        self, candidates: Tensor, log_probs: Tensor, base: Tensor, history: Tensor | None, step: int
    ) -> None:
        """Apply all rules to the candidates for word `step` (from 0).

        Where the rules leave a row no word at all, its report may end.
        """
        options = self.options
        if history is not None and options.repetition_penalty != 1.0 and step > 0:
            penalise_repetition(candidates, log_probs, base, history, options.repetition_penalty)
        candidates.index_fill_(1, self._never, -math.inf)
        if history is not None and options.no_repeat_ngram:
            block_ngrams(candidates, history, options.no_repeat_ngram)
        if step < options.min_length:
            candidates[:, self.eos].fill_(-math.inf)
        if history is not None and options.forced_ids:
            force_words(candidates, history, options.longest - step, self._forced, self.eos)
        if options.needs_history or options.banned_ids:
            release_stuck(candidates, log_probs, base, self.eos)


def penalise_repetition(
    candidates: Tensor, log_probs: Tensor, base: Tensor, history: Tensor, penalty: float
) -> None:
    """Multiply the log-probabilities of words already written by `penalty`."""
    # Assignment, so that a word written twice is penalised once.
    candidates.scatter_(1, history, base + penalty * log_probs.gather(1, history))


def block_ngrams(candidates: Tensor, history: Tensor, size: int) -> None:
    """Forbid the words that would write a run of `size` words a second time."""
    written = history.shape[1]
    if written < size:
        return
    followers = history[:, size - 1 :]
    if size == 1:
        candidates.scatter_(1, followers, -math.inf)
        return
    windows = history.unfold(1, size - 1, 1)[:, :-1]
    repeats = (windows == history[:, None, written - size + 1 :]).all(-1)
    # Adding 0 or -inf lets one follower stand at several places of the history.
    blocked = torch.zeros_like(repeats, dtype=candidates.dtype).masked_fill_(repeats, -math.inf)
    candidates.scatter_add_(1, followers, blocked)


def force_words(candidates: Tensor, history: Tensor, room: int, forced: Tensor, eos: int) -> None:
    """Leave only missing words of `forced` (int64 [F]) where the report would end or run out.

    While one is missing it cannot end. `room` is the tokens left, this one and the end counted.
    """
    missing = ~(history.unsqueeze(-1) == forced).any(1)
    count = missing.sum(1)
    must = (count > 0) & ((candidates.argmax(1) == eos) | (count + 1 >= room))
    worth = candidates[:, forced].masked_fill(~missing, -math.inf)
    candidates[:, eos] = candidates[:, eos].masked_fill(count > 0, -math.inf)
    candidates.masked_fill_(must.unsqueeze(1), -math.inf)
    candidates[:, forced] = torch.where(must.unsqueeze(1), worth, candidates[:, forced])


def release_stuck(candidates: Tensor, log_probs: Tensor, base: Tensor, eos: int) -> None:
    """Let a report end whose every continuation is forbidden."""
    stuck = candidates.amax(1) == -math.inf
    ending = base.squeeze(1) + log_probs[:, eos]
    candidates[:, eos] = torch.where(stuck, ending, candidates[:, eos])


# The steps a search took, and the way back through them to whole hypotheses.

CHECK_EVERY = 4
"""Steps between two checks which studies have finished: each check waits for the device."""


class Endings(NamedTuple):
    """Where hypotheses end; all tensors [M].

    Args:
        study: index of the study among the B that the search began with.
        place: place of the hypothesis among the K of its study, at its last step.
        length: tokens, the end token counted.
        score: what the search ranks by.
        finished: bool, whether the model ended it.
    """

    study: Tensor
    place: Tensor
    length: Tensor
    score: Tensor
    finished: Tensor


class Step(NamedTuple):
    """One step of a search over the studies still in the batch, in K places each.

    Args:
        parents: int64 [B', K], place in the step before that each word follows; None: its own.
        words: int64 [B', K].
        log_probs: float [B', K] of the words.
        attention: float [B', K before, L] with which the words were chosen, or None.
        position: int64 [B], row of each study in the tensors above, -1 once it has left.
    """

    parents: Tensor | None
    words: Tensor
    log_probs: Tensor
    attention: Tensor | None
    position: Tensor


class Backpointers:
    """The steps of a search over `studies` (int) studies, each word pointing at the one before.

    Nothing of the past is copied at a step; hypotheses are read off at the end, last word first.
    """

    def __init__(self, studies: int, device: torch.device) -> None:
        self.steps: list[Step] = []
        self.studies = torch.arange(studies, device=device)
        self.position = self.studies

    def append(
        self, parents: Tensor | None, words: Tensor, log_probs: Tensor, attention: Tensor | None
    ) -> None:
        """Add a step; shapes as in `Step`."""
        self.steps.append(Step(parents, words, log_probs, attention, self.position))

    def keep(self, rows: Tensor) -> None:
        """Only `rows` (int64 [B'']) of the present studies remain from here on."""
        self.studies = self.studies[rows]
        position = torch.full_like(self.position, -1)
        position[self.studies] = torch.arange(len(rows), device=rows.device)
        self.position = position

    def hypotheses(self, endings: Endings, n_best: int) -> list[list[Hypothesis]]:
        """The hypotheses of each study that end so, finished before unfinished, best first."""
        ranked: list[list[Hypothesis]] = [[] for _ in range(len(self.position))]
        for study, hypothesis in zip(endings.study.tolist(), self._trace(endings), strict=True):
            ranked[study].append(hypothesis)
        # A model that gives every continuation probability 0 still gets its empty report.
        nothing = [Hypothesis((), -math.inf, -math.inf, finished=False)]
        return [
            sorted(found, key=lambda one: (one.finished, one.score), reverse=True)[:n_best]
            or nothing
            for found in ranked
        ]

    def _trace(self, endings: Endings) -> Iterator[Hypothesis]:
        words, log_probs, attention = self._walk_back(endings)
        maps = attention.tolist() if attention is not None else [()] * len(words)
        columns = (words, log_probs, endings.length, endings.score, endings.finished)
        for ids, logs, length, score, finished, weights in zip(
            *(column.tolist() for column in columns), maps, strict=True
        ):
            count = length - 1 if finished else length
            yield Hypothesis(
                token_ids=tuple(ids[:count]),
                log_prob=math.fsum(logs[:length]),
                score=score,
                finished=finished,
                word_log_probs=tuple(logs[:length]),
                attention=tuple(tuple(row) for row in weights[:count]),
            )

    def _walk_back(self, endings: Endings) -> tuple[Tensor, Tensor, Tensor | None]:
        words, log_probs, attention = [], [], []
        place = endings.place
        for index, step in reversed(list(enumerate(self.steps))):
            row = step.position[endings.study].clamp(min=0)
            words.append(step.words[row, place])
            log_probs.append(step.log_probs[row, place])
            parent = place if step.parents is None else step.parents[row, place]
            if step.attention is not None:
                attention.append(step.attention[row, parent.clamp(max=step.attention.shape[1] - 1)])
            place = torch.where(index < endings.length, parent, place)
        maps = torch.stack(attention[::-1], 1) if attention else None
        return torch.stack(words[::-1], 1), torch.stack(log_probs[::-1], 1), maps


def best_endings(
    steps: Backpointers, ended: list[Tensor], open_scores: Tensor, n_best: int
) -> Endings:
    """The `n_best` best finished and the `n_best` best unfinished hypotheses of each study.

    Args:
        steps: the steps of the search.
        ended: for each step scores [B', K] of hypotheses that ended there, -inf elsewhere.
        open_scores: [B', K] of those still open after the last step, -inf elsewhere.
        n_best: at most so many of either kind are returned.
    """
    table = torch.stack(
        [_of_all(scores, step.position) for scores, step in zip(ended, steps.steps, strict=True)], 1
    )
    left_open = _of_all(open_scores, steps.position).unsqueeze(1)
    finished, unfinished = _top(table, n_best, True), _top(left_open, n_best, False)
    joined = Endings(*(torch.cat(pair) for pair in zip(finished, unfinished, strict=True)))
    return joined._replace(length=torch.where(joined.finished, joined.length, len(ended)))


def _of_all(scores: Tensor, position: Tensor) -> Tensor:
    """Scores [B', K] of present studies as [B, K] of all, -inf for those that have left."""
    absent = (position < 0).unsqueeze(1)
    return scores[position.clamp(min=0)].masked_fill(absent, -math.inf)


def _top(table: Tensor, n_best: int, finished: bool) -> Endings:
    studies, _, places = table.shape
    flat = table.flatten(1)
    scores, index = flat.topk(min(n_best, flat.shape[1]), dim=1)
    study = torch.arange(studies, device=table.device).unsqueeze(1).expand_as(index)
    real = scores > -math.inf
    index, scores, study = index[real], scores[real], study[real]
    return Endings(
        study, index % places, index // places + 1, scores, torch.full_like(study, finished).bool()
    )


def worth_leaving(staying: int, present: int) -> bool:
    """Whether enough studies have finished to pay for copying what those that stay attend to."""
    return staying <= 0.9 * present


def precise(log_probs: Tensor) -> Tensor:
    """`log_probs` in at least float32: half precision is too coarse to add up."""
    return log_probs.float() if log_probs.element_size() < 4 else log_probs
