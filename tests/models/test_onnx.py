"""The model card's lines of numpy and onnxruntime write what the model writes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.commands.console import failure, run
from tests.inference.checkpoints import WORDS
from tests.models.decoders.small import ATTENTION, TRANSFORMER
from xray_report.api import PhantomDataset
from xray_report.errors import OptionError
from xray_report.inference.checkpoint import load_checkpoint, longest_report
from xray_report.inference.generator import ReportGenerator
from xray_report.inference.greedy import GreedySearch
from xray_report.models.decoders.build import build_decoder
from xray_report.models.decoders.guided import EvidenceDecoder, GuidedDecoder
from xray_report.models.decoders.protocol import Decoder
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.protocol import Encoder, Preprocessing
from xray_report.models.onnx import FILES, USE, compare_onnx, onnx_files, write_onnx
from xray_report.models.report_model import ReportModel
from xray_report.text.words import Vocabulary, WordTokenizer

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")

TOKENIZER = WordTokenizer(Vocabulary(WORDS))
SIZE, LONGEST = 32, 17


class SmallEncoder(Encoder):
    name = "small"

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__(preprocessing)
        self.patches = nn.Conv2d(3, 6, 8, stride=8)
        self.channels, self.grid = self.measure()

    def forward(self, images: Tensor) -> Tensor:
        return self.patches(images).relu()


def small_model(
    architecture: dict[str, Any],
    labels: int = 0,
    seed: int = 13,
    shown: bool = False,
    **options: Any,
) -> ReportModel:
    """Of random weights that write reports of different length."""
    torch.manual_seed(seed)
    encoder = SmallEncoder(Preprocessing(size=SIZE, **options))
    embedding = WordEmbedding(len(WORDS), 8)
    maps = encoder.map_shape
    names = [f"label {number}" for number in range(labels)]
    told, seen = ([], names) if shown else (names, [])
    decoder = build_decoder(architecture, TOKENIZER.special, embedding, maps, told, seen)
    with torch.no_grad():
        for part in (*encoder.parameters(), *decoder.parameters()):
            part.mul_(3)
    if isinstance(decoder, EvidenceDecoder):
        decoder.detector.weight.normal_(std=3)
        decoder.detector.bias.zero_()
    if isinstance(decoder, GuidedDecoder):
        decoder.verdicts.load(torch.randn(labels, maps.channels), torch.zeros(labels))
    return ReportModel(encoder, decoder).eval().requires_grad_(False)


def studies(count: int) -> tuple[Tensor, Tensor]:
    """Noise, with views missing."""
    drawn = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (count, 2, SIZE, SIZE), dtype=torch.uint8, generator=drawn)
    images = (images * torch.rand(count, 2, 1, 1, generator=drawn)).byte()
    view_mask = torch.tensor([[True, True], [True, False], [False, True]]).repeat(count, 1)[:count]
    return images, view_mask


def written_there(
    folder: Path, images: Tensor, view_mask: Tensor, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What the lines of the model card write, run in the folder."""
    monkeypatch.chdir(folder)
    _, code = (folder / "README.md").read_text().split("```python\nimport json\n")
    lines: dict[str, Any] = {}
    exec("import json\n" + code.partition("```")[0], lines)
    found: list[str] = lines["write"](images.numpy(), view_mask.numpy())
    return found


def written_here(
    model: ReportModel, tokenizer: Any, longest: int, images: Tensor, view_mask: Tensor
) -> list[str]:
    """What the package's greedy search writes."""
    search = GreedySearch(max_length=longest)
    generator = ReportGenerator(model.encoder, model.decoder, tokenizer, search)
    names = [str(number) for number in range(len(images))]
    found = generator.generate(images=images, view_mask=view_mask, study_ids=names)
    eos = tokenizer.special.eos
    tokens = [[one for one in report.hypotheses[0].token_ids if one != eos] for report in found]
    return [" ".join(tokenizer.words[one] for one in ids) for ids in tokens]


@pytest.mark.parametrize(
    ("architecture", "labels", "shown"),
    [
        ({"name": "attention", **ATTENTION, "pooled": "every_step"}, 2, False),
        pytest.param(
            {"name": "encoder_decoder", "rnn_size": 10, "dense_size": 9},
            0,
            False,
            marks=pytest.mark.slow,
        ),
        ({"name": "transformer", **TRANSFORMER, "layers": 1, "tied": False}, 8, True),
    ],
    ids=["attention, guided", "encoder_decoder", "transformer, shown evidence"],
)
def test_the_lines_of_the_card_write_what_greedy_search_writes(
    architecture: dict[str, Any],
    labels: int,
    shown: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = small_model(architecture, labels, seed=14 if shown else 13, shown=shown)
    files = onnx_files(model, TOKENIZER.words, LONGEST)
    write_onnx(tmp_path, files)
    (tmp_path / "README.md").write_text(f"```python\n{USE}```")
    images, view_mask = studies(12)
    here = written_here(model, TOKENIZER, LONGEST, images, view_mask)
    assert len(set(here)) > 3
    assert len({len(one.split()) for one in here}) > 1, here
    assert written_there(tmp_path, images, view_mask, monkeypatch) == here
    assert written_there(tmp_path, images[1:2], view_mask[1:2], monkeypatch) == here[1:2]
    about = json.loads((tmp_path / "onnx.json").read_text())
    assert about["longest"] == LONGEST
    assert about["models"]["encoder.onnx"]["inputs"] == {
        "images": {"type": "uint8", "shape": ["batch", SIZE, SIZE]}
    }
    assert about["models"]["step.onnx"]["outputs"]["log_probs"] == {
        "type": "float32", "shape": ["batch", len(WORDS)],
    }  # fmt: skip
    compare_onnx(files, model, images.flatten(0, 1), view_mask)
    for part in model.decoder.parameters():
        part.mul_(2)
    with pytest.raises(OptionError, match="does not run as they do"):
        compare_onnx(files, model, images.flatten(0, 1), view_mask)


def test_a_decoder_that_fixes_the_number_of_studies_is_named() -> None:
    torch.manual_seed(0)
    encoder = SmallEncoder(Preprocessing(size=SIZE))
    embedding = WordEmbedding(len(WORDS), 8)
    decoder: Decoder = build_decoder(
        {"name": "mean_of_words"}, TOKENIZER.special, embedding, encoder.map_shape
    )
    with pytest.raises(OptionError, match=r"--onnx: the decoder MeanOfWords.*shape\[0\]"):
        onnx_files(ReportModel(encoder, decoder).eval(), TOKENIZER.words, LONGEST)


def test_another_models_files_do_not_stay(tmp_path: Path) -> None:
    write_onnx(tmp_path, dict.fromkeys(FILES, b"old"))
    assert {one.name for one in tmp_path.iterdir()} == set(FILES)
    write_onnx(tmp_path, {})
    assert not list(tmp_path.iterdir())


def test_without_its_packages_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    said = failure("export", "phantom", tmp_path / "model", "--onnx")
    assert re.search(r"--onnx needs onnxscript: .*xray-report\[onnx\]", said)
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_the_bundled_model_writes_the_same_fifty_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("export", "phantom", tmp_path / "model", "--onnx")
    assert result.exit_code == 0, result.output
    assert [line.split(" ")[0] for line in result.output.splitlines()] == [
        "phantom", "encoder.onnx,", "scores",
    ]  # fmt: skip
    checkpoint = load_checkpoint("phantom")
    data = PhantomDataset("test", train=1, val=1, test=50, seed=8)
    images = torch.stack([one.images for one in data])
    view_mask = torch.stack([one.view_mask for one in data])
    here = written_here(
        checkpoint.model, checkpoint.tokenizer, longest_report([checkpoint]), images, view_mask
    )
    assert len(here) == 50
    assert len(set(here)) > 20
    assert written_there(tmp_path / "model", images, view_mask, monkeypatch) == here
