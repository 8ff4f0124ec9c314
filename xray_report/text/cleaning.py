"""Report text to the words a model learns: the six rules of the original project.

Every rule but the joining of full stops looks at one whitespace-separated token at a time, and
reports repeat few tokens, so each distinct token is cleaned once and remembered.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import chain
from typing import Final

from xray_report.options import check_flag

_LETTER: Final = r"[^\W\d_]"
_QUOTES: Final = str.maketrans(dict.fromkeys("’‘‛ʼ`´′", "'"))

_CONTRACTIONS: Final = tuple(
    (re.compile(rf"(?<!{_LETTER}){pattern}(?!{_LETTER})", re.IGNORECASE), expansion)
    for pattern, expansion in (
        ("won't", "will not"),
        # Reports write "cannot", so that is what "can't" becomes.
        ("can't", "cannot"),
        ("shan't", "shall not"),
        # Left to the other rules, "w/o nodule" would lose its negation.
        ("w/o", "without"),
        ("let's", "let us"),
        (rf"({_LETTER}+)n't", r"\1 not"),
        (rf"({_LETTER}+)'re", r"\1 are"),
        (rf"({_LETTER}+)'ve", r"\1 have"),
        (rf"({_LETTER}+)'ll", r"\1 will"),
        (rf"({_LETTER}+)'d", r"\1 would"),
        ("i'm", "i am"),
        # Any other 's is a possessive, not "is".
        (r"(it|he|she|that|this|there|here|what|where|who|how)'s", r"\1 is"),
    )
)
# No English word holds three x in a row; two may ("Exxon"), so they must stand alone.
_DEIDENTIFIED: Final = re.compile(rf"x{{3,}}|(?<!{_LETTER})xx(?!{_LETTER})", re.IGNORECASE)
_INITIALS: Final = re.compile(rf"(?<!{_LETTER}){_LETTER}(?:\.{_LETTER})+(?!{_LETTER})\.?")
_TITLES: Final = re.compile(
    rf"(?<!{_LETTER})(dr|mr|mrs|ms|prof|vs|cf|approx)\.(?!{_LETTER})", re.IGNORECASE
)
# The dot of "1.5" and of ".5" belongs to the number, the dot of "clear.2" does not.
_NUMBER: Final = re.compile(rf"(?:(?<!{_LETTER})\.)?\d+(?:[.,:/]\d+)*")
_FULL_STOP: Final = re.compile(rf"\.(?!\d)|(?<={_LETTER})\.")
_MARKUP: Final = re.compile(r"</?[a-z]{1,6}/?>|&(?:[a-z]+|#\d+);", re.IGNORECASE)
_POSSESSIVE: Final = re.compile(rf"(?<={_LETTER})'s(?!{_LETTER})", re.IGNORECASE)
_SHORT: Final = re.compile(rf"{_LETTER}{{1,2}}")

_REPEATED_STOPS: Final = re.compile(r"(?<!\S)\.(?: \.)+(?!\S)")
_LEADING_STOP: Final = re.compile(r"\A\.(?: |\Z)")


@dataclass(frozen=True)
class Cleaner:
    """Turns a report into words and full stops with one space between them.

    Idempotent under every combination of its rules. Before any rule, unicode is brought to NFKC
    and curly apostrophes are made straight; white space always becomes single spaces.

    Args:
        lower_case: "Heart" becomes "heart".
        expand_contractions: "isn't" becomes "is not"; a possessive 's is no contraction.
        letters_only: digits and all punctuation but the full stop go. A number goes with the
            marks inside it, so that "1.5 cm" makes no sentence break; hyphens and slashes part
            words ("well-expanded" is two); apostrophes and a possessive 's vanish.
        drop_short_words: words of one or two letters go, except "no".
        drop_deidentified: runs of X, which stand for what was taken out of a published report,
            go; "pneumothorax" and "thorax" stay whole.
        split_full_stops: a full stop is a token of its own; repeated ones become one, one at the
            beginning goes. Dots of initials ("e.g.") and titles ("Dr.") are not full stops.
    """

    lower_case: bool = True
    expand_contractions: bool = True
    letters_only: bool = True
    drop_short_words: bool = True
    drop_deidentified: bool = True
    split_full_stops: bool = True

    def __post_init__(self) -> None:
        for rule, on in asdict(self).items():
            check_flag(f"text.tokenizer.cleaner.{rule}", on)

    def __call__(self, text: str) -> str:
        """Clean one report; the result may be empty."""
        clean_token = _token_cleaner(self)
        cleaned = " ".join(chain.from_iterable(map(clean_token, text.split())))
        if self.split_full_stops:
            cleaned = _REPEATED_STOPS.sub(".", cleaned)
            cleaned = _LEADING_STOP.sub("", cleaned)
        return cleaned


@lru_cache(maxsize=16)
def _token_cleaner(rules: Cleaner) -> Callable[[str], tuple[str, ...]]:
    """Return a function from a raw token to its cleaned tokens, with a bounded memory."""

    @lru_cache(maxsize=1 << 16)
    def clean_token(token: str) -> tuple[str, ...]:
        pending: tuple[str, ...] = (token,)
        # What one rule leaves may be another's business: repeat until nothing changes.
        while True:
            settled = tuple(chain.from_iterable(_apply(rules, word) for word in pending))
            if settled == pending:
                return settled
            pending = settled

    return clean_token


def _apply(rules: Cleaner, token: str) -> list[str]:
    """Apply the rules to one token, once."""
    token = unicodedata.normalize("NFKC", token.translate(_QUOTES))
    if rules.lower_case:
        token = token.lower()
    if rules.expand_contractions:
        for pattern, expansion in _CONTRACTIONS:
            token = pattern.sub(expansion, token)
    if rules.drop_deidentified:
        token = _DEIDENTIFIED.sub(" ", token)
    if rules.split_full_stops:
        token = _INITIALS.sub(lambda match: match[0].replace(".", ""), token)
        token = _TITLES.sub(r"\1", token)
    if rules.letters_only:
        token = _letters_only(token)
    if rules.split_full_stops:
        token = _FULL_STOP.sub(" . ", token)
    words = token.split()
    if rules.drop_short_words:
        words = [word for word in words if word.lower() == "no" or not _SHORT.fullmatch(word)]
    return words


def _letters_only(token: str) -> str:
    token = _NUMBER.sub(" ", _MARKUP.sub(" ", token))
    token = _POSSESSIVE.sub("", token)
    return "".join(_kept(character) for character in token)


def _kept(character: str) -> str:
    if character.isalpha() or character == ".":
        return character
    # Apostrophes, accents on their own, soft hyphens and zero-width marks stand inside words.
    joins = character == "'" or unicodedata.category(character) in ("Mn", "Cf")
    return "" if joins else " "
