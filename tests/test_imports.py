"""The house's import table: which room may import which, and who may import what from outside."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "xray_report"

BASE = {"errors", "files", "nih_classes", "tokens"}
ROOMS = {
    "text": set(),
    "data": {"text"},
    "models": {"inference.protocol"},
    "inference": {"models", "text"},
    "metrics": {"text"},
    "training": {"models", "inference", "metrics", "data.batch", "text"},
}
SEARCHES = ("greedy", "beam", "diverse_beam", "sample")
ENTRY_POINTS = {ROOT / "train.py", ROOT / "evaluate.py"}


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def allowed(module: str, room: str) -> bool:
    inside = module.removeprefix("xray_report.")
    ways = BASE | {room} | ROOMS[room]
    return any(inside == way or inside.startswith(f"{way}.") for way in ways)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_the_table_allows(room: str) -> None:
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in (PACKAGE / room).rglob("*.py")
        for module in imported(path)
        if module.startswith("xray_report.") and not allowed(module, room)
    ]
    assert not broken


def test_only_the_two_scripts_import_hydra() -> None:
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in PACKAGE.rglob("*.py")
        for module in imported(path)
        if module.split(".")[0] in ("hydra", "omegaconf")
    ]
    assert not broken


@pytest.mark.parametrize("search", SEARCHES)
def test_searches_know_the_protocol_only(search: str) -> None:
    forbidden = ("models", "text", "data", "training", "metrics", "inference.generator")
    for module in imported(PACKAGE / "inference" / f"{search}.py"):
        inside = module.partition("xray_report.")[2]
        assert not inside.startswith(forbidden), f"{search}.py imports {module}"
        assert not module.startswith("pytorch_lightning")


def test_scripts_are_short() -> None:
    for script in ENTRY_POINTS:
        assert len(script.read_text(encoding="utf-8").splitlines()) <= 80


INFERENCE = sorted(f"inference.{path.stem}" for path in (PACKAGE / "inference").glob("*.py"))
TRAINING_LIBRARIES = ("pytorch_lightning", "lightning", "hydra", "omegaconf", "tensorboard")


@pytest.mark.parametrize("modules", [INFERENCE, ["cli"]], ids=["inference", "cli"])
def test_using_a_model_loads_no_training_library(modules: list[str]) -> None:
    names = ", ".join(f"xray_report.{module}".removesuffix(".__init__") for module in modules)
    code = f"import sys, {names}; print(*[m for m in {TRAINING_LIBRARIES} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
