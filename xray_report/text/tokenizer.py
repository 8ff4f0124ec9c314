"""The tokenizer protocol: report text to the token ids that a model reads and writes, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from xray_report.errors import OptionError
from xray_report.tokens import SpecialTokens


class Tokenizer(ABC):
    """Report text <-> token ids. A subclass registers itself with `register_tokenizer`.

    Attributes:
        name: what `register_tokenizer`, configuration and checkpoints call it.
        special: its special tokens.
    """

    name: ClassVar[str]
    special: SpecialTokens

    @classmethod  # noqa: B027
    def check_options(cls, **options: Any) -> None:
        """Raise `OptionError` for options that `fit` would refuse, before any text is read."""

    @classmethod
    @abstractmethod
    def fit(cls, texts: Iterable[str], **options: Any) -> Tokenizer:
        """A tokenizer for these reports, as published: those of the train split alone.

        Args:
            texts: reports.
            options: the tokenizer's own, as `conf/text/NAME.yaml` lists them.

        Raises:
            OptionError: an option is out of range or unknown.
            DataError: the texts leave no token.
        """

    @property
    @abstractmethod
    def words(self) -> Sequence[str]:
        """The text of every token by id; its length V is the size of the vocabulary."""

    @abstractmethod
    def normalise(self, text: str) -> str:
        """A published report as this tokenizer writes it, no token being unknown to it."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """BOS, the ids of a published report's tokens, EOS."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids` up to the first EOS, special tokens left out.

        Raises `OptionError` if an id is outside the vocabulary.
        """

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The text of each token by itself, as attention pictures are captioned."""
        return [self.words[token] for token in ids]

    @abstractmethod
    def to_plain(self) -> dict[str, Any]:
        """Plain types that a checkpoint carries; `tokenizer_from_plain` is the inverse."""

    @classmethod
    @abstractmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Tokenizer:
        """Inverse of `to_plain`. Raises `OptionError` if `plain` is malformed."""

    def __len__(self) -> int:
        return len(self.words)


TOKENIZERS: dict[str, type[Tokenizer]] = {}
"""Tokenizers by name."""

SomeTokenizer = TypeVar("SomeTokenizer", bound=type[Tokenizer])


def register_tokenizer(name: str) -> Callable[[SomeTokenizer], SomeTokenizer]:
    """Class decorator: make a tokenizer known as `name`."""

    def register(tokenizer: SomeTokenizer) -> SomeTokenizer:
        if name in TOKENIZERS:
            raise OptionError(f"a tokenizer {name!r} is registered already: {TOKENIZERS[name]}")
        tokenizer.name = name
        TOKENIZERS[name] = tokenizer
        return tokenizer

    return register


def tokenizer_named(name: str) -> type[Tokenizer]:
    """The tokenizer class of that name. Raises `OptionError` if there is none."""
    if name not in TOKENIZERS:
        raise OptionError(f"text.name must be one of {', '.join(sorted(TOKENIZERS))}, got {name!r}")
    return TOKENIZERS[name]


def tokenizer_from_plain(plain: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that `Tokenizer.to_plain` described. Raises `OptionError`."""
    return tokenizer_named(str(plain.get("name"))).from_plain(plain)
