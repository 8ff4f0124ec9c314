"""Result folders: metrics.json (flat keys, fractions) and reports.jsonl (one study a line)."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xray_report.errors import DataError
from xray_report.files import replacing
from xray_report.metrics.rows import json_lines, parse_json, read_content

METRICS_FILE = "metrics.json"
REPORTS_FILE = "reports.jsonl"


@dataclass(frozen=True)
class ReportRecord:
    """One generated report beside its reference.

    Args:
        study_id: unique within a result.
        reference, hypothesis: texts.
        score: what the search ranked by; None where the text came from elsewhere.
        log_prob: log-probability of the hypothesis under its model, or None.
    """

    study_id: str
    reference: str
    hypothesis: str
    score: float | None = None
    log_prob: float | None = None


def write_metrics(path: str | Path, metrics: Mapping[str, float | str]) -> None:
    """Write flat metrics as sorted JSON; a value that is not finite becomes null."""
    plain = {
        key: (None if isinstance(value, float) and not math.isfinite(value) else value)
        for key, value in sorted(metrics.items())
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(plain, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_metrics(path: str | Path) -> dict[str, float]:
    """Numbers of a metrics.json, or of the result folder that holds one; texts are left out.

    Raises:
        DataError: no such file, not JSON, or not a flat dictionary.
    """
    path = inside(path, METRICS_FILE)
    loaded = parse_json(path, read_content(path))
    if not isinstance(loaded, dict):
        raise DataError(f"{path}: expected one dictionary of metrics, got {type(loaded).__name__}")
    nested = [key for key, value in loaded.items() if isinstance(value, (dict, list))]
    if nested:
        raise DataError(f"{path}: {nested[0]!r} is nested; metrics have flat keys and numbers")
    numbers = {key: value for key, value in loaded.items() if type(value) in (int, float)}
    huge = [k for k, v in numbers.items() if math.inf > abs(v) > sys.float_info.max]
    if huge:
        raise DataError(f"{path}: {huge[0]!r} is too large a number for a metric")
    return {key: float(value) for key, value in numbers.items()}


def write_reports(path: str | Path, records: Iterable[ReportRecord]) -> None:
    """Write one JSON object a line, in the order given."""
    lines = [json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records]
    with replacing(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def read_reports(path: str | Path) -> list[ReportRecord]:
    """Records of a reports.jsonl, or of the result folder that holds one.

    Raises:
        DataError: no such file, a line without the fields, or a study id that stands twice.
    """
    path = inside(path, REPORTS_FILE)
    entries = json_lines(path, read_content(path))
    records = [_record(path, number, entry) for number, entry in enumerate(entries, start=1)]
    seen: set[str] = set()
    for record in records:
        if record.study_id in seen:
            raise DataError(f"{path}: study {record.study_id!r} stands more than once")
        seen.add(record.study_id)
    if not records:
        raise DataError(f"{path} holds no reports")
    return records


def _record(path: Path, number: int, entry: Any) -> ReportRecord:
    if not isinstance(entry, dict):
        raise DataError(f"{path} entry {number}: expected a JSON object")
    for field in ("study_id", "reference", "hypothesis"):
        if not isinstance(entry.get(field), str):
            raise DataError(f"{path} entry {number}: field {field!r} is missing or not a text")
    known = {key: entry.get(key) for key in ReportRecord.__dataclass_fields__}
    return ReportRecord(**known)  # type: ignore[arg-type]


def merge_records(parts: Sequence[Sequence[ReportRecord]]) -> list[ReportRecord]:
    """One list, by study id, from what several processes made; repeated studies count once.

    Distributed samplers repeat studies to give every process as many; the first copy is kept.
    """
    merged: dict[str, ReportRecord] = {}
    for part in parts:
        for record in part:
            merged.setdefault(record.study_id, record)
    return [merged[study_id] for study_id in sorted(merged)]


def inside(path: str | Path, name: str) -> Path:
    """The file `name` of a result folder, or the path itself where it is no folder."""
    path = Path(path)
    return path / name if path.is_dir() else path
