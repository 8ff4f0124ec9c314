"""README.md promises nothing that is not there: commands, options, choices and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from typer.main import get_command

from tests.test_containers import asked_extras, extras
from xray_report.cli import app
from xray_report.job import data_changes

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = ("pip", "pytest", "python", "tensorboard", "xray-report")
BLOCKS = re.findall(r"^```\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
INLINE = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
OVERRIDE = re.compile(r"[a-z_]+(\.[a-z_]+)*=\S*")


def commands() -> Iterator[str]:
    """Every command of the page: of its blocks, and those that stand in a line."""
    for line in "".join(BLOCKS).splitlines():
        yield from (part.strip() for part in line.partition("  # ")[0].split(" && "))
    yield from (text for text in INLINE if text.partition(" ")[0] in PROGRAMS and " " in text)


def check_composes(script: str, overrides: list[str]) -> None:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        compose(script, data_changes(overrides) if script == "evaluate" else overrides)


def check_parses(command: Any, arguments: list[str]) -> None:
    """Raise what the console script would not take (its command is click's, or typer's own)."""
    context = None
    while command is not None:
        context = command.make_context(command.name, list(arguments), parent=context)
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        if not hasattr(command, "resolve_command"):
            return
        _, command, arguments = command.resolve_command(context, rest)


def check(line: str) -> None:
    program, *arguments = shlex.split(line)
    if program == "xray-report":
        check_parses(get_command(app), arguments)
    elif program == "python" and arguments[0] == "-m":
        assert find_spec(f"{arguments[1]}.__main__"), line
    elif program == "python":
        script, *overrides = arguments
        assert (ROOT / script).is_file(), line
        if overrides != ["--cfg", "job"]:
            check_composes(Path(script).stem, overrides)
    elif program == "pip":
        assert arguments[:2] == ["install", "-e"], line
        assert asked_extras(line) <= extras(), line
    elif program == "tensorboard":
        assert arguments == ["--logdir", "runs"]
    else:
        assert (program, arguments) == ("pytest", []), line


@pytest.mark.parametrize("line", dict.fromkeys(commands()))
def test_a_command_is_one_that_its_program_takes(line: str) -> None:
    check(line)


def test_all_programs_are_among_them() -> None:
    assert {line.partition(" ")[0] for line in commands()} == set(PROGRAMS)
    assert sum(line.startswith("xray-report predict ") for line in commands()) >= 3


@pytest.mark.parametrize(
    "line",
    [
        "python train.py model=attentive",
        "python train.py data.rot=x",
        "python evaluate.py beam_widht=5",
        "python test.py",
        "python -m tests.trial",
        "xray-report predict --fontal F.png",
        "xray-report predikt",
        "xray-report data audits phantom",
        'pip install -e ".[dicoms]"',
        "pip install xray",
    ],
)
def test_one_that_is_not_there_would_be_found(line: str) -> None:
    with pytest.raises(Exception, match=r"."):
        check(line)


@pytest.mark.parametrize("option", sorted({one for one in INLINE if OVERRIDE.fullmatch(one)}))
def test_an_option_is_one_of_a_program(option: str) -> None:
    taken = []
    for script in ("train", "evaluate"):
        try:
            check_composes(script, [option])
        except Exception:
            continue
        taken.append(script)
    assert taken


def test_the_choices_are_there() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", TEXT, re.MULTILINE)
    assert len(rows) >= 6
    for group, members in rows:
        names = [name for name in re.findall(r"`([^`]+)`", members) if "=" not in name]
        assert names
        for name in names:
            found = list((ROOT / "conf" / group).glob(f"{name}.yaml"))
            values = (ROOT / "conf" / f"{group}.yaml").is_file()
            assert found or values, f"{group}={name}"


def test_links_lead_somewhere_and_the_page_is_short() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link.partition("#")[0]).exists(), link
    assert len(TEXT.splitlines()) <= 80


MACHINES = (ROOT / ".readme" / "machines.md").read_text(encoding="utf-8").replace("\\\n", " ")


@pytest.mark.parametrize(
    "line", [line for line in MACHINES.splitlines() if re.search(r"\b(train|evaluate)\.py ", line)]
)
def test_the_page_on_machines_names_options_that_there_are(line: str) -> None:
    found = re.search(r"\b(train|evaluate)\.py ([^`]*)", line)
    assert found
    own = [
        one for one in found[2].split() if "=" in one and not one.startswith(("hydra", "resume"))
    ]
    for one in own:
        name, _, value = one.partition("=")
        check_composes(found[1], [f"{name}={value.partition(',')[0]}"])
