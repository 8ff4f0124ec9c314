"""Report text to the tokens a model learns, and from tokens to text with the right spaces.

The six rules of the original project, and two more for text that people can read. Which are on is
said by conf/text: `original` (the six), `readable` and `natural`.

Every rule but the tidying of marks looks at one whitespace-separated token at a time, and reports
repeat few tokens, so each distinct token is cleaned once and remembered.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from itertools import chain
from typing import Final

from xray_report.errors import OptionError
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

# For text with its punctuation. What stands for a taken word goes with the hyphens that tied it to
# others ("x-XXXX" was "x-ray"); MIMIC-CXR writes underscores.
_TAKEN: Final = re.compile(
    rf"(?:(?<!{_LETTER})x-)?[-/]*(?:x{{3,}}|(?<!{_LETTER})xx(?!{_LETTER})|__+)[-/]*", re.IGNORECASE
)
_STRAIGHT: Final = str.maketrans("“”„‟–—−⁄", '""""---/')
_PARTING: Final = re.compile(r"(?<!\d)[-/]|[-/](?!\d)")
_LOOSE_APOSTROPHE: Final = re.compile(rf"(?<!{_LETTER})'|'(?!{_LETTER})")
_PLAIN_MARKS: Final = frozenset(".,;:?!%'-/")
# Initials, a title, a word or number with the marks inside it; or else one mark.
_PIECE: Final = re.compile(
    rf"(?<!{_LETTER}){_LETTER}(?:\.{_LETTER})+(?!{_LETTER})\.?"
    rf"|(?<!{_LETTER})(?:dr|mr|mrs|ms|prof|vs|cf|approx)\.(?!{_LETTER})"
    r"|(?:(?<![\w.])\.(?=\d))?(?:\d+(?:[.,:]\d+)*|[^\s\d.,;:?!%()\[\]{}\"])+"
    r"|\S",
    re.IGNORECASE,
)
_MARK_IN_BRACKET: Final = re.compile(r"(?<!\S)([(\[{]) [.,;:?!](?!\S)")
_EMPTY_BRACKETS: Final = re.compile(r"(?<!\S)(?:\( \)|\[ \]|\{ \})(?:\s|\Z)")
_RUN_OF_MARKS: Final = re.compile(r"(?<!\S)[.,;:?!](?: [.,;:?!])+(?!\S)")
_LEADING_MARK: Final = re.compile(r"\A[.,;:?!](?: |\Z)")

_CLOSING: Final = frozenset(".,;:?!%)]}")
_OPENING: Final = frozenset("([{")
_QUOTE: Final = '"'


@dataclass(frozen=True)
class Cleaner:
    """Turns a report into tokens with one space between them; the six rules are the default.

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
            beginning goes. Dots of initials ("e.g.") and titles ("Dr.") are not full stops,
            and go.
        simple_punctuation: of all marks . , ; : ? ! % stay. A number keeps those inside it ("2.5",
            "3-4", "10/12"), a word its apostrophes; hyphens and slashes part words, brackets and
            quotes vanish.
        split_punctuation: every mark is a token of its own, but for those inside words and numbers
            and the dots of initials and titles; `join` puts the spaces back. Of marks in a row one
            stays; one at the beginning, and brackets around nothing, go.

    The last two are off unless asked for: a tokenizer that was saved without them has not had them.
    """

    lower_case: bool = True
    expand_contractions: bool = True
    letters_only: bool = True
    drop_short_words: bool = True
    drop_deidentified: bool = True
    split_full_stops: bool = True
    simple_punctuation: bool = False
    split_punctuation: bool = False

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
        return _tidied(cleaned) if self.split_punctuation else cleaned

    def join(self, tokens: Iterable[str]) -> str:
        """Text of tokens: "2.5 cm, clear." where marks were split off, else spaces between all."""
        return _with_spaces(tokens) if self.split_punctuation else " ".join(tokens)


def cleaner_of(rules: object) -> Cleaner:
    """The cleaner with these rules. Raises `OptionError` for one that is none, or no switch."""
    if not isinstance(rules, Mapping):
        raise OptionError(f"text.tokenizer.cleaner must be rules by name, got {rules!r}")
    known = [field.name for field in fields(Cleaner)]
    for rule in rules:
        if rule not in known:
            raise OptionError(f"text.tokenizer.cleaner.{rule} is no rule: use {', '.join(known)}")
    return Cleaner(**rules)


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
        token = (_TAKEN if rules.split_punctuation else _DEIDENTIFIED).sub(" ", token)
    if rules.split_full_stops:
        token = _INITIALS.sub(lambda match: match[0].replace(".", ""), token)
        token = _TITLES.sub(r"\1", token)
    if rules.letters_only:
        token = _letters_only(token)
    if rules.simple_punctuation or rules.split_punctuation:
        token = _MARKUP.sub(" ", token.translate(_STRAIGHT))
    if rules.simple_punctuation:
        token = _simple_punctuation(token)
    if rules.split_full_stops:
        token = _FULL_STOP.sub(" . ", token)
    words = _PIECE.findall(token) if rules.split_punctuation else token.split()
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


def _simple_punctuation(token: str) -> str:
    token = _LOOSE_APOSTROPHE.sub("", _PARTING.sub(" ", token))
    return "".join(_kept_or_plain(character) for character in token)


def _kept_or_plain(character: str) -> str:
    if character.isalnum() or character in _PLAIN_MARKS:
        return character
    return "" if unicodedata.category(character) in ("Mn", "Cf") else " "


# Marks as tokens: tidied where words between them went, and back at their places.


def _tidied(tokens: str) -> str:
    before = ""
    while before != tokens:
        before = tokens
        tokens = _MARK_IN_BRACKET.sub(r"\1", _RUN_OF_MARKS.sub(_strongest, tokens))
        tokens = _EMPTY_BRACKETS.sub("", tokens).rstrip()
    return _LEADING_MARK.sub("", tokens)


def _strongest(run: re.Match[str]) -> str:
    """The full stop of a run of marks, if there is one, else its first."""
    return "." if "." in run[0] else run[0][0]


def _with_spaces(tokens: Iterable[str]) -> str:
    """No space before a closing mark, none after an opening one; quotes open and close in turn."""
    parts: list[str] = []
    opened, quoted = True, False
    for token in tokens:
        closing = token in _CLOSING or (token == _QUOTE and quoted)
        parts.append(token if opened or closing else f" {token}")
        opened = token in _OPENING or (token == _QUOTE and not quoted)
        quoted ^= token == _QUOTE
    return "".join(parts)


def split_sentences(text: str) -> list[str]:
    """The sentences of a report, as written."""
    return [sentence for sentence in re.split(r"(?<=[.!?])\s+", text.strip()) if sentence]


# A report that is not there: the one rule for every reader of tables and files.

PLACEHOLDERS: Final = frozenset(("nan", "-nan", "none", "null", "na", "n/a", "#na", "#n/a", "<na>"))
"""What programs write for a missing value, in lower case: no report consists of such a word."""


def is_placeholder(text: str) -> bool:
    """Whether a text is what a program wrote for a missing value, such as "nan" or "None".

    White space around it and its case do not matter. "None." with its full stop is a report.
    """
    return text.strip().lower() in PLACEHOLDERS


def text_or_none(text: str | None) -> str | None:
    """`text` as it stands; None if it is empty, white space, or a placeholder."""
    if text is None or not text.strip() or is_placeholder(text):
        return None
    return text
