"""The container and the workflow name what is there; neither is run here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = ROOT.joinpath("pyproject.toml").read_text(encoding="utf-8")
DOCKERFILE = ROOT / ".devcontainer" / "Dockerfile"


def instructions() -> list[str]:
    """Of the Dockerfile, each on one line."""
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def extras() -> set[str]:
    section = PROJECT.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    return set(re.findall(r"^([\w-]+) = ", section, re.MULTILINE))


def asked_extras(text: str) -> set[str]:
    return {name for found in re.findall(r"\.\[([\w,-]+)\]", text) for name in found.split(",")}


def test_the_container_copies_what_the_wheel_is_built_of() -> None:
    lines = instructions()
    copied = {name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]}
    assert all((ROOT / name).exists() for name in copied)
    packed = set(re.findall(r'^"([\w./]+)" = "xray_report/programs/', PROJECT, re.MULTILINE))
    assert packed | {"xray_report", "pyproject.toml", "README.md", "LICENSE"} == copied
    assert asked_extras("\n".join(lines)) <= extras()
    for name in ("torch", "torchvision"):
        wanted, *_ = re.findall(rf'"{name}(>=[\d.]+)"', PROJECT)
        assert f'"{name}{wanted}"' in "\n".join(lines)


def test_every_instruction_is_one_of_dockers() -> None:
    known = {"FROM", "ARG", "RUN", "COPY", "WORKDIR", "USER", "ENTRYPOINT"}
    assert {line.split()[0] for line in instructions()} <= known
    (entry,) = [line for line in instructions() if line.startswith("ENTRYPOINT")]
    (name,) = json.loads(entry.partition(" ")[2])
    assert f"{name} = " in PROJECT.partition("[project.scripts]\n")[2]


def test_the_development_container_is_a_stage_of_it() -> None:
    found = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    build = found["build"]
    assert (DOCKERFILE.parent / build["dockerfile"]) == DOCKERFILE
    stages = [line.split()[-1] for line in instructions() if line.startswith("FROM")]
    assert build["target"] in stages
    assert asked_extras(found["postCreateCommand"]) <= extras()


@pytest.fixture
def jobs() -> dict[str, Any]:
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)["jobs"]
    return found


def test_the_workflow_tests_three_versions_of_python_from_the_lowest(jobs: dict[str, Any]) -> None:
    versions = jobs["fast"]["strategy"]["matrix"]["python"]
    (lowest,) = re.findall(r'^requires-python = ">=([\d.]+)"', PROJECT, re.MULTILINE)
    assert versions[0] == lowest
    assert [version.split(".") for version in versions] == [
        ["3", str(int(lowest.split(".")[1]) + at)] for at in range(3)
    ]
    runs = [step["run"] for step in jobs["fast"]["steps"] if "run" in step]
    assert {"pytest", "mypy", "ruff check ."} <= set(runs)
    assert asked_extras("\n".join(runs)) <= extras()


def test_the_workflow_tests_the_lowest_versions(jobs: dict[str, Any]) -> None:
    (script,) = [step["run"] for step in jobs["minimum"]["steps"] if "run" in step]
    assert (ROOT / script).stat().st_mode & 0o100
