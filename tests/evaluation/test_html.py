from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import torch

from xray_report.evaluation.html import PageStudy, findings_in, mistakes, write_page

TRUTH = "large right pleural effusion . heart size normal ."
MISSED = "lungs are clear . heart size normal ."


class Tags(HTMLParser):
    """Checks that what is opened is closed, and collects links to anything outside."""

    def __init__(self) -> None:
        super().__init__()
        self.sections, self.outside = 0, []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sections += tag == "section"
        self.outside += [
            v for k, v in attrs if k in ("src", "href") and not str(v).startswith("data:")
        ]


def page(tmp_path: Path, *studies: PageStudy) -> str:
    write_page(tmp_path / "report.html", "a <model>", [("clean/bleu4", "0.500")], studies)
    return (tmp_path / "report.html").read_text()


def study(hypothesis: str = MISSED) -> PageStudy:
    images = torch.zeros(2, 32, 32, dtype=torch.uint8)
    return PageStudy("study <1>", TRUTH, hypothesis, images, [torch.zeros(3, 50, 64).byte()])


def test_mistakes_count_what_is_missed_and_what_is_invented() -> None:
    assert mistakes(TRUTH, TRUTH) == 0
    assert mistakes(TRUTH, MISSED) == mistakes(MISSED, TRUTH) == 1
    assert mistakes(TRUTH, "small left pneumothorax .") == 2
    assert findings_in(MISSED) == frozenset()


def test_the_page_marks_findings_and_needs_nothing_else(tmp_path: Path) -> None:
    text = page(tmp_path, study(), study(TRUTH))
    tags = Tags()
    tags.feed(text)
    assert tags.sections == 2
    assert tags.outside == []
    assert text.count("data:image/jpeg;base64,") == 6
    first, second = text.split("<section>")[1:]
    assert re.search(r'class="missed">[^<]*pleural effusion', first)
    assert 'class="missed"' not in second
    assert re.search(r'class="hit">[^<]*pleural effusion', second)


def test_text_is_escaped(tmp_path: Path) -> None:
    text = page(tmp_path, study())
    assert "study &lt;1&gt;" in text
    assert "<model>" not in text
