"""W&B and MLflow get what TensorBoard gets; both are tried without a network."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from tests.test_config import composed
from xray_report.errors import MissingExtraError, OptionError
from xray_report.training.loggers import (
    mlflow_logger,
    show_picture,
    show_table,
    shows_pictures,
    table_cell,
    wandb_logger,
)


def trainer(*loggers: Logger, first: bool = True) -> Any:
    return SimpleNamespace(loggers=list(loggers), is_global_zero=first, global_step=3)


def show(logger: Logger) -> None:
    """A table and a picture, red on the left."""
    run = trainer(logger)
    show_table(run, "samples/reports", ("study", "generated"), [("s1", "Heart | big.")])
    picture = torch.zeros(3, 4, 8, dtype=torch.uint8)
    picture[0, :, :4] = 255
    show_picture(run, "attention/s1/02_heart", picture)


def test_bars_and_line_ends_stay_inside_their_cells() -> None:
    assert table_cell("a | b\n\n c") == "a \\| b c"


def test_only_the_first_process_shows_and_only_what_can(tmp_path: Path) -> None:
    board, table = TensorBoardLogger(tmp_path), CSVLogger(tmp_path)
    assert shows_pictures(trainer(board, table)) == [board]
    assert shows_pictures(trainer(board, first=False)) == []


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_without_the_package_the_extra_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, name, None)
    node = composed("train", f"logger={name}", f"paths.runs_dir={tmp_path}").logger
    node.folder = str(tmp_path)
    with pytest.raises(Exception, match=rf"pip install 'xray-report\[{name}\]'") as caught:
        instantiate(node, _convert_="all")
    assert isinstance(caught.value.__cause__ or caught.value, MissingExtraError)


def test_wandb_keeps_tables_pictures_and_choices_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="needs the extra wandb")
    with pytest.raises(OptionError, match=r"logger\.offline must be true or false"):
        wandb_logger(tmp_path, "test", offline="no")  # type: ignore[arg-type]
    logger = wandb_logger(tmp_path / "run_seed-1", "test", offline=True)
    show(logger)
    logger.log_hyperparams({"model": "attention"})
    run = logger.experiment
    folder = Path(run.dir)
    assert (run.name, run.config["model"]) == ("run_seed-1", "attention")
    run.finish()
    pictures = list(folder.rglob("attention/**/*.png"))
    assert len(pictures) == 1
    check_picture(pictures[0])
    (table,) = folder.rglob("*.table.json")
    assert "Heart | big." in table.read_text()


def test_mlflow_keeps_tables_pictures_and_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it, beyond the test otherwise
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    # Files need no database package, which mlflow-skinny has none of.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = (tmp_path / "store").as_uri()
    logger = mlflow_logger(tmp_path / "run_seed-1", store, "test")
    show(logger)
    logger.log_hyperparams({"model": "attention"})
    logger.log_metrics({"val/loss": 0.5}, 3)
    run = logger.experiment.get_run(logger.run_id)
    assert run.info.run_name == "run_seed-1"
    assert run.data.params["model"] == "attention"
    assert run.data.metrics["val/loss"] == 0.5
    files = {path.name: path for path in (tmp_path / "store").rglob("artifacts/**/*.*")}
    assert files.keys() == {"3.md", "02_heart.png"}
    assert files["3.md"].read_text().splitlines()[-1] == "| s1 | Heart \\| big. |"
    check_picture(files["02_heart.png"])


def check_picture(path: Path) -> None:
    with Image.open(path) as picture:
        assert picture.size == (8, 4)
        assert picture.convert("RGB").getpixel((1, 1)) == (255, 0, 0)
        assert picture.convert("RGB").getpixel((6, 1)) == (0, 0, 0)


def test_mlflow_writes_to_a_server_or_beside_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr("xray_report.training.loggers._check_package", lambda name: None)
    monkeypatch.setattr(
        "xray_report.training.loggers.MLFlowLogger", lambda **given: made.append(given)
    )
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = f"paths.runs_dir={tmp_path}"
    for uri in (None, "http://localhost:5000"):
        if uri is not None:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        config = composed("train", "logger=mlflow", folder)
        config.paths.output_dir = str(tmp_path / "train" / "run_1")
        mlflow_logger(**_options(config.logger))
    local, server = made
    assert local["tracking_uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert local["artifact_location"] == (tmp_path / "mlflow").as_uri()
    assert (server["tracking_uri"], server["artifact_location"]) == (uri, None)
    assert local["run_name"] == "run_1"


def _options(node: Any) -> dict[str, Any]:
    options = OmegaConf.to_container(node, resolve=True)
    assert isinstance(options, dict)
    return {str(name): value for name, value in options.items() if name != "_target_"}
