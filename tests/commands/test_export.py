from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.commands.console import failure, run
from tests.inference.checkpoints import contents, save
from xray_report.files import file_digest
from xray_report.inference.checkpoint import load_checkpoint

SCORES = {
    "studies": 200.0,
    "clean/bleu4": 0.5, "clean/bleu4_low": 0.4, "clean/bleu4_high": 0.6, "facts/f1": 0.75,
    "baseline/constant/clean/bleu4": 0.3,
    "about/split": "test",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose options tell paths of its machine."""
    folder = tmp_path_factory.mktemp("user")
    saved = contents()
    saved["epoch"] = 4
    saved["hyper_parameters"]["about"]["options"] = {
        "data": {"_target_": "xray_report.data.phantom.source.PhantomSource", "root": "/home/me"},
        "paths": {"output_dir": "/home/me/secret"},
        "callbacks": {"checkpoint": {"dirpath": "/home/me/secret"}},
        "model": {"embedding": {"vectors": "bundled"}},
    }
    checkpoint = folder / "run" / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    torch.save(saved, checkpoint)
    return folder


def evaluated(folder: Path, checkpoint: Path, age: int = 1, **changes: Any) -> Path:
    """What evaluate.py leaves of a checkpoint."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({**SCORES, "facts/f1": age / 10}))
    record = {
        "checkpoints": [{"path": str(checkpoint), "sha256": file_digest(checkpoint)}],
        "data": {"name": "phantom"},
        "decode": {"beam_width": 5},
        "evaluation": {"split": "test", "images": "own", **changes},
    }
    (folder / "evaluation.json").write_text(json.dumps(record))
    os.utime(folder / "metrics.json", (age, age))
    return folder


def card_of(dest: Path) -> tuple[dict[str, Any], str]:
    _, head, text = (dest / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), text


def test_a_run_becomes_a_folder_that_predict_takes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("export", folder / "run", "model")
    assert result.exit_code == 0, result.output
    dest = tmp_path / "model"
    assert {one.name for one in dest.iterdir()} == {
        "model.safetensors", "config.json", "tokenizer.json", "README.md",
    }  # fmt: skip
    loaded, first = load_checkpoint(dest), load_checkpoint(folder / "run/checkpoints/best.ckpt")
    assert loaded.epoch == first.epoch == 4
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, loaded.model.state_dict()[name])
    config = (dest / "config.json").read_text()
    assert "secret" not in config
    assert "note: config.json tells a path of this machine: data.root=/home/me" in result.output
    assert run("export", folder / "run", "model").exit_code == 0  # again, over itself


def test_the_card_says_what_a_reader_must_know(folder: Path, tmp_path: Path) -> None:
    note = "Made by `python train.py`."
    assert run("export", folder / "run", tmp_path / "nice", "--note", note).exit_code == 0
    head, text = card_of(tmp_path / "nice")
    assert head["license"] == "mit"
    assert "research-only" in head["tags"]
    assert "model-index" not in head
    for said in (
        "Research only, not for clinical use", "cannot read films", 'xray_report.load("nice")',
        "decoder: attention", "densenet121", "trained on: phantom", "GloVe: Public Domain",
        "None on test studies were given", note,
    ):  # fmt: skip
        assert said in text, said


def test_films_and_their_terms_stand_in_the_card(tmp_path: Path) -> None:
    saved = contents()
    plain = saved["hyper_parameters"]
    plain["about"]["data"] = "iu_xray+mimic_cxr+rexgradient+chexpert_plus"
    plain["encoder"]["source"] = {
        "weights": "a.ckpt", "trained_on": ["nih_chestxray14", "ours"], "studies": {"ours": ["1"]},
    }  # fmt: skip
    torch.save(saved, tmp_path / "a.ckpt")
    assert run("export", tmp_path / "a.ckpt", tmp_path / "films").exit_code == 0
    head, text = card_of(tmp_path / "films")
    assert head["license"] == "other"
    assert "drawn" not in text
    for said in ("CC BY-NC-ND", "PhysioNet", "NIH Clinical Center",
                 "ReXGradient-160K Non-Commercial", "Stanford University Dataset",
                 "ours: has terms of its own",
                 "encoder's studies of ours: 1, whose ids"):  # fmt: skip
        assert said in text, said


def test_scores_are_found_by_the_checkpoints_digest(folder: Path, tmp_path: Path) -> None:
    checkpoint = folder / "run" / "checkpoints" / "best.ckpt"
    other = save(tmp_path / "other.ckpt", seed=1)
    evaluated(tmp_path / "evaluate" / "first", checkpoint, age=2)
    found = evaluated(tmp_path / "evaluate" / "second", checkpoint, age=7)
    evaluated(tmp_path / "evaluate" / "of val", checkpoint, age=8, split="val")
    evaluated(tmp_path / "evaluate" / "exchanged", checkpoint, age=8, images="shuffled")
    evaluated(tmp_path / "evaluate" / "of another", other, age=9)
    result = run("export", checkpoint, tmp_path / "model", "--runs-dir", tmp_path)
    assert f"scores in its card: those of {found / 'metrics.json'}" in result.output
    head, text = card_of(tmp_path / "model")
    (entry,) = head["model-index"][0]["results"]
    assert entry["dataset"] == {"type": "phantom", "name": "phantom", "split": "test"}
    values = {one["name"]: one["value"] for one in entry["metrics"]}
    assert values == {"BLEU-4": 0.5, "fact F1": 0.7}
    assert "| **this model** | 0.500 (0.400 to 0.600) | 0.700 |" in text
    assert "| constant | 0.300 | - |" in text

    given = run("export", checkpoint, tmp_path / "model", "--metrics", tmp_path / "evaluate/first")
    assert given.exit_code == 0
    assert "| 0.200 |" in card_of(tmp_path / "model")[1]


def test_mistakes_are_one_line_and_write_nothing(folder: Path, tmp_path: Path) -> None:
    checkpoint, dest = folder / "run" / "checkpoints" / "best.ckpt", tmp_path / "model"
    other = evaluated(tmp_path / "result", save(tmp_path / "other.ckpt", seed=1))
    assert "is of another checkpoint" in failure("export", checkpoint, dest, "--metrics", other)
    (other / "evaluation.json").unlink()
    assert "no evaluation.json beside" in failure("export", checkpoint, dest, "--metrics", other)
    assert "there is no checkpoint" in failure("export", tmp_path / "none.ckpt", dest)
    assert "there is no checkpoint" in failure("export", tmp_path / "result", dest)
    torch.save({"xray_report": {"kind": "chexnet"}}, tmp_path / "chexnet.ckpt")
    assert "is a chexnet checkpoint" in failure("export", tmp_path / "chexnet.ckpt", dest)
    assert not dest.exists()
    assert "holds other files" in failure("export", checkpoint, tmp_path)


# The bundled model.


def test_the_bundled_models_card_tells_how_it_was_trained_and_measured() -> None:
    from xray_report.models.folder import BUNDLED_MODEL

    head, text = card_of(BUNDLED_MODEL)
    assert re.search(r"python train\.py", text)
    assert re.search(r"python evaluate\.py", text)
    metrics = head["model-index"][0]["results"][0]["metrics"]
    values = {one["name"]: one["value"] for one in metrics}
    assert values["fact F1"] > 0.85
    assert sum(one.stat().st_size for one in BUNDLED_MODEL.iterdir()) < 8e6


def test_the_bundled_model_reads_drawings() -> None:
    import xray_report

    model = xray_report.load(decode="greedy", device="cpu")
    drawn = xray_report.PhantomDataset("test", train=0, val=0, seed=5)  # none it has seen
    studies = [drawn[n] for n in range(20)]
    written = []
    for study in studies:
        frontal, lateral = (
            image.numpy() if there else None
            for image, there in zip(study.images, study.view_mask.tolist(), strict=True)
        )
        written.append(model.report(frontal, lateral).text)
    found = xray_report.scores(written, [study.report for study in studies])
    assert found["facts/f1"] > 0.75
    assert len(set(written)) > 15
