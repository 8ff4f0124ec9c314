"""From studies to examples: which text a study is trained on, and the words of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from xray_report.data.dataset import Example
from xray_report.data.study import Split, Study
from xray_report.data.target import TARGETS, report_text
from xray_report.errors import DataError, OptionError
from xray_report.options import check_choice, check_count
from xray_report.text.cleaning import Cleaner
from xray_report.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class TextOptions:
    """How reports become word sequences.

    Args:
        target: section to write, as the source says, or the checkpoint that is evaluated.
        min_count: words seen fewer times in train become unknown.
        max_words: longer reports are cut in training; references are never cut.
        cleaner: the cleaning rules.
    """

    target: str = "findings"
    min_count: int = 1
    max_words: int = 100
    cleaner: Cleaner = field(default_factory=Cleaner)

    def __post_init__(self) -> None:
        check_choice("data.target", self.target, TARGETS)
        check_count("text.max_words", self.max_words, 1)
        check_count("text.min_count", self.min_count, 1)


def with_text(studies: Sequence[Study], options: TextOptions) -> list[Study]:
    """Studies whose target section has at least one word after cleaning."""
    return [study for study in studies if options.cleaner(report_text(study, options.target) or "")]


def build_vocabulary(studies: Sequence[Study], options: TextOptions) -> Vocabulary:
    """Vocabulary of the training reports alone. Raises `DataError` if there are none."""
    texts = [
        options.cleaner(report_text(study, options.target) or "")
        for study in studies
        if study.split == "train"
    ]
    if not any(texts):
        raise DataError(
            f"no training study has {options.target} text to build a vocabulary from; "
            "choose another data.target, or a data set that has reports"
        )
    return Vocabulary.build(texts, options.min_count)


def make_examples(
    studies: Sequence[Study], split: Split, options: TextOptions, vocabulary: Vocabulary
) -> list[Example]:
    """Examples of one split, in the order of `studies`; rows count within the split."""
    chosen = [study for study in studies if study.split == split]
    return [_example(study, row, options, vocabulary) for row, study in enumerate(chosen)]


def _example(study: Study, row: int, options: TextOptions, vocabulary: Vocabulary) -> Example:
    reference = report_text(study, options.target) or ""
    words = options.cleaner(reference).split()[: options.max_words]
    return Example(study, row, tuple(vocabulary.encode(" ".join(words))), reference)


def exchanged(examples: Sequence[Example]) -> list[Example]:
    """Each example with the images of the one half the list away: none keeps its own.

    Raises `OptionError` for a single example, which has no one to exchange with.
    """
    if len(examples) < 2:
        raise OptionError("loader.images=exchanged needs two training studies or more")
    half = len(examples) // 2
    rows = [example.row for example in examples]
    return [
        replace(one, row=row) for one, row in zip(examples, rows[half:] + rows[:half], strict=True)
    ]
