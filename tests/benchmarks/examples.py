"""Eight studies of an evaluation as markdown: the best two, the worst two, and four in between.

`python -m tests.benchmarks examples EVALUATION_FOLDER [--output FILE]`, a folder of evaluate.py.
Studies are ranked by their CIDEr (protocol `clean`, document frequencies of all studies of the
evaluation), ties by id, and taken at fixed ranks, so that nobody picks what is shown. Beside each
stand the labels that the labeller finds in the reference and in the generated report.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from xray_report.evaluation.run import RECORD_FILE
from xray_report.files import replacing
from xray_report.metrics.cider import cider
from xray_report.metrics.files import METRICS_FILE, ReportRecord, read_reports, result_file
from xray_report.metrics.findings.labeller import label_report
from xray_report.metrics.findings.negation import Assertion
from xray_report.metrics.protocols import clean_tokens

BEST, WORST, SPREAD = 2, 2, 4


class Ranked(NamedTuple):
    """A study at its rank, 0 for the best."""

    rank: int
    cider: float
    record: ReportRecord


def ranked(records: Sequence[ReportRecord]) -> list[Ranked]:
    """All studies, those of the highest CIDEr first, those of one CIDEr by id."""
    values = cider(
        [clean_tokens(one.hypothesis) for one in records],
        [clean_tokens(one.reference) for one in records],
    )
    pairs = zip(values.tolist(), records, strict=True)
    order = sorted(pairs, key=lambda pair: (-pair[0], pair[1].study_id))
    return [Ranked(rank, value, record) for rank, (value, record) in enumerate(order)]


def chosen_ranks(studies: int) -> list[int]:
    """Ranks to show of so many studies: the ends, and between them equally far apart."""
    if studies <= BEST + WORST + SPREAD:
        return list(range(studies))
    first, last = BEST - 1, studies - WORST
    step = (last - first) / (SPREAD + 1)
    between = [first + round(step * (n + 1)) for n in range(SPREAD)]
    return [*range(BEST), *between, *range(last, studies)]


def labels_of(text: str) -> str:
    """The CheXpert classes that a report says are present, in words."""
    found = [name for name, said in label_report(text).items() if said is Assertion.PRESENT]
    return ", ".join(found) or "none"


def plain(text: str) -> str:
    """A text on one line that markdown shows as it is."""
    return re.sub(r"([\\`*_<>#|\[\]])", r"\\\1", " ".join(text.split())) or "(empty)"


def markdown(records: Sequence[ReportRecord], about: Sequence[str] = ()) -> str:
    """The chosen studies, with a heading each.

    Args:
        records: of all studies of an evaluation.
        about: lines that say what was evaluated.
    """
    studies = ranked(records)
    lines = [*about, f"{len(studies)} studies, ranked by CIDEr.", ""]
    for place in chosen_ranks(len(studies)):
        rank, value, record = studies[place]
        lines += [
            f"**{plain(record.study_id)}**, rank {rank + 1}, CIDEr {value:.2f}",
            "",
            f"- reference ({labels_of(record.reference)}): {plain(record.reference)}",
            f"- generated ({labels_of(record.hypothesis)}): {plain(record.hypothesis)}",
            "",
        ]
    return "\n".join(lines)


def about_evaluation(folder: Path) -> list[str]:
    """What was evaluated, as far as the folder says, and that drawn studies are drawn."""
    lines = []
    record, metrics = (result_file(folder, name) for name in (RECORD_FILE, METRICS_FILE))
    if record != folder and record.is_file():
        found: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        search = found["decode"]["_target_"].rpartition(".")[2]
        marks = ", ".join(one["sha256"][:12] for one in found["checkpoints"])
        where = f"{found['data']['name']}, split {found['evaluation']['split']}"
        lines.append(f"{where}; {search}; checkpoint of SHA-256 {marks}...")
    if metrics != folder and metrics.is_file():
        note = json.loads(metrics.read_text(encoding="utf-8")).get("note")
        lines += [note] if note else []
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks examples", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="of an evaluation, or its reports.jsonl")
    parser.add_argument("--output", type=Path, help="write here instead of printing")
    given = parser.parse_args(arguments)
    text = markdown(read_reports(given.folder), about_evaluation(given.folder))
    if given.output is None:
        print(text)
        return
    with replacing(given.output) as temporary:
        temporary.write_text(text, encoding="utf-8")
