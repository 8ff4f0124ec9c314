"""The BLEU protocols: how texts are prepared before n-grams are counted, and the scores that gives.

The same texts score .06 to .18 by how they are prepared, so every number this package prints
carries the name of its protocol as the prefix of its key.

A protocol prepares both sides in the same way, whatever text (conf/text) a model was trained to
write. `clean` and `original` put both through the original project's six rules, so that neither
short words, numbers nor commas count, and models of every text compare. `r2gen`, `ptb` and
`sacrebleu` keep short words and numbers on both sides: a model of text=original, which has never
seen any, loses there what it cannot write.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from sacrebleu.metrics.bleu import BLEU

from xray_report.errors import OptionError
from xray_report.metrics.bleu import (
    BLEU_KEYS,
    bleu_rows,
    bleu_signature,
    bleu_values,
    count_pairs,
    sentence_bleu,
)
from xray_report.metrics.cider import cider_rows
from xray_report.metrics.rouge import rouge_l
from xray_report.metrics.study_scores import Floats, StudyScores, check_pairs
from xray_report.text.cleaning import Cleaner

# From a raw text to the tokens of a protocol, with single spaces between them.

_REMEMBERED = 1 << 16
_CLEANER = Cleaner()  # making one takes longer than cleaning a report
UNKNOWN = "<unk>"


@lru_cache(maxsize=_REMEMBERED)
def clean_tokens(text: str) -> str:
    """Words and full stops by the original project's six rules (`Cleaner` with its defaults)."""
    return _CLEANER(text)


@lru_cache(maxsize=_REMEMBERED)
def original_tokens(text: str) -> str:
    """As `clean_tokens`, without the full stops: the form the Keras project scored."""
    return " ".join(word for word in clean_tokens(text).split() if word != ".")


_R2GEN_LIST_NUMBERS = (
    ("1. ", ""),
    *((f". {number}. ", ". ") for number in range(2, 6)),
    *((f" {number}. ", ". ") for number in range(2, 6)),
)
# R2Gen's pattern holds the range ":-[", which takes : ; < = > ? @ but leaves the hyphen standing.
_R2GEN_PUNCTUATION = re.compile(r"<unk>|[.,?;*!%^&_+():<=>@\[\]{}\"'/\\]")


@lru_cache(maxsize=_REMEMBERED)
def r2gen_tokens(text: str) -> str:
    """R2Gen's cleaning of IU X-ray reports (Chen et al. 2020, `clean_report_iu_xray`).

    Lower case; runs of up to eight full stops become one; the list numbers "1. " .. "5. " go;
    sentences end in " ."; most punctuation goes, hyphens and digits stay. `<unk>` is kept, since
    its models may write it. An empty text stays empty.
    """
    for _ in range(3):
        text = text.replace("..", ".")
    for number, replacement in _R2GEN_LIST_NUMBERS:
        text = text.replace(number, replacement)
    sentences = text.strip().lower().split(". ")
    kept = [_R2GEN_PUNCTUATION.sub(_keep_unknown, sentence) for sentence in sentences]
    tokens = " . ".join(kept).split()
    return " ".join([*tokens, "."]) if tokens else ""


def _keep_unknown(match: re.Match[str]) -> str:
    return UNKNOWN if match[0] == UNKNOWN else ""


@lru_cache(maxsize=_REMEMBERED)
def sacrebleu_tokens(text: str) -> str:
    """Lower-cased and split by sacrebleu's own 13a tokenizer."""
    return " ".join(str(_tokenizer_13a().tokenizer(text.lower().rstrip())).split())


@lru_cache(maxsize=1)
def _tokenizer_13a() -> BLEU:
    return BLEU(tokenize="13a")


_PTB_TOKEN = re.compile(
    r"(?:[a-z]\.){2,}|\b(?:dr|mr|mrs|ms|ct|vs|st)\.|<\w+>|can(?=not\b)|(?<=\bcan)not\b"
    r"|\w+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|\w+(?:[-./:]\w+)*|[^\s\w.,;:?!'\"`{}-]"
)
# Lower-casing turns -LRB- into -lrb-, which COCO's list of punctuation to drop does not hold.
_PTB_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-"}


@lru_cache(maxsize=_REMEMBERED)
def ptb_tokens(text: str) -> str:
    """Lower-cased Penn-Treebank tokens without punctuation, as COCO's evaluation makes them.

    Imitates its Java tokenizer: "n't" and 's are tokens, hyphenated words and decimals stay whole,
    brackets become -lrb- and -rrb-. R2Gen's 2,955 reports of IU X-ray all come out the same.
    """
    tokens = _PTB_TOKEN.findall(text.lower())
    return " ".join(_PTB_BRACKETS.get(token, token) for token in tokens)


# The protocols.


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
    "corpus scores, both sides by the six rules; untruncated references; full stop a token",
    clean_tokens,
)
R2GEN = Protocol(
    "r2gen",
    "R2Gen's cleaning; references cut to 59 words, words below 3 occurrences in train unknown",
    r2gen_tokens,
    max_reference_words=59,
    min_train_count=3,
)
SACREBLEU = Protocol(
    "sacrebleu",
    f"raw references; {bleu_signature(tokenize='13a', lowercase=True)}",
    sacrebleu_tokens,
)
ORIGINAL = Protocol(
    "original",
    "the Keras project's: mean of sentence BLEUs, full stops dropped, weights .33 in BLEU-3",
    original_tokens,
    sentence_means=True,
)
PTB = Protocol("ptb", "COCO-style lower-case tokens without punctuation, untruncated", ptb_tokens)
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


# Scores under a protocol.


def protocol_scores(
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
        scores |= protocol_study_scores(protocol, hypotheses, references, train_texts).corpus()
    return scores


def protocol_study_scores(
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


def prepare_pairs(
    protocol: Protocol,
    hypotheses: Sequence[str],
    references: Sequence[str],
    train_texts: Sequence[str] | None = None,
) -> tuple[list[str], list[str]]:
    """Hypotheses and references as tokens of the protocol.

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
        counts = Counter(word for text in train_texts for word in protocol.prepare(text).split())
        known = {word for word, times in counts.items() if times >= protocol.min_train_count}
    left = [protocol.prepare(text) for text in hypotheses]
    right = [protocol.prepare(text) for text in references]
    return left, [_cut(text, protocol.max_reference_words, known) for text in right]


def _cut(text: str, max_words: int | None, known: set[str] | None) -> str:
    """The first `max_words` tokens, those not in `known` as `<unk>`; None leaves either out."""
    words = text.split()[:max_words]
    if known is not None:
        words = [word if word in known else UNKNOWN for word in words]
    return " ".join(words)
