"""The BLEU protocols: what each does to a text before counting, and the scores under it."""

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

_REMEMBERED = 1 << 16
UNKNOWN = "<unk>"

_R2GEN_LIST_NUMBERS = (
    ("1. ", ""),
    *((f". {number}. ", ". ") for number in range(2, 6)),
    *((f" {number}. ", ". ") for number in range(2, 6)),
)
# Their pattern holds the range ":-[", which takes : ; < = > ? @ but leaves the hyphen standing.
_R2GEN_PUNCTUATION = re.compile(r"<unk>|[.,?;*!%^&_+():<=>@\[\]{}\"'/\\]")

_PTB_TOKEN = re.compile(
    r"(?:[a-z]\.){2,}|\b(?:dr|mr|mrs|ms|ct|vs|st)\.|<\w+>|can(?=not\b)|(?<=\bcan)not\b"
    r"|\w+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|\w+(?:[-./:]\w+)*|[^\s\w.,;:?!'\"`{}-]"
)
# Lower-casing turns -LRB- into -lrb-, which COCO's list of punctuation to drop does not hold.
_PTB_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-"}


@lru_cache(maxsize=_REMEMBERED)
def clean(text: str) -> str:
    """Words and full stops as the package's models learn them (`Cleaner` with its defaults)."""
    return Cleaner()(text)


@lru_cache(maxsize=_REMEMBERED)
def clean_words(text: str) -> str:
    """As `clean`, without the full stops: the form the Keras project scored."""
    return " ".join(word for word in clean(text).split() if word != ".")


@lru_cache(maxsize=_REMEMBERED)
def r2gen(text: str) -> str:
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
def sacrebleu_13a(text: str) -> str:
    """Lower-cased and split by sacrebleu's own 13a tokenizer."""
    return " ".join(str(_tokenizer_13a().tokenizer(text.lower().rstrip())).split())


@lru_cache(maxsize=1)
def _tokenizer_13a() -> BLEU:
    return BLEU(tokenize="13a")


@lru_cache(maxsize=_REMEMBERED)
def ptb(text: str) -> str:
    """Lower-cased Penn-Treebank tokens without punctuation, as COCO's evaluation makes them.

    Imitates its Java tokenizer: "n't" and 's are tokens, hyphenated words and decimals stay whole,
    brackets become -lrb- and -rrb-. R2Gen's 2,955 reports of IU X-ray all come out the same.
    """
    tokens = _PTB_TOKEN.findall(text.lower())
    return " ".join(_PTB_BRACKETS.get(token, token) for token in tokens)


def known_words(train_texts: Sequence[str], min_count: int) -> frozenset[str]:
    """Words that stand at least `min_count` times in already prepared training texts."""
    counts = Counter(word for text in train_texts for word in text.split())
    return frozenset(word for word, times in counts.items() if times >= min_count)


def cut(text: str, max_words: int | None, known: frozenset[str] | None) -> str:
    """The first `max_words` tokens, those not in `known` replaced by `<unk>`; None leaves out."""
    words = text.split()[:max_words]
    if known is not None:
        words = [word if word in known else UNKNOWN for word in words]
    return " ".join(words)


# ------------------------------------------------------------------------------
# Named ways of scoring: the same texts score .06 to .18 by how they are prepared.
#
# Every number this package prints carries the name of one of these as the prefix of its key.


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
    clean,
)
R2GEN = Protocol(
    "r2gen",
    "R2Gen's cleaning; references cut to 59 words, words below 3 occurrences in train unknown",
    r2gen,
    max_reference_words=59,
    min_train_count=3,
)
SACREBLEU = Protocol(
    "sacrebleu",
    f"raw references; {bleu_signature(tokenize='13a', lowercase=True)}",
    sacrebleu_13a,
)
ORIGINAL = Protocol(
    "original",
    "the Keras project's: mean of sentence BLEUs, full stops dropped, weights .33 in BLEU-3",
    clean_words,
    sentence_means=True,
)
PTB = Protocol("ptb", "COCO-style lower-case tokens without punctuation, untruncated", ptb)
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
        known = known_words(prepared, protocol.min_train_count)
    left = [protocol.prepare(text) for text in hypotheses]
    right = [protocol.prepare(text) for text in references]
    return left, [cut(text, protocol.max_reference_words, known) for text in right]


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
