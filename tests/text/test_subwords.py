"""Subwords: byte pairs and word pieces of small tokenizers made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from xray_report.errors import DataError, OptionError, VectorsError, WeightsError
from xray_report.text.subwords import SubwordTokenizer
from xray_report.text.tokenizer import tokenizer_from_plain
from xray_report.text.vectors import load_vectors
from xray_report.tokens import WORD_TOKENS

tokenizers = pytest.importorskip("tokenizers")

REPORTS = [
    "The heart is XXXX normal in size. No pneumothorax or pleural effusion.",
    "Lungs are clear; a nodule of 2.5 cm (left) is stable.",
]
NATURAL = {
    "lower_case": False, "expand_contractions": False, "letters_only": False,
    "drop_short_words": False, "split_full_stops": False, "split_punctuation": True,
}  # fmt: skip


def parting(kind: str) -> Any:
    if kind == "bytes":
        made = tokenizers.Tokenizer(tokenizers.models.BPE())
        made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=300, show_progress=False,
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
    else:
        made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
        made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        made.decoder = tokenizers.decoders.WordPiece()
        trainer = tokenizers.trainers.WordPieceTrainer(
            vocab_size=120, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False
        )
        made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    made.train_from_iterator(REPORTS, trainer)
    made.enable_truncation(5)  # as some published ones have it: must not cut reports
    made.enable_padding(length=128)
    return made


@pytest.fixture(params=["bytes", "pieces"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return written(tmp_path, request.param)


def written(folder: Path, kind: str) -> Path:
    """A folder as transformers saves one, with a vector [2] of each piece: its id, and -1."""
    made = parting(kind)
    made.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text("{}")
    rows = torch.stack([torch.arange(made.get_vocab_size()).float(), -torch.ones(1).expand(
        made.get_vocab_size())], 1)  # fmt: skip
    name = "transformer.wte.weight" if kind == "bytes" else "embeddings.word_embeddings.weight"
    save_file({name: rows.contiguous()}, folder / "model.safetensors")
    return folder


def fit(folder: Path, **options: Any) -> SubwordTokenizer:
    return SubwordTokenizer.fit(REPORTS, folder=str(folder), cleaner=NATURAL, **options)


def test_reports_come_back_as_they_are_written(folder: Path) -> None:
    made = fit(folder)
    for text in REPORTS:
        ids = made.encode(text)
        assert (ids[0], ids[-1]) == (WORD_TOKENS.bos, WORD_TOKENS.eos)
        assert WORD_TOKENS.unknown not in ids
        assert WORD_TOKENS.pad not in ids
        assert made.decode([*ids, 5]) == made.normalise(text)
        assert len(made.pieces(ids)) == len(ids)
    second = made.normalise(REPORTS[1])
    assert second.lower() == "lungs are clear; a nodule of 2.5 cm (left) is stable."
    assert "XXXX" not in made.normalise(REPORTS[0])


def test_it_has_ids_for_what_occurs_alone(folder: Path) -> None:
    made = fit(folder)
    whole = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    assert 20 < len(made) < whole
    assert len(fit(folder, min_count=3)) < len(made)
    unknown = made.encode("Zebra ÿ")
    assert WORD_TOKENS.unknown in unknown
    assert "[UNK]" not in made.words
    with pytest.raises(DataError, match="min_count=99"):
        fit(folder, min_count=99)


def test_a_checkpoint_brings_it_back(folder: Path) -> None:
    made = fit(folder)
    plain = json.loads(json.dumps(made.to_plain()))
    again = tokenizer_from_plain(plain)
    assert again == made
    assert hash(again) == hash(made)
    assert again.encode(REPORTS[1]) == made.encode(REPORTS[1])
    for wrong in (
        {"parting": "{}"}, {"parting": 1}, {"pieces": ["a"]}, {"pieces": [*made.words, "."]},
        {"pieces": [1]}, {"cleaner": {"no": True}},
    ):  # fmt: skip
        with pytest.raises(OptionError):
            tokenizer_from_plain({**plain, **wrong})


def test_vectors_are_joined_by_the_name_of_a_piece(folder: Path) -> None:
    made = fit(folder)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    words = ["" if id in made.special else piece for id, piece in enumerate(made.words)]
    found = load_vectors(folder, words)
    assert found.known.tolist() == [bool(word) for word in words]
    for word, row in zip(words[4:], found.matrix[4:].tolist(), strict=True):
        assert row == [vocabulary[word], -1]
    save_file({"h.0.ln_1.weight": torch.ones(2)}, folder / "model.safetensors")
    with pytest.raises(VectorsError, match="0 tensors called"):
        load_vectors(folder, words)
    (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(VectorsError, match="cannot read the vectors"):
        load_vectors(folder, words)


def test_options_and_files_that_will_not_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"text\.tokenizer\.folder: there is no folder"):
        fit(tmp_path / "none")
    with pytest.raises(WeightsError, match=r"has no config\.json, model"):
        fit(tmp_path)
    written(tmp_path, "bytes")
    with pytest.raises(OptionError, match=r"text\.tokenizer\.lower is no option"):
        fit(tmp_path, lower=True)
    with pytest.raises(OptionError, match="min_count"):
        fit(tmp_path, min_count=0)
    SubwordTokenizer.check_options()  # of a trained one
    with pytest.raises(OptionError, match=r"text\.tokenizer\.folder is not set"):
        SubwordTokenizer.fit(REPORTS)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(OptionError, match="is of no tokenizer"):
        fit(tmp_path)
    with pytest.raises(OptionError, match="outside the vocabulary of"):
        made = fit(written(tmp_path, "bytes"))
        made.decode([len(made)])


MADE = SubwordTokenizer(parting("bytes").to_str(), ("<pad>", "<unk>", "startseq", "endseq"), None)  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(ids=st.lists(st.integers(0, 3), max_size=6))
def test_special_tokens_have_no_text(ids: list[int]) -> None:
    from xray_report.text.cleaning import Cleaner

    MADE.cleaner = Cleaner(**NATURAL)
    assert MADE.decode(ids) == ""
