"""Subwords as tokens: those of a pretrained language model that occur in the training reports.

A language model has tens of thousands of them, a collection of reports uses some hundreds to
thousands: only these get an id here, so that choosing the next token costs little and no model
writes what no report says. How texts are parted is told by the model's tokenizer.json, the form of
Hugging Face's tokenizers (extra `transformers`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from xray_report.errors import DataError, MissingExtraError, OptionError, one_line
from xray_report.hub import network_folder
from xray_report.options import check_count, check_text
from xray_report.text.cleaning import Cleaner, cleaner_of
from xray_report.text.tokenizer import Tokenizer, register_tokenizer
from xray_report.text.words import SPECIAL_WORDS
from xray_report.tokens import WORD_TOKENS

_PARTED_NUMBER: Final = re.compile(r"(?<=\d) ?([.,:/-]) ?(?=\d)")


@register_tokenizer("subwords")
class SubwordTokenizer(Tokenizer):
    """Subwords of cleaned reports.

    Args:
        parting: content of a tokenizer.json, which parts texts into pieces.
        pieces: those that have an id, in its order, the four special words first.
        cleaner: what is done to a published report before.

    Raises:
        MissingExtraError: tokenizers is not installed.
        OptionError: `parting` is of no tokenizer, or `pieces` are not unique.
    """

    special = WORD_TOKENS

    def __init__(self, parting: str, pieces: Sequence[str], cleaner: Cleaner) -> None:
        self.parting = _parting(parting)
        self.parting.no_truncation()
        self.parting.no_padding()
        self.cleaner, self._pieces = cleaner, tuple(pieces)
        first = len(SPECIAL_WORDS)
        if self._pieces[:first] != SPECIAL_WORDS or len(set(self._pieces)) < len(self._pieces):
            raise OptionError(
                f"pieces must begin with {', '.join(SPECIAL_WORDS)} and hold none twice"
            )
        self._ids = {piece: id for id, piece in enumerate(self._pieces[first:], start=first)}

    @classmethod
    def check_options(
        cls,
        folder: str | None = None,
        min_count: int = 1,
        cleaner: Mapping[str, bool] | None = None,
        **unknown: Any,
    ) -> None:
        """Raise `OptionError` or `WeightsError` for options that `fit` would refuse."""
        if unknown:
            raise OptionError(
                f"text.tokenizer.{min(unknown)} is no option: use folder, min_count and cleaner"
            )
        check_count("text.tokenizer.min_count", min_count)
        cleaner_of({} if cleaner is None else cleaner)
        if folder is not None:  # a trained one needs none
            check_text("text.tokenizer.folder", folder)
            network_folder("text.tokenizer.folder", folder)

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        *,
        folder: str | None = None,
        min_count: int = 1,
        cleaner: Mapping[str, bool] | None = None,
        **unknown: Any,
    ) -> SubwordTokenizer:
        """Part the reports as a pretrained model does, and count the pieces.

        Args:
            texts: reports as published, of the train split.
            folder: the model's, with its tokenizer.json, or its name on the hub.
            min_count: pieces seen fewer times become unknown.
            cleaner: rules of `Cleaner` by name, on or off; those left out as it has them.
            unknown: refused.
        """
        cls.check_options(folder, min_count, cleaner, **unknown)
        if folder is None:
            raise OptionError("text.tokenizer.folder is not set: give a folder with tokenizer.json")
        path = network_folder("text.tokenizer.folder", folder) / "tokenizer.json"
        try:
            parting = path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise OptionError(f"{path} cannot be read ({one_line(error)})") from error
        whole = cls(parting, SPECIAL_WORDS, cleaner_of({} if cleaner is None else cleaner))
        counts = Counter(piece for text in texts for piece in whole._parted(text))
        for word in (*SPECIAL_WORDS, getattr(whole.parting.model, "unk_token", None) or ""):
            counts.pop(word, None)
        kept = [piece for piece, count in counts.items() if count >= min_count]
        if not kept:
            raise DataError(
                f"no subword occurs min_count={min_count} times in the training reports; lower "
                "text.tokenizer.min_count, choose another data.target, or a data set with reports"
            )
        kept.sort(key=lambda piece: (-counts[piece], piece))
        return cls(parting, [*SPECIAL_WORDS, *kept], whole.cleaner)

    @property
    def words(self) -> tuple[str, ...]:
        """All pieces by id, as the model's vocabulary spells them (`Ġlung`, `##ing`)."""
        return self._pieces

    def normalise(self, text: str) -> str:
        """The report cleaned, and put together again from its pieces."""
        return self._joined(self._parted(text))

    def encode(self, text: str) -> list[int]:
        """BOS, the ids of the cleaned report's pieces (UNK for those without one), EOS."""
        unknown = WORD_TOKENS.unknown
        assert unknown is not None
        ids = (self._ids.get(piece, unknown) for piece in self._parted(text))
        return [WORD_TOKENS.bos, *ids, WORD_TOKENS.eos]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the pieces up to the first EOS, special tokens left out.

        Raises `OptionError` if an id is outside the vocabulary.
        """
        pieces = []
        for token in ids:
            if token == WORD_TOKENS.eos:
                break
            if not 0 <= token < len(self._pieces):
                raise OptionError(
                    f"token id {token} is outside the vocabulary of {len(self._pieces)} subwords; "
                    "decode with the vocabulary the model was trained with"
                )
            if token not in WORD_TOKENS:
                pieces.append(self._pieces[token])
        return self._joined(pieces)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The text of each piece by itself."""
        return [
            self._pieces[token] if token in WORD_TOKENS else self._raw([self._pieces[token]])
            for token in ids
        ]

    def to_plain(self) -> dict[str, Any]:
        """{"name": "subwords", "parting": tokenizer.json, "pieces": [...], "cleaner": {...}}."""
        return {
            "name": self.name,
            "parting": self.parting.to_str(),
            "pieces": list(self._pieces),
            "cleaner": asdict(self.cleaner),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> SubwordTokenizer:
        """Inverse of `to_plain`."""
        parting, pieces, cleaner = (plain.get(one) for one in ("parting", "pieces", "cleaner"))
        if not isinstance(parting, str) or not isinstance(pieces, list):
            raise OptionError("a tokenizer of subwords needs its parting, pieces and cleaner")
        if not all(isinstance(piece, str) for piece in pieces):
            raise OptionError("a tokenizer's pieces must be texts")
        return cls(parting, pieces, cleaner_of(cleaner))

    def _parted(self, text: str) -> list[str]:
        cleaned = self.cleaner.join(self.cleaner(text).split())
        pieces: list[str] = self.parting.encode(cleaned, add_special_tokens=False).tokens
        return pieces

    def _raw(self, pieces: list[str]) -> str:
        decoder = self.parting.decoder
        return str(" ".join(pieces) if decoder is None else decoder.decode(pieces))

    def _joined(self, pieces: list[str]) -> str:
        joined = self._raw(pieces)
        if type(self.parting.decoder).__name__ == "WordPiece":  # which loses where spaces were
            joined = _PARTED_NUMBER.sub(r"\1", joined)
        return self.cleaner.join(self.cleaner(joined).split())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SubwordTokenizer) and self.to_plain() == other.to_plain()

    def __hash__(self) -> int:
        return hash((self._pieces, self.cleaner))


def _parting(plain: str) -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtraError(
            "text=subwords needs tokenizers: pip install xray-report[transformers]"
        ) from error
    try:
        return tokenizers.Tokenizer.from_str(plain)
    except Exception as error:  # tokenizers raises no narrower one
        raise OptionError(f"tokenizer.json is of no tokenizer ({one_line(error)})") from error
