from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.benchmarks.examples import chosen_ranks, markdown
from tests.scripts import ROOT
from xray_report.metrics.files import ReportRecord, write_metrics, write_reports

TRUE = "The heart is enlarged. There is a small left pleural effusion."
CLEAR = "The lungs are clear."


def records(count: int = 30) -> list[ReportRecord]:
    """Study 00 is written word for word, each further one has a word less of its reference."""
    words = [f"word{chr(97 + n)}" for n in range(count)]
    references = [" ".join([*words[n:], *words[:n]]) + "." for n in range(count)]
    return [
        ReportRecord(f"study_{n:02d}", text, " ".join(text.split()[: count - n]))
        for n, text in enumerate(references)
    ]


@pytest.mark.parametrize("studies", [9, 10, 30, 296, 590])
def test_the_ends_and_four_between_them_are_shown(studies: int) -> None:
    ranks = chosen_ranks(studies)
    assert ranks == sorted(set(ranks))
    assert len(ranks) == 8
    assert ranks[:2] == [0, 1]
    assert ranks[-2:] == [studies - 2, studies - 1]
    gaps = [b - a for a, b in pairwise(ranks[1:-1])]
    assert max(gaps) - min(gaps) <= 1


def test_of_few_studies_all_are_shown() -> None:
    assert chosen_ranks(8) == list(range(8))
    assert chosen_ranks(1) == [0]


def test_the_order_of_the_file_changes_nothing() -> None:
    text = markdown(records())
    assert text == markdown(records()[::-1])
    shown = [line for line in text.splitlines() if line.startswith("**")]
    values = [float(line.rpartition(" ")[2]) for line in shown]
    assert len(shown) == 8
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    assert shown[0].startswith(r"**study\_00**, rank 1, CIDEr")


def test_labels_and_texts_stand_side_by_side() -> None:
    text = markdown([ReportRecord("a", TRUE, CLEAR), ReportRecord("b", CLEAR, "A | <b>*x*")])
    assert f"- reference (Cardiomegaly, Pleural Effusion): {TRUE}" in text
    assert f"- generated (No Finding): {CLEAR}" in text
    assert r"A \| \<b\>\*x\*" in text  # nothing of a text is taken for markdown


@pytest.mark.slow
def test_the_command_reads_a_folder_and_says_what_is_drawn(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tests.benchmarks", "examples", *arguments],
            cwd=ROOT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    write_reports(tmp_path / "reports.jsonl", records())
    write_metrics(tmp_path / "metrics.json", {"note": "The phantom studies are drawn, not real."})
    done = run(str(tmp_path), "--output", str(tmp_path / "examples.md"))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "examples.md").read_text(encoding="utf-8")
    assert "drawn, not real" in text
    assert text.count("- generated") == 8
    missing = run(str(tmp_path / "nothing"))
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: ")
    assert "does not exist" in missing.stderr
