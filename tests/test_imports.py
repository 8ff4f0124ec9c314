"""The house's import table: which room may import which, and who may import what from outside."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "xray_report"

BASE = {"errors", "exchange", "files", "hub", "job", "nih_classes", "options", "tokens"}
"""Modules of the package itself that every room may import; they import only each other."""

ROOMS: dict[str, set[str]] = {
    "text": set(),
    "models": set(),
    "data": {"text"},
    "metrics": {"text"},
    "inference": {"models", "metrics", "text"},
    "training": {"models", "inference", "metrics", "data", "text"},
    "evaluation": {"models", "inference", "metrics", "data", "text", "training"},
    "commands": {"models", "inference", "metrics", "data", "text", "training", "evaluation"},
}
TOP = {"__init__", "__main__", "api", "assemble", "cli"}
"""Modules of the package itself that stand above all rooms."""

SEARCHES = ("greedy", "beam", "sampling")
ENTRY_POINTS = {ROOT / "train.py", ROOT / "evaluate.py"}


def name_of(path: Path) -> str:
    inside = path.relative_to(ROOT).with_suffix("")
    return ".".join(part for part in inside.parts if part != "__init__")


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_table_covers_every_room() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_"}
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert rooms == ROOMS.keys()
    assert modules == BASE | TOP


def allowed(module: str, ways: set[str]) -> bool:
    inside = module.removeprefix("xray_report.")
    return any(inside == way or inside.startswith(f"{way}.") for way in ways)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_the_table_allows(room: str) -> None:
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in (PACKAGE / room).rglob("*.py")
        for module in imported(path)
        if module.startswith("xray_report.") and not allowed(module, BASE | {room} | ROOMS[room])
    ]
    assert not broken


@pytest.mark.parametrize("name", sorted(BASE))
def test_what_everybody_imports_imports_nobody(name: str) -> None:
    for module in imported(PACKAGE / f"{name}.py"):
        assert not module.startswith("xray_report.") or allowed(module, BASE)


def test_no_two_rooms_and_no_two_modules_import_each_other() -> None:
    modules = {name_of(path): path for path in PACKAGE.rglob("*.py")}

    def module_of(name: str) -> str | None:
        """The module itself, or the one whose member `name` is."""
        return next((one for one in (name, name.rpartition(".")[0]) if one in modules), None)

    graph = {
        name: {found for one in imported(path) if (found := module_of(one)) and found != name}
        for name, path in modules.items()
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(f"a circle: {' -> '.join(error.args[1])}") from None
    tuple(TopologicalSorter(ROOMS).static_order())


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
    ways = BASE | {"models.decoders.protocol", "inference.search"}
    ways |= {f"inference.{other}" for other in SEARCHES}
    for module in imported(PACKAGE / "inference" / f"{search}.py"):
        ours = module.startswith("xray_report.")
        assert not ours or allowed(module, ways), f"{search}.py imports {module}"
        assert not module.startswith("pytorch_lightning")


def test_scripts_are_short() -> None:
    for script in ENTRY_POINTS:
        assert len(script.read_text(encoding="utf-8").splitlines()) <= 80


INFERENCE = sorted(f"inference.{path.stem}" for path in (PACKAGE / "inference").glob("*.py"))
TRAINING_LIBRARIES = ("pytorch_lightning", "lightning", "hydra", "omegaconf", "tensorboard")


@pytest.mark.parametrize("modules", [INFERENCE, ["cli"], ["api"]], ids=["inference", "cli", "api"])
def test_using_a_model_loads_no_training_library(modules: list[str]) -> None:
    names = ", ".join(f"xray_report.{module}".removesuffix(".__init__") for module in modules)
    code = f"import sys, {names}; print(*[m for m in {TRAINING_LIBRARIES} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
