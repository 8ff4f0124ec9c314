from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, RenderableType

from xray_report.evaluation.tables import report_tables, strata_table

STRATA = {
    "strata/normal/studies": 5.0,
    "strata/normal/original/bleu4": 0.25,
    "strata/abnormal/studies": 3.0,
    "strata/abnormal/original/bleu4": 0.125,
    "strata/abnormal/facts/f1": 0.5,
}


def shown(*tables: RenderableType) -> str:
    console = Console(width=120, force_terminal=False)
    with console.capture() as captured:
        for table in tables:
            console.print(table)
    return captured.get()


def test_strata_name_their_protocol_and_show_what_was_scored() -> None:
    text = shown(strata_table(STRATA))
    assert "strata (protocol original)" in text
    assert "clean" not in text
    assert "nan" not in text
    assert "CIDEr" not in text
    (normal,) = (line for line in text.splitlines() if "normal" in line and "abnormal" not in line)
    assert "0.250" in normal
    assert normal.rstrip(" │").endswith("-")  # nothing to find is no score of 0
    assert "clean" in shown(strata_table(STRATA | {"strata/normal/clean/bleu4": 0.5}))


def test_a_system_keeps_its_brackets() -> None:
    metrics: Mapping[str, float] = {
        "studies": 3.0,
        "clean/bleu1": 0.5,
        "findings/edema/studies": 1.0,
        "findings/edema/f1": 0.5,
        "collapse/distinct_reports": 2.0,
        "collapse/reference_distinct_reports": 2.0,
    }
    assert shown(*report_tables(metrics, "m[beam=5]")).count("m[beam=5]") == 3
