"""An encoder, a tokenizer and a decoder made in this file alone train, resume and evaluate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from tests.test_config import composed
from tests.tiny_source import TinySource
from xray_report import assemble
from xray_report.evaluation import run
from xray_report.inference.beam import BeamSearch
from xray_report.inference.checkpoint import load_checkpoint
from xray_report.models.decoders.protocol import (
    DECODERS,
    Decoder,
    DecoderState,
    TeacherForced,
    register_decoder,
)
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.protocol import ENCODERS, Encoder, Preprocessing, register_encoder
from xray_report.models.maps import MapShape
from xray_report.text.tokenizer import TOKENIZERS, Tokenizer, register_tokenizer
from xray_report.tokens import SpecialTokens
from xray_report.training.report_module import ReportModule


class ToyEncoder(Encoder):
    """One convolution; maps of 6 channels on a grid of 3 x 5."""

    channels, grid = 6, (3, 5)

    def __init__(
        self, preprocessing: Preprocessing, source: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(preprocessing, source)
        self.convolution = nn.Conv2d(3, self.channels, 3)

    def forward(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.convolution(images).relu(), self.grid)


class Letters(Tokenizer):
    """A token a letter; its special tokens come last, in an order of their own."""

    letters = "abcdefghijklmnopqrstuvwxyz ."
    special = SpecialTokens(pad=30, unknown=None, bos=29, eos=28)

    @classmethod
    def fit(cls, texts: Iterable[str], **options: Any) -> Letters:
        return cls()

    @property
    def words(self) -> list[str]:
        return [*self.letters, "<end>", "<begin>", "<pad>"]

    def normalise(self, text: str) -> str:
        return "".join(letter for letter in text.lower() if letter in self.letters)

    def encode(self, text: str) -> list[int]:
        inside = [self.letters.index(letter) for letter in self.normalise(text)]
        return [self.special.bos, *inside, self.special.eos]

    def decode(self, ids: Iterable[int]) -> str:
        text = "".join(self.pieces(ids))
        return text.partition("<end>")[0].replace("<begin>", "")

    def to_plain(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Letters:
        return cls()


class ToyDecoder(Decoder):
    """Reads the last token and the mean of the maps; looks everywhere alike."""

    def __init__(
        self, special: SpecialTokens, embedding: WordEmbedding, maps: MapShape, *, size: int = 16
    ) -> None:
        super().__init__(special, embedding, maps)
        self.embedding = embedding
        self.image = nn.Linear(maps.channels, size)
        self.word = nn.Linear(embedding.dimension, size)
        self.vocabulary = nn.Linear(size, embedding.vocabulary_size)

    def _image(self, features: Tensor, view_mask: Tensor) -> Tensor:
        seen = features.float().mean((-2, -1)).masked_fill(~view_mask.unsqueeze(-1), 0.0)
        hidden: Tensor = self.image(seen.mean(1))
        return hidden

    def teacher_forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> TeacherForced:
        words = self.word(self.embedding(tokens[:, :-1]))
        hidden = (words + self._image(features, view_mask).unsqueeze(1)).tanh()
        even = hidden.new_full((*hidden.shape[:2], 2 * self.maps.locations), 1.0)
        return TeacherForced(self.vocabulary(hidden), even / even.shape[-1])

    def feature_parameters(self) -> Iterator[nn.Parameter]:
        return self.image.parameters()

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        image = self._image(features, view_mask)
        return DecoderState((image.new_zeros(len(image), 1),), (image,), None)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        (count,), (image,) = state.rows, state.studies
        words = self.word(self.embedding(tokens)).unflatten(0, (len(image), -1))
        hidden = (words + image.unsqueeze(1)).tanh().flatten(0, 1)
        even = hidden.new_full((len(tokens), 2 * self.maps.locations), 1.0)
        state = DecoderState((count + 1,), (image,), even / even.shape[-1])
        return self.vocabulary(hidden).log_softmax(-1), state


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """The three members, from this file alone."""
    register_encoder("toy")(ToyEncoder)
    register_decoder("toy")(ToyDecoder)
    register_tokenizer("letters")(Letters)
    yield
    del ENCODERS["toy"], DECODERS["toy"], TOKENIZERS["letters"]


def options(folder: Path) -> dict[str, Any]:
    config = composed("train", f"loader.cache_dir={folder / 'cache'}", "loader.workers=0")
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    plain["encoder"] |= {"name": "toy", "weights": "random", "image_size": 40}
    plain["text"] |= {"name": "letters", "tokenizer": {}}
    plain["model"]["architecture"] = {"name": "toy", "size": 24}
    plain["model"]["embedding"] = {"vectors": None, "size": 12, "trainable": True}
    return plain


def trainer(folder: Path, epochs: int) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, num_sanity_val_steps=0,
        callbacks=[pl.callbacks.ModelCheckpoint(folder, filename="toy", save_last=True)],
    )  # fmt: skip


def test_toys_train_resume_evaluate_and_predict(tmp_path: Path) -> None:
    pl.seed_everything(0)
    made = assemble.training(TinySource(), options(tmp_path), "cpu")
    module = made.module
    assert isinstance(module, ReportModule)
    before = module.model.decoder.vocabulary.weight.clone()
    trainer(tmp_path / "first", 2).fit(module, made.datamodule)
    assert not torch.equal(before, module.model.decoder.vocabulary.weight)  # type: ignore[arg-type]

    again = assemble.training(TinySource(), options(tmp_path), "cpu")
    resumed = trainer(tmp_path / "second", 3)
    resumed.fit(again.module, again.datamodule, ckpt_path=tmp_path / "first" / "last.ckpt")
    assert (resumed.current_epoch, resumed.global_step) == (3, 3)
    assert resumed.callback_metrics["val/loss"] < 4.0

    path = tmp_path / "second" / "last.ckpt"
    checkpoint = load_checkpoint(path)
    assert isinstance(checkpoint.model.encoder, ToyEncoder)
    assert checkpoint.tokenizer.words == Letters().words
    chosen = run.EvaluationOptions(
        cache_dir=str(tmp_path / "cache"), device="cpu", workers=0, resamples=20
    )
    data = run.data_of(checkpoint, TinySource(), chosen)
    search = BeamSearch(beam_width=3, max_length=30, return_attention=True)
    written = run.module_of([checkpoint], search)
    tester = run.evaluation_trainer(chosen)
    decoded = run.decode(tester, written, data, chosen)
    assert len(decoded.reports) == 4
    for report in decoded.reports:
        assert set(report.text) <= set(Letters.letters)
        assert report.attention is not None
        assert report.attention.shape == (len(report.pieces), 2, 3, 5)
    assert "clean/bleu4" in run.score(decoded, data, chosen)

    predicted = tester.predict(ReportModule.load_from_checkpoint(path), datamodule=data)
    assert predicted is not None
    texts = {report.study_id: report.text for batch in predicted for report in batch}
    assert texts.keys() == {report.study_id for report in decoded.reports}
