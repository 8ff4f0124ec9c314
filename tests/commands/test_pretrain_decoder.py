"""`xray-report pretrain-decoder`: the folder it writes is a GPT-2 of transformers, and trains."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from typer.testing import CliRunner

from xray_report import assemble
from xray_report.cli import app
from xray_report.errors import OptionError, OutputError, WeightsError
from xray_report.evaluation import run
from xray_report.inference.beam import BeamSearch
from xray_report.inference.checkpoint import load_checkpoint

transformers = pytest.importorskip("transformers")

from tests.tiny_source import TinySource  # noqa: E402
from tests.training.test_options import options  # noqa: E402

SMALL = ("encoder.weights=random", "encoder.image_size=32", "loader.workers=0")
SAID = ("The heart is normal in size.", "There is a small left pleural effusion.", "No nodule.")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty reports as a table of one's own; the images are not looked at."""
    path = tmp_path_factory.mktemp("table") / "reports.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["study", "split", "image", "findings"])
        for number in range(30):
            split = "train" if number < 20 else "val" if number < 25 else "test"
            text = " ".join(SAID[(number + one) % 3] for one in range(2))
            path.with_name(f"{number}.png").touch()
            rows.writerow([f"s{number}", split, f"{number}.png", text])
    return path


def pretrain(folder: Path, table: Path, *more: str) -> list[str]:
    given = [
        "pretrain-decoder", str(folder), "csv", "--table", str(table), "--column", "image=image",
        "--column", "study_id=study", "--column", "split=split", "--column", "findings=findings",
        "--split", "official",
        "--width", "16", "--layers", "1", "--heads", "2", "--vocabulary", "300", "--epochs", "3",
        "--device", "cpu", "--lr", "0.01", *more,
    ]  # fmt: skip
    found = CliRunner().invoke(app, given, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout.splitlines()


def test_the_folder_is_a_language_model_and_remembers_what_it_has_read(
    tmp_path: Path, table: Path
) -> None:
    lines = pretrain(tmp_path / "gpt2", table)
    assert lines[0] == "csv: 20 training reports, 5 to validate on"
    losses = [float(line.split()[2]) for line in lines if line.startswith("epoch")]
    assert len(losses) == 3
    assert losses[-1] < losses[0] < math.log(300)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpt2"]
    model = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "gpt2").eval()
    parting = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "gpt2" / "tokenizer.json")
    )
    ids = torch.tensor([[0, *parting.encode(SAID[0])]])
    known, strange = (
        float(model(input_ids=one, labels=one).loss)
        for one in (ids, ids[:, torch.randperm(len(ids[0]))])
    )
    assert known < strange
    seen = json.loads((tmp_path / "gpt2" / "config.json").read_text())["xray_report"]
    assert seen["trained_on"] == ["csv"]
    assert seen["studies"]["csv"] == sorted(f"s{number}" for number in range(20))
    again = pretrain(tmp_path / "again", table)
    assert again[:4] == lines[:4]


def test_a_model_that_is_tested_on_what_it_has_read_is_refused(tmp_path: Path, table: Path) -> None:
    folder = tmp_path / "gpt2"
    pretrain(folder, table)
    config = json.loads((folder / "config.json").read_text())
    given = options("model=gpt2", f"model.architecture.folder={folder}", *SMALL)
    given["loader"]["cache_dir"] = str(tmp_path / "cache")
    source = TinySource()
    made = assemble.training(source, given, "cpu")
    decoder = made.module.hparams["decoder"]  # type: ignore[index]
    assert decoder["config"]["n_embd"] == 16
    assert "folder" not in decoder
    tested = [one.study_id for one in source.studies() if one.split == "test"]
    config["xray_report"]["studies"] = {source.name: tested[:1]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="were trained on 1 of the"):
        assemble.training(source, given, "cpu")
    given["encoder"]["allow_leak"] = True
    assemble.training(source, given, "cpu")


def test_what_starts_from_it_is_evaluated_without_it(tmp_path: Path, table: Path) -> None:
    folder = tmp_path / "gpt2"
    pretrain(folder, table)
    given = options("model=gpt2", f"model.architecture.folder={folder}", *SMALL)
    given["loader"]["cache_dir"] = str(tmp_path / "cache")
    made = assemble.training(TinySource(), given, "cpu")
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(made.module, made.datamodule)
    trainer.save_checkpoint(tmp_path / "best.ckpt")
    for file in folder.iterdir():
        file.unlink()
    checkpoint = load_checkpoint(tmp_path / "best.ckpt")
    chosen = run.EvaluationOptions(
        cache_dir=str(tmp_path / "cache"), device="cpu", workers=0, resamples=20
    )
    data = run.data_of(checkpoint, TinySource(), chosen)
    written = run.module_of([checkpoint], BeamSearch(beam_width=2, max_length=12))
    decoded = run.decode(run.evaluation_trainer(chosen), written, data, chosen)
    assert len(decoded.reports) == len(data.split("test"))
    assert "clean/bleu4" in run.score(decoded, data, chosen)


def test_mistakes_are_told_before_anything_is_read(tmp_path: Path, table: Path) -> None:
    with pytest.raises(OptionError, match=r"--width must be a multiple of --heads \(3\)"):
        pretrain(tmp_path / "gpt2", table, "--heads", "3")
    with pytest.raises(OptionError, match="--lr must be above 0"):
        pretrain(tmp_path / "gpt2", table, "--lr", "nan")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(OutputError, match="is there already: name a new folder"):
        pretrain(tmp_path / "mine", table)
