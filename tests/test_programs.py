"""train.py and evaluate.py as commands, from a tiny data set to a page: quick enough for always."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.scripts import TINY, command, forked

SCORES = ("clean/bleu4", "facts/f1", "findings/micro_f1", "baseline/nearest/clean/bleu4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a tiny model was trained."""
    folder = tmp_path_factory.mktemp("user")
    done = command("train.py", "model=attention", *TINY, folder=folder)
    assert done.code == 0, done.said
    (folder / "said.txt").write_text(done.out)
    (folder / "err.txt").write_text(done.err)
    return folder


PATH = r"runs/train/[\w.-]+_model-attention[\w.-]*/checkpoints/best\.ckpt"
LINES = (
    r"training [\d.]+ M of [\d.]+ M parameters on cpu, 2 epochs of 2 batches, "
    r"the highest val/cider is kept",
    r"epoch [12] of 2: val/cider \d\.\d{3}( \(best\))?, train/loss [\d.]+, val/loss [\d.]+; .*",
    r"trained 2 of 2 epochs in \d+ s",
    r"best epoch [12], validation: cider \d\.\d{3}, loss [\d.]+, bleu4 .*",
    rf"best checkpoint: {PATH}",
    r"next:",
    rf"  python evaluate\.py checkpoint={PATH}",
    rf"  xray-report predict --checkpoint {PATH} --frontal FILM\.png",
    r"  tensorboard --logdir runs",
)
ERR = (
    r"phantom: train 6, val 2, test 2 studies",
    r"",
    r"Encoding images: \d+ of \d+, [\d.]+/s",
    r"drew \d+ .*",
)


def test_training_says_no_line_that_nobody_needs(folder: Path) -> None:
    said, err = ((folder / name).read_text() for name in ("said.txt", "err.txt"))
    assert "\r" not in said + err
    for text, known in ((said, LINES), (err, ERR)):
        for line in text.splitlines():
            assert any(re.fullmatch(one, line) for one in known), line
    lines = said.splitlines()
    for one in LINES:
        twice = 2 if one.startswith("epoch") else 1
        assert sum(re.fullmatch(one, line) is not None for line in lines) == twice, one


def test_final_scores_are_few_in_tensorboard_and_all_in_a_file(folder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    (run,) = folder.glob("runs/train/*")
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    names = set(board.Tags()["scalars"])
    plain = board.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    chosen = set(HParamsPluginData.FromString(plain).session_start_info.hparams)
    final = {name.removeprefix("final/") for name in names if name.startswith("final/")}
    scores = json.loads((run / "final.json").read_text())
    assert {"clean/bleu4", "facts/f1", "findings/micro_f1"} <= final
    assert 8 <= len(final) <= 12
    assert final < scores.keys()
    assert len(scores) > 100
    assert chosen == {
        "model", "parameters", "lr", "batch_size", "data", "encoder", "weights", "training", "seed"
    }  # fmt: skip
    header, *rows = (run / "csv" / "metrics.csv").read_text().splitlines()
    assert {"step", "epoch", "val/cider", "train/loss", "final/facts/f1"} <= set(header.split(","))
    assert len(rows) >= 4


def test_training_leaves_checkpoints_curves_and_options(folder: Path) -> None:
    (run,) = folder.glob("runs/train/*")
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", ".hydra/config.yaml"):
        assert (run / name).is_file()
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))


def test_evaluating_writes_scores_reports_and_a_page(folder: Path) -> None:
    done = command("evaluate.py", "decode=beam", "beam_width=2", folder=folder)
    assert done.code == 0, done.said
    assert "class by class" not in done.out.replace("class by class, other protocols", "")
    assert "strata (" not in done.out
    assert "\nclean: " in done.out
    (run,) = folder.glob("runs/evaluate/*")
    *_, last = done.out.splitlines()
    where = re.escape(str(run.relative_to(folder)))
    ending = rf"on 2 test studies(, 1 warning)?; all of it is written to {where}: open report\.html"
    assert re.search(ending, last), last
    for line in done.err.splitlines():
        assert any(re.fullmatch(one, line) for one in ERR), line
    scores = json.loads((run / "metrics.json").read_text())
    assert all(0 <= scores[name] <= 1 for name in SCORES)
    assert "drawn, not real" in scores["note"]
    lines = (run / "reports.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert (run / "report.html").read_text().count("<article>") == 2


def test_rewards_go_on_from_a_trained_model(folder: Path) -> None:
    (start,) = folder.glob("runs/train/*/checkpoints/best.ckpt")
    done = forked(
        "train.py", "training=scst", f"training.start={start}", *TINY, "trainer.max_epochs=1",
        "~logger", "hydra.run.dir=rewarded", folder=folder,
    )  # fmt: skip
    assert done.code == 0, done.said
    assert (folder / "rewarded" / "checkpoints" / "best.ckpt").is_file()
