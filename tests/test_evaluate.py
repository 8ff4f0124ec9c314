from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from evaluate import evaluate
from tests.commands.console import run
from tests.training.test_report_module import fit


def test_a_closed_pipe_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    trainer, _ = fit(tmp_path / "fit", epochs=1)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    config = {
        "checkpoint": str(tmp_path / "model.ckpt"),
        "data": {"_target_": "tests.tiny_source.TinySource", "sizes": [8, 4, 7]},
        "decode": {"_target_": "xray_report.inference.greedy.GreedySearch"},
        "paths": {"runs_dir": str(tmp_path), "output_dir": str(tmp_path / "out")},
        "evaluation": {
            "cache_dir": str(tmp_path), "device": "cpu", "workers": 0, "resamples": 20,
            "image_baselines": False, "page_studies": 1,
        },
    }  # fmt: skip
    monkeypatch.setattr("xray_report.evaluation.tables.print_metrics", closed)
    with pytest.raises(BrokenPipeError):
        evaluate(OmegaConf.create(config))
    written = {path.name for path in (tmp_path / "out").iterdir()}
    texts = {"reports.jsonl", "reports.csv"}
    assert written == {"metrics.json", "report.html", "evaluation.json", "warnings.json", *texts}
    lines = (tmp_path / "out" / "reports.csv").read_text().splitlines()
    assert len(lines) == 1 + 7
    assert lines[0] == "study_id,reference,report"


def test_an_exported_folder_is_evaluated_as_its_checkpoint_is(tmp_path: Path) -> None:
    trainer, _ = fit(tmp_path / "fit", epochs=1)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    assert run("export", tmp_path / "model.ckpt", tmp_path / "model").exit_code == 0
    written = []
    for name in ("model.ckpt", "model"):
        out = tmp_path / f"{name} evaluated"
        evaluate(
            OmegaConf.create(
                {
                    "checkpoint": str(tmp_path / name),
                    "data": {"_target_": "tests.tiny_source.TinySource", "sizes": [8, 4, 7]},
                    "decode": {
                        "_target_": "xray_report.inference.beam.BeamSearch",
                        "beam_width": 2,
                    },
                    "paths": {"runs_dir": str(tmp_path), "output_dir": str(out)},
                    "evaluation": {
                        "cache_dir": str(tmp_path), "device": "cpu", "workers": 0,
                        "resamples": 20, "image_baselines": False, "page_studies": 1,
                    },
                }
            )
        )  # fmt: skip
        written.append((out / "reports.jsonl").read_text())
    assert written[0] == written[1]
    assert len(written[0].splitlines()) == 7
