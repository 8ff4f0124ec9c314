from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from xray_report.evaluation.page import (
    PageHead,
    PageStudy,
    Picture,
    attention_pictures,
    score_sentences,
    score_tables,
    write_page,
)
from xray_report.inference.generator import Report

TRUTH = "Large right pleural effusion. Heart size normal."
MISSED = "Lungs are clear. Heart size normal."
METRICS = {
    "studies": 200.0,
    "clean/bleu4": 0.25,
    "clean/bleu4_low": 0.2,
    "clean/bleu4_high": 0.3,
    "baseline/constant/clean/bleu4": 0.125,
    "findings/edema/studies": 7.0,
    "findings/edema/f1": 0.5,
    "findings/pneumonia/studies": 0.0,
    "collapse/distinct_reports": 3.0,
    "collapse/reference_distinct_reports": 150.0,
    "collapse/most_frequent_share": 0.5,
}
HEAD = PageHead(
    "a <model>",
    notices=["Drawn, not real.", "Not for clinical use."],
    warnings=["COLLAPSED: 3 different reports."],
    summary=score_sentences(METRICS),
    tables=score_tables(METRICS, "a <model>"),
)


class Tags(HTMLParser):
    """Counts studies, and collects links to anything outside of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.studies, self.outside = 0, []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.studies += tag == "article"
        self.outside += [
            v for k, v in attrs if k in ("src", "href") and not str(v).startswith("data:")
        ]


def study(hypothesis: str = MISSED) -> PageStudy:
    views = [Picture(name, torch.zeros(1, 32, 32).byte()) for name in ("frontal", "lateral")]
    attention = [Picture("looked here for “effusion”", torch.zeros(3, 32, 64).byte())]
    return PageStudy("study <1>", TRUTH, hypothesis, views, attention)


def page(tmp_path: Path, *studies: PageStudy) -> str:
    write_page(tmp_path / "report.html", HEAD, studies)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_holds_its_pictures_and_needs_nothing_else(tmp_path: Path) -> None:
    text = page(tmp_path, study(), study(TRUTH))
    tags = Tags()
    tags.feed(text)
    assert tags.studies == 2
    assert tags.outside == []
    assert "url(" not in text
    assert "@import" not in text
    assert text.count("data:image/jpeg;base64,") == 6


def test_findings_are_marked_in_both_texts(tmp_path: Path) -> None:
    first, second = page(tmp_path, study(), study(TRUTH)).split("<article>")[1:]
    assert re.search(r'<mark class="missed"[^>]*>Large right pleural effusion\.</mark>', first)
    assert re.search(r'<li class="missed sign">large right pleural effusion</li>', first)
    assert "1 mistake<" in first
    assert "no mistake" in second
    assert second.count('<mark class="agreed"') == 2
    assert "missed" not in second


def test_another_size_is_shown_beside_the_references(tmp_path: Path) -> None:
    text = page(tmp_path, study("Small right pleural effusion."))
    assert "small right pleural effusion (reference: large right pleural effusion)" in text
    assert text.count('<mark class="altered"') == 2


def test_an_invented_finding_and_an_empty_report(tmp_path: Path) -> None:
    first, second = page(tmp_path, study("Left rib fracture."), study("")).split("<article>")[1:]
    assert re.search(r'<mark class="invented"[^>]*>Left rib fracture\.</mark>', first)
    assert "(empty)" in second


def test_scores_notices_and_warnings_stand_above_the_studies(tmp_path: Path) -> None:
    head = page(tmp_path, study()).split("<article>")[0]
    for part in (
        "Drawn, not real. Not for clinical use.",
        "<b>COLLAPSED:</b> 3 different reports.",
        "0.250<small>0.200 to 0.300</small>",
        "one fixed report for all</td><td>0.125</td>",
        "3 different reports for 200 studies (the references hold 150)",
        "<td>edema</td><td>7</td>",
    ):
        assert part in head
    assert "pneumonia" not in head


def test_text_is_escaped(tmp_path: Path) -> None:
    text = page(tmp_path, study())
    assert "study &lt;1&gt;" in text
    assert "a &lt;model&gt;</td>" in text
    assert "<model>" not in text


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (3, 5)])
def test_attention_of_any_grid_is_drawn_over_the_views_there_are(grid: tuple[int, int]) -> None:
    words = ("large", "right", "pleural", "effusion", ".")
    attention = torch.zeros(5, 2, *grid)
    attention[3, 1, 0, 0] = 1  # at "effusion", top left of the lateral view
    report = Report("1", " ".join(words), (), words, attention)
    images = torch.full((1, 30, 30), 100, dtype=torch.uint8)
    (picture,) = attention_pictures(images, [1], report)
    assert "effusion" in picture.caption
    assert picture.image.shape == (3, 30, 30)
    red, _, blue = picture.image[:, 0, 0].tolist()
    assert red > 100 > blue
    assert picture.image[:, -1, -1].tolist() == [100, 100, 100]
    assert attention_pictures(images, [1], Report("1", " ".join(words), (), words)) == []


def test_a_study_without_a_reference_is_shown_with_what_it_says(tmp_path: Path) -> None:
    alone = PageStudy("s", None, TRUTH, [], warnings=["cut: after <5> tokens"])
    text = page(tmp_path, alone, PageStudy("t", None, "", []))
    assert "<b>cut:</b> after &lt;5&gt; tokens" in text
    assert "large right pleural effusion</li>" in text
    assert "(empty)" in text
    assert "Reference" not in text
    assert "in both reports" not in text
    assert "mistake" not in text
    assert "in both reports" in page(tmp_path, study())
