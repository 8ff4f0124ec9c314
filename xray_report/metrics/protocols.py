"""Named ways of scoring: the same texts score .06 to .18 by how they are prepared.

Every number this package prints carries the name of one of these as the prefix of its key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xray_report.errors import OptionError
from xray_report.metrics import preparation
from xray_report.metrics.bleu import (
    BLEU_KEYS,
    bleu_rows,
    bleu_signature,
    bleu_values,
    sentence_bleu,
)
from xray_report.metrics.cider import cider_rows
from xray_report.metrics.ngrams import count_pairs
from xray_report.metrics.pairs import check_pairs
from xray_report.metrics.rouge import rouge_l
from xray_report.metrics.study_scores import Floats, StudyScores


@dataclass(frozen=True)
class Protocol:
    """How both sides are prepared and what is computed.

    Args:
        name: prefix of the keys.
        summary: one line for people.
        prepare: raw text -> tokens with single spaces; applied to both sides.
        max_reference_words: references are cut to this many tokens; None keeps them whole.
        min_train_count: reference words rarer than this in the training reports become unknown;
            0 keeps all words and needs no training reports.
        sentence_means: BLEU as the mean of sentence BLEUs instead of the corpus BLEU, and
            neither ROUGE-L nor CIDEr.
    """

    name: str
    summary: str
    prepare: Callable[[str], str]
    max_reference_words: int | None = None
    min_train_count: int = 0
    sentence_means: bool = False

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores that this protocol computes."""
        return BLEU_KEYS if self.sentence_means else (*BLEU_KEYS, "rouge_l", "cider")

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of those scores, `<name>/<score>`."""
        return tuple(f"{self.name}/{score}" for score in self.scores)


CLEAN = Protocol(
    "clean",
    "corpus scores on cleaned, untruncated references; full stop a token; no unknown words",
    preparation.clean,
)
R2GEN = Protocol(
    "r2gen",
    "R2Gen's cleaning; references cut to 59 words, words below 3 occurrences in train unknown",
    preparation.r2gen,
    max_reference_words=59,
    min_train_count=3,
)
SACREBLEU = Protocol(
    "sacrebleu",
    f"raw references; {bleu_signature(tokenize='13a', lowercase=True)}",
    preparation.sacrebleu_13a,
)
ORIGINAL = Protocol(
    "original",
    "the Keras project's: mean of sentence BLEUs, full stops dropped, weights .33 in BLEU-3",
    preparation.clean_words,
    sentence_means=True,
)
PTB = Protocol(
    "ptb", "COCO-style lower-case tokens without punctuation, untruncated", preparation.ptb
)
PROTOCOLS = {protocol.name: protocol for protocol in (CLEAN, R2GEN, SACREBLEU, ORIGINAL, PTB)}


def protocols_by_name(names: Sequence[str]) -> list[Protocol]:
    """The protocols with these names. Raises `OptionError` for an unknown one."""
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise OptionError(f"unknown protocol {unknown[0]!r}; choose from {', '.join(PROTOCOLS)}")
    return [PROTOCOLS[name] for name in names]


def usable_protocols(train_texts: Sequence[str] | None) -> list[Protocol]:
    """All protocols that can be computed: `r2gen` only where training reports are given."""
    return [p for p in PROTOCOLS.values() if train_texts or not p.min_train_count]


def prepare_pairs(
    protocol: Protocol,
    hypotheses: Sequence[str],
    references: Sequence[str],
    train_texts: Sequence[str] | None = None,
) -> tuple[list[str], list[str]]:
    """Both sides as the protocol sees them.

    Raises:
        DataError: the lists differ in length.
        OptionError: the protocol needs training reports and none are given.
    """
    check_pairs(hypotheses, references)
    known = None
    if protocol.min_train_count:
        if not train_texts:
            raise OptionError(
                f"protocol {protocol.name} needs the training reports to know which words are rare"
            )
        prepared = [protocol.prepare(text) for text in train_texts]
        known = preparation.known_words(prepared, protocol.min_train_count)
    left = [protocol.prepare(text) for text in hypotheses]
    right = [protocol.prepare(text) for text in references]
    return left, [preparation.cut(text, protocol.max_reference_words, known) for text in right]


def study_scores(
    protocol: Protocol,
    hypotheses: Sequence[str],
    references: Sequence[str],
    train_texts: Sequence[str] | None = None,
) -> StudyScores:
    """Per-study statistics of all scores of one protocol. Raises as `prepare_pairs`."""
    left, right = prepare_pairs(protocol, hypotheses, references, train_texts)
    counts = count_pairs(left, right)
    bleu = bleu_rows(counts)
    if protocol.sentence_means:
        return StudyScores(protocol.keys, sentence_bleu(bleu))
    others = np.stack([rouge_l(left, right), cider_rows(counts)], axis=-1)
    return StudyScores(protocol.keys, np.concatenate([bleu, others], axis=-1), _combine)


def _combine(means: Floats) -> Floats:
    return np.concatenate([bleu_values(means[..., :-2]), means[..., -2:]], axis=-1)


def score(
    hypotheses: Sequence[str],
    references: Sequence[str],
    protocols: Sequence[Protocol] | None = None,
    train_texts: Sequence[str] | None = None,
) -> dict[str, float]:
    """Scores under the given protocols (all usable ones by default), as `clean/bleu4` -> value.

    BLEU and ROUGE-L are fractions 0..1, CIDEr is 0..10. Raises as `prepare_pairs`.
    """
    chosen = usable_protocols(train_texts) if protocols is None else protocols
    scores: dict[str, float] = {}
    for protocol in chosen:
        scores |= study_scores(protocol, hypotheses, references, train_texts).corpus()
    return scores
