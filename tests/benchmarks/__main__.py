"""`python -m tests.benchmarks [NAME ...] [--json FILE]`: run the benchmarks one after another.

Run it with nothing else on the machine. Each comparison is made in one run with its competitors,
in a process of its own; ratios can be trusted, absolute numbers belong to the machine named. What
is measured, and how, stands in the docstring of the module of that name.

Three more say something of one model and have options of their own: `python -m tests.benchmarks
examples EVALUATION_FOLDER`, `films CHECKPOINT` and `checks CHECKPOINT`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks.alone import measure_alone
from xray_report.errors import XrayReportError
from xray_report.files import replacing

NAMES = (
    "encoder", "images", "training", "length", "decoding", "transformer", "scoring", "start",
    "archive", "gpu",
)  # fmt: skip
NEEDS_GPU = ("gpu",)
OF_A_MODEL = ("examples", "films", "checks")


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}: ")
        else:
            yield f"{prefix}{key}", value


def show(name: str, found: Mapping[str, Any]) -> None:
    table = Table(title=name, title_justify="left")
    table.add_column("measured")
    table.add_column("value", justify="right")
    for key, value in flat(found):
        table.add_row(key, f"{value:,.3g}" if isinstance(value, float) else str(value))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="all if left out")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--images", type=Path, help="folder for the benchmark `images` to encode")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": machine()}
    show("machine", results["machine"])
    for name in arguments.names or NAMES:
        if name in NEEDS_GPU and not torch.cuda.is_available():
            print(f"{name}: no CUDA device")
            continue
        options = {"images": arguments.images} if name == "images" else {}
        results[name] = measure_alone(name, **options)
        show(name, results[name])
    if arguments.json:
        with replacing(arguments.json) as temporary:
            temporary.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in OF_A_MODEL:
        try:
            importlib.import_module(f"tests.benchmarks.{sys.argv[1]}").main(sys.argv[2:])
        except XrayReportError as error:
            raise SystemExit(f"error: {error}") from error
    else:
        main()
