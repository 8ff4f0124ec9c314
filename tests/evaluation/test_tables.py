from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, RenderableType

from xray_report.evaluation.tables import in_one_sentence, report_tables, strata_table

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


def test_the_main_tables_are_one_protocol_findings_and_verdicts() -> None:
    metrics = {
        "studies": 20.0,
        **{f"{name}/bleu{n}": 0.5 for name in ("clean", "original") for n in (1, 2, 3, 4)},
        "findings/micro_f1": 0.75,
        "findings/edema/studies": 1.0,
        "findings/edema/f1": 0.5,
        "collapse/distinct_reports": 1.0,
        "collapse/reference_distinct_reports": 20.0,
        "collapse/most_frequent_share": 1.0,
        "collapse/reference_most_frequent_share": 0.05,
    } | STRATA
    text, whole = (shown(*report_tables(metrics, "m", verbose)) for verbose in (False, True))
    for part in ("clean: ", "findings, read by", "COLLAPSED"):
        assert part in text
        assert part in whole
    for part in ("original: ", "class by", "collapse panel", "strata"):
        assert part not in text
        assert part in whole
    assert in_one_sentence(metrics, "val", "runs/x") == (
        "BLEU-4 0.500, findings F1 0.750 on 20 val studies, 1 warning; all of it is written to "
        "runs/x: open report.html there."
    )
