"""What each protocol does to a text before counting: always to tokens with single spaces."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from sacrebleu.metrics.bleu import BLEU

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
