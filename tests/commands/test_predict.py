from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from tests.commands.console import failure, run
from tests.inference.checkpoints import save


def predict(*arguments: object) -> Result:
    return run("predict", *arguments)


def mistake(*arguments: object) -> str:
    return failure("predict", *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    save(folder / "model.ckpt")
    save(folder / "merge.ckpt", name="encoder_decoder", seed=1)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "frontal.png")
    Image.fromarray(pixels[::-1]).save(folder / "lateral.jpg")
    (folder / "cut.png").write_bytes((folder / "frontal.png").read_bytes()[:300])
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def usual(folder: Path) -> list[object]:
    return ["--frontal", folder / "frontal.png", "--checkpoint", folder / "model.ckpt"]


def test_a_report_is_printed_and_says_where_the_model_comes_from(usual: list[object]) -> None:
    result = predict(*usual)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert result.stdout[0].isupper()
    assert "phantom" in result.stderr


def test_either_view_alone_or_both(folder: Path, usual: list[object]) -> None:
    lateral = ["--lateral", folder / "lateral.jpg"]
    texts = [predict(*usual), predict(*usual, *lateral), predict(*usual[2:], *lateral)]
    assert [result.exit_code for result in texts] == [0, 0, 0]


def test_n_best_reports_with_scores_and_json(usual: list[object], tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    result = predict(*usual, "--n-best", 3, "--json", path)
    assert result.exit_code == 0
    saved = json.loads(path.read_text())
    assert result.stdout.splitlines() == [
        f"{one['score']:.3f}  {one['report'] or '(empty report)'}" for one in saved["hypotheses"]
    ]
    scores = [(one["finished"], one["score"]) for one in saved["hypotheses"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3
    assert saved["report"] == saved["hypotheses"][0]["report"]


def test_json_on_the_screen_holds_each_words_log_probability(usual: list[object]) -> None:
    (best,) = json.loads(predict(*usual, "--json", "-").stdout)["hypotheses"]
    assert " ".join(one["word"] for one in best["words"]) == best["text"]
    total = sum(one["log_prob"] for one in best["words"]) + (best["end_log_prob"] or 0.0)
    assert total == pytest.approx(best["log_prob"], abs=1e-4)


def test_attention_is_drawn_over_both_views(usual: list[object], tmp_path: Path) -> None:
    path = tmp_path / "attention.png"
    assert predict(*usual, "--attention", path).exit_code == 0
    with Image.open(path) as picture:
        assert picture.width == 128
        assert picture.height % (64 + 18) == 0


def test_several_checkpoints_are_an_ensemble(folder: Path, usual: list[object]) -> None:
    one, both = predict(*usual, "--json", "-"), predict(
        *usual, "--checkpoint", folder / "merge.ckpt", "--json", "-"
    )  # fmt: skip
    assert both.exit_code == 0
    assert json.loads(one.stdout) != json.loads(both.stdout)


def test_mistakes_are_one_line_and_write_nothing(
    folder: Path, usual: list[object], tmp_path: Path
) -> None:
    model = ["--checkpoint", folder / "model.ckpt"]
    picture = tmp_path / "a.png"
    assert "--frontal FILE" in mistake(*model)
    twice = mistake(*usual, "--frontal", folder / "lateral.jpg")
    assert "--frontal was given 2 times" in twice
    assert "none.png" in mistake(*model, "--frontal", folder / "none.png")
    assert "cut.png" in mistake(*model, "--frontal", folder / "cut.png", "--attention", picture)
    assert "notes.txt" in mistake(*model, "--lateral", folder / "notes.txt")
    assert str(folder) in mistake(*model, "--lateral", folder)
    assert "none.ckpt" in mistake(*usual[:2], "--checkpoint", folder / "none.ckpt")
    assert "notes.txt" in mistake(*usual[:2], "--checkpoint", folder / "notes.txt")
    assert "train.py model=attention" in mistake(*usual[:2], "--runs-dir", folder / "none")
    assert "beam_width must be a positive integer, got 0" in mistake(*usual, "--beam-width", 0)
    assert "n_best must be at most beam_width" in mistake(*usual, "--n-best", 9)
    assert "name it .png" in mistake(*usual, "--attention", tmp_path / "a.jpg")
    merge = [*usual[:2], "--checkpoint", folder / "merge.ckpt"]
    assert "needs an attention model" in mistake(*merge, "--attention", picture)
    blocked = folder / "notes.txt" / "a.json"
    assert f"{blocked} cannot be written" in mistake(*usual, "--json", blocked)
    assert not list(tmp_path.iterdir())


def test_a_device_that_is_not_there_is_refused(usual: list[object]) -> None:
    assert predict(*usual, "--device", "cpu").exit_code == 0
    assert "device=cuda:99 is not there" in mistake(*usual, "--device", "cuda:99")
