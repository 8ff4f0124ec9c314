"""The report generator: images or features in, reports out."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from xray_report.errors import OptionError
from xray_report.inference.search import Hypothesis, Search
from xray_report.models.decoders.protocol import StepModel
from xray_report.options import check_count
from xray_report.text.cleaning import split_sentences
from xray_report.text.tokenizer import Tokenizer


class ImageEncoder(Protocol):
    """What the generator needs of an image encoder."""

    @property
    def preprocessing(self) -> Callable[[Tensor], Tensor]:
        """Turns uint8 grey images [N, S, S] into the encoder's input [N, 3, S, S]."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Feature maps [N, C, h, w] of images [N, 3, S, S]."""
        ...


class Report(NamedTuple):
    """The report of one study. A NamedTuple, as `Hypothesis` is.

    Args:
        study_id: of the study.
        text: the best hypothesis as the tokenizer decodes it.
        hypotheses: all that the search returned, best first; only the best keeps its attention.
        pieces: the text of each token of the best hypothesis.
        attention: float [pieces, 2, h, w], weights for each piece where the search keeps them
            (`return_attention`) and the model has attention; or None.
    """

    study_id: str
    text: str
    hypotheses: tuple[Hypothesis, ...]
    pieces: tuple[str, ...] = ()
    attention: Tensor | None = None

    @property
    def readable(self) -> str:
        """The text for people: sentences capitalised and joined."""
        return readable(self.text)


class ReportGenerator:
    """Writes reports with a trained model. Modules are put into evaluation mode.

    Args:
        encoder: images to feature maps; None where only features are given.
        decoder: a decoder or an ensemble.
        tokenizer: of the decoder's tokens.
        search: how to decode; what it needs of the tokenizer is looked up here.
        batch_size: most studies encoded and decoded at once.
        max_length: longest report, tokens with the end counted, where the search names none: a
            checkpoint's `max_tokens`.

    Raises:
        OptionError: a banned or forced word is not in the vocabulary, batch_size is below 1, or
            the search asks of the decoder what it cannot say.
    """

    def __init__(
        self,
        encoder: ImageEncoder | None,
        decoder: StepModel,
        tokenizer: Tokenizer,
        search: Search,
        batch_size: int = 64,
        max_length: int | None = None,
    ) -> None:
        self.encoder, self.decoder, self.tokenizer = encoder, decoder, tokenizer
        self.search = search.resolve(tokenizer.words, max_length, tokenizer.decode)
        self.search.check(decoder)
        self.batch_size = check_count("batch_size", batch_size)
        for module in (encoder, decoder):
            if isinstance(module, nn.Module):
                module.eval()

    def generate(
        self,
        *,
        view_mask: Tensor,
        study_ids: Sequence[str],
        images: Tensor | None = None,
        features: Tensor | None = None,
    ) -> list[Report]:
        """Write the reports of B studies from their images or from their features.

        Args:
            view_mask: bool [B, 2], slot 0 frontal, slot 1 lateral; absent views are never read.
            study_ids: B names.
            images: uint8 grey [B, 2, S, S], or float [B, 2, 3, S, S] as the encoder takes them.
            features: float [B, 2, C, h, w].

        Raises:
            OptionError: both or neither of images and features, sizes that disagree, or a study
                without any view.
        """
        given = self._check(view_mask, study_ids, images, features)
        reports: list[Report] = []
        with torch.inference_mode():
            for start in range(0, len(given), self.batch_size):
                part = slice(start, start + self.batch_size)
                maps = given[part] if images is None else self.encode(given[part], view_mask[part])
                found = self.search(self.decoder, maps, view_mask[part], list(study_ids[part]))
                grid = maps.shape[-2:]
                reports += (
                    self._report(name, ranked, grid)
                    for name, ranked in zip(study_ids[part], found, strict=True)
                )
        return reports

    def encode(self, images: Tensor, view_mask: Tensor) -> Tensor:
        """Features [B, 2, C, h, w] of images as in `generate`; absent views are zero."""
        if self.encoder is None:
            raise OptionError("this generator has no encoder; give features")
        present = view_mask.nonzero(as_tuple=True)
        inputs = images[present]
        if inputs.dtype == torch.uint8:
            inputs = self.encoder.preprocessing(inputs)
        maps = self.encoder(inputs)
        features = maps.new_zeros(*view_mask.shape, *maps.shape[1:])
        features[present] = maps
        return features

    def _check(
        self,
        view_mask: Tensor,
        study_ids: Sequence[str],
        images: Tensor | None,
        features: Tensor | None,
    ) -> Tensor:
        if (images is None) == (features is None):
            raise OptionError("give either images or features")
        given = features if images is None else images
        assert given is not None
        if not len(given) == len(view_mask) == len(study_ids):
            raise OptionError(
                f"{len(given)} studies' images or features, {len(view_mask)} view masks and "
                f"{len(study_ids)} study ids do not match"
            )
        for study_id, seen in zip(study_ids, view_mask.any(1).tolist(), strict=True):
            if not seen:
                raise OptionError(f"study {study_id} has no image")
        return given

    def _report(self, study_id: str, hypotheses: list[Hypothesis], grid: Sequence[int]) -> Report:
        best = hypotheses[0]
        attention = None
        if best.attention:
            attention = torch.tensor(best.attention).view(len(best.attention), -1, *grid)
        text, pieces = self.tokenizer.decode(best.token_ids), self.tokenizer.pieces(best.token_ids)
        # Of hundreds of samples a study the weights would fill the memory.
        others = (one._replace(attention=()) for one in hypotheses[1:])
        return Report(study_id, text, (best, *others), tuple(pieces), attention)


# Decoded text as a person writes it.


def readable(text: str) -> str:
    """Capitalise the sentences of a decoded text, and end each with a full stop.

    "no effusion . heart normal ." becomes "No effusion. Heart normal.", and so does
    "no effusion. heart normal". A text with capitals is left as it is: its model has learnt them.
    """
    if text != text.lower():
        return text
    sentences: list[list[str]] = [[]]
    for word in text.split():
        if kept := word.removesuffix("."):
            sentences[-1].append(kept)
        if kept != word:
            sentences.append([])
    joined = (" ".join(words) for words in sentences if words)
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in joined)


# A report as plain values, for JSON.


def plain_report(report: Report, tokenizer: Tokenizer) -> dict[str, Any]:
    """Study id, readable report with its sentences, and all hypotheses, best first.

    Sentences have a confidence, hypotheses a log-probability a word.
    """
    sentences = sentences_of(report.hypotheses[0], tokenizer)
    return {
        "study_id": report.study_id,
        "report": report.readable,
        "sentences": [one._asdict() for one in sentences],
        "hypotheses": [_plain(one, tokenizer) for one in report.hypotheses],
    }


class Sentence(NamedTuple):
    """A sentence of a report as a person reads it, and its words' mean probability, 0 to 1."""

    text: str
    confidence: float


class Word(NamedTuple):
    """A word of a sentence as a person reads it, and the places of its tokens in the report."""

    text: str
    tokens: tuple[int, ...]


def sentences_of(one: Hypothesis, tokenizer: Tokenizer) -> list[Sentence]:
    """The sentences of a hypothesis; marks alone are no words, and no sentences."""
    return [sentence for sentence, _ in worded_sentences(one, tokenizer)]


def worded_sentences(one: Hypothesis, tokenizer: Tokenizer) -> list[tuple[Sentence, list[Word]]]:
    """The sentences of a hypothesis, each with its words: joined by spaces they are its text."""
    text = tokenizer.decode(one.token_ids)
    whole = text != text.lower()  # as `readable` says
    # Where the words written so far end in the text says which sentence each belongs to.
    reached = [len(tokenizer.decode(one.token_ids[: n + 1])) for n in range(len(one.token_ids))]
    began = [0, *reached]
    pieces = tokenizer.pieces(one.token_ids)
    found, end, place = [], 0, 0
    for sentence in split_sentences(text):
        start, first = text.index(sentence, end), place
        end = start + len(sentence)
        while place < len(pieces) and reached[place] <= end:
            place += 1
        spoken = [at for at in range(first, place) if any(map(str.isalnum, pieces[at]))]
        shown = sentence if whole else readable(sentence)
        if not shown or not spoken:
            continue
        confidence = sum(math.exp(one.word_log_probs[at]) for at in spoken) / len(spoken)
        # `readable` leaves out full stops that stand alone, and nothing else.
        written = (
            (start + word.start(), start + word.end())
            for word in re.finditer(r"\S+", sentence)
            if whole or word[0].removesuffix(".")
        )
        words = [
            Word(word, tuple(at for at in spoken if reached[at] > begin and began[at] < stop))
            for word, (begin, stop) in zip(shown.split(), written, strict=True)
        ]
        found.append((Sentence(shown, confidence), words))
    return found


REPEATS = 3
"""So often a sentence stands in a report that its model is going round in circles."""


def text_warnings(report: Report, tokenizer: Tokenizer) -> dict[str, str]:
    """What is wrong with a report to be seen from itself: kind of warning -> sentence.

    `cut`: the longest report was reached before the model ended it; `repeated`: a sentence stands
    in it three times or more, or a few words do so in a row.
    """
    best, found = report.hypotheses[0], {}
    if not best.finished:
        found["cut"] = (
            f"the report was cut after {len(best.token_ids)} tokens, the longest it may have"
        )
    counts = Counter(one.text for one in sentences_of(best, tokenizer))
    if repeated := [text for text, count in counts.items() if count >= REPEATS]:
        found["repeated"] = f"a sentence stands {counts[repeated[0]]} times: {repeated[0]}"
    elif loop := _loop(report.text.split()):
        found["repeated"] = f"the same words stand {REPEATS} times in a row: {loop}"
    return found


LONGEST_LOOP = 8
"""Most words of a run that is looked for in a row."""


def _loop(words: Sequence[str]) -> str:
    """The first run of words that stands `REPEATS` times in a row, the shortest there; or ""."""
    for start in range(len(words)):
        for size in range(1, LONGEST_LOOP + 1):
            run = list(words[start : start + size])
            if list(words[start : start + size * REPEATS]) == run * REPEATS and len(run) == size:
                return " ".join(run)
    return ""


def _plain(one: Hypothesis, tokenizer: Tokenizer) -> dict[str, Any]:
    text = tokenizer.decode(one.token_ids)
    return {
        "report": readable(text),
        "text": text,
        "score": _finite(one.score),
        "log_prob": _finite(one.log_prob),
        "finished": one.finished,
        "words": _words(tokenizer.pieces(one.token_ids), one.word_log_probs),
        "end_log_prob": _finite(one.word_log_probs[-1]) if one.finished else None,
    }


def _words(words: Sequence[str], log_probs: Sequence[float]) -> list[dict[str, Any]]:
    # The end's log-probability, where there is one, comes after those of the words.
    return [
        {"word": word, "log_prob": _finite(log_prob)}
        for word, log_prob in zip(words, log_probs, strict=False)
    ]


def _finite(value: float) -> float | None:
    """JSON knows no infinity."""
    return value if math.isfinite(value) else None
