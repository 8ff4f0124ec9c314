from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from xray_report.data.study import StudyImage
from xray_report.errors import ImageError
from xray_report.evaluation.page import (
    FILM_SIZE,
    LEGEND,
    SIGNS,
    PageHead,
    PageStudy,
    Picture,
    WordAttention,
    film_of,
    score_sentences,
    score_tables,
    word_attention,
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
        self.studies, self.outside, self.scripts = 0, [], 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.studies += tag == "article"
        self.scripts += tag == "script"
        self.outside += [
            v for k, v in attrs if k in ("src", "href") and not str(v).startswith(("data:", "#"))
        ]


def study(
    hypothesis: str = MISSED, name: str = "study <1>", warnings: tuple[str, ...] = ()
) -> PageStudy:
    views = [
        Picture("frontal", torch.zeros(1, 32, 32).byte()),
        Picture("lateral", torch.zeros(1, 40, 30).byte()),
    ]
    share = torch.ones(2, 4, 4)
    share[0, 0, 0] = 16
    attention = [WordAttention("effusion", share), WordAttention("heart", torch.ones(2, 4, 4))]
    return PageStudy(name, TRUTH, hypothesis, views, attention, warnings)


def page(tmp_path: Path, *studies: PageStudy) -> str:
    write_page(tmp_path / "report.html", HEAD, studies)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def mark(kind: str, text: str) -> str:
    """A sentence of a report as it is marked: colour, a sign to see and a word to hear."""
    return (
        f'<mark class="{kind}"><span class="sign" aria-hidden="true">{SIGNS[kind]}&nbsp;</span>'
        f'<span class="spoken">{kind}: </span>{text}</mark>'
    )


def test_the_page_holds_its_pictures_and_needs_nothing_else(tmp_path: Path) -> None:
    text = page(tmp_path, study(), study(TRUTH))
    tags = Tags()
    tags.feed(text)
    assert tags.studies == 2
    assert tags.scripts == 1
    assert tags.outside == []
    assert "url(" not in text
    assert "@import" not in text
    assert text.count("data:image/jpeg;base64,") == 4


def test_a_policy_lets_nothing_in_but_what_is_in_the_page(tmp_path: Path) -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page(tmp_path))
    parts = dict(part.split(maxsplit=1) for part in policy.split("; "))
    assert parts.keys() == {"default-src", "img-src", "style-src", "script-src"}
    assert parts["default-src"] == "'none'"
    assert parts["img-src"] == "data:"
    for part in ("style-src", "script-src"):
        assert re.fullmatch(r"'sha256-[\w+/]{43}='", parts[part])


def test_findings_are_marked_in_both_texts(tmp_path: Path) -> None:
    first, second = page(tmp_path, study(), study(TRUTH)).split("<article>")[1:]
    assert mark("missed", "Large right pleural effusion.") in first
    assert re.search(
        r'<li class="missed">.*</span>missed: large right pleural effusion</li>', first
    )
    assert "1 mistake<" in first
    assert 'data-marks="missed:pleural_effusion"' in first
    assert "no mistake" in second
    assert second.count(mark("agreed", "Large right pleural effusion.")) == 2
    assert 'data-marks="agreed:pleural_effusion none:pleural_effusion"' in second
    assert "missed" not in second.split("</article>")[0]


def test_a_finding_that_the_other_report_denies_is_marked_first_in_both(tmp_path: Path) -> None:
    said = "Small left pneumothorax. No pleural effusion. Heart size normal."
    text = page(tmp_path, study(said)).split("<article>")[1]
    assert mark("contradicted", "Large right pleural effusion.") in text  # the reference's
    assert mark("contradicted", "No pleural effusion.") in text  # of the generated report
    assert mark("invented", "Small left pneumothorax.") in text
    listed = re.findall(r'<li class="(\w+)">', text)
    assert listed == ["contradicted", "invented"]
    assert "large right pleural effusion (the generated report denies it)" in text
    assert "2 mistakes, 1 contradicted<" in text


def test_what_the_reference_denies_is_a_contradiction_too(tmp_path: Path) -> None:
    text = page(tmp_path, study(f"{TRUTH} Cardiomegaly.")).split("<article>")[1]
    assert mark("contradicted", "Cardiomegaly.") in text
    assert text.count(mark("contradicted", "Heart size normal.")) == 1
    assert "cardiomegaly (the reference denies it)" in text


def test_another_size_is_shown_beside_the_references(tmp_path: Path) -> None:
    text = page(tmp_path, study("Small right pleural effusion."))
    assert "small right pleural effusion (reference: large right pleural effusion)" in text
    assert text.count('<mark class="altered"') == 2


def test_an_invented_finding_and_an_empty_report(tmp_path: Path) -> None:
    first, second = page(tmp_path, study("Left rib fracture."), study("")).split("<article>")[1:]
    assert mark("invented", "Left rib fracture.") in first
    assert "(empty)" in second


def test_scores_notices_and_warnings_stand_above_the_studies(tmp_path: Path) -> None:
    head = page(tmp_path, study()).split("<article>")[0]
    for part in (
        "Drawn, not real. Not for clinical use.",
        "<b>COLLAPSED:</b> 3 different reports.",
        "0.250<small>0.200 to 0.300</small>",
        '<th scope="row">one fixed report for all</th><td>0.125</td>',
        "3 different reports for 200 studies (the references hold 150)",
        '<th scope="row">edema</th><td>7</td>',
    ):
        assert part in head
    assert "pneumonia" not in head
    for kind, meaning in LEGEND.items():
        assert f'data-kind="{kind}" title="{meaning}"' in head


EVIL = '<script>alert(1)</script><img src=x onerror=alert(2)>" onmouseover="alert(3)'


def test_text_is_escaped_wherever_it_comes_from(tmp_path: Path) -> None:
    share = torch.ones(1, 2, 2)
    evil = PageStudy(
        EVIL,
        f"{EVIL} Large right pleural effusion.",
        EVIL,
        [Picture(EVIL, torch.zeros(1, 8, 8).byte())],
        [WordAttention(EVIL, share)],
        [f"{EVIL}: {EVIL}"],
    )
    table = score_tables(METRICS, EVIL)
    head = PageHead(EVIL, [EVIL], [f"{EVIL}: {EVIL}"], [EVIL], table, {EVIL: EVIL})
    write_page(tmp_path / "report.html", head, [evil])
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("&lt;script&gt;") >= 15
    tags = Tags()
    tags.feed(text)
    assert (tags.studies, tags.scripts, tags.outside) == (1, 1, [])
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert '" onmouseover="' not in text


def test_a_film_keeps_its_proportions_and_says_when_it_cannot_be_read() -> None:
    class Tall:
        identity = "tall"

        def load(self) -> NDArray[np.uint8]:
            return np.full((2 * FILM_SIZE, FILM_SIZE), 7, np.uint8)

    class Gone(Tall):
        def load(self) -> NDArray[np.uint8]:
            raise ImageError("gone.png: no such file")

    film = film_of(StudyImage(Tall()), "lateral")
    assert film.image.shape == (1, FILM_SIZE, FILM_SIZE // 2)
    assert film.image.unique().tolist() == [7]
    assert film_of(StudyImage(Gone()), "lateral").caption == "lateral (cannot be read now)"


def test_the_browser_is_told_the_proportions(tmp_path: Path) -> None:
    assert 'width="30" height="40"' in page(tmp_path, study())


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (3, 5)])
def test_attention_of_any_grid_is_laid_over_the_views_there_are(grid: tuple[int, int]) -> None:
    words = ("large", "right", "pleural", "effusion", ".")
    attention = torch.zeros(5, 2, *grid)
    attention[3, 1, 0, 0] = 1  # at "effusion", top left of the lateral view
    report = Report("1", " ".join(words), (), words, attention)
    (found,) = word_attention(report, [1])
    assert found.word == "effusion"
    assert found.share.shape == (1, *grid)
    assert found.share[0, 0, 0] == grid[0] * grid[1]  # times what each place would get
    assert found.share.sum() == found.share[0, 0, 0]
    assert word_attention(Report("1", " ".join(words), (), words), [1]) == []


def test_the_page_carries_one_small_picture_for_each_word_and_view(tmp_path: Path) -> None:
    text = page(tmp_path, study())
    (both,) = re.findall(r'data-heat="([^"]*)">effusion', text)
    pixels = []
    for source in both.split(" "):
        data = base64.b64decode(source.removeprefix("data:image/png;base64,"))
        pixels.append(np.asarray(Image.open(io.BytesIO(data))))
    assert [one.shape for one in pixels] == [(4, 4, 4), (4, 4, 4)]
    assert pixels[0][0, 0, 3] > 100  # 16 times the even share
    assert pixels[0][1:].max(axis=(0, 1))[3] == pixels[1][..., 3].max() == 0
    assert len(both) < 400


def test_a_study_without_a_reference_is_shown_with_what_it_says(tmp_path: Path) -> None:
    alone = PageStudy("s", None, TRUTH, [], warnings=["cut: after <5> tokens"])
    text = page(tmp_path, alone, PageStudy("t", None, "", [])).split("<main")[1]
    assert "<b>cut:</b> after &lt;5&gt; tokens" in text
    first, second = text.split("<article>")[1:]
    assert "large right pleural effusion</li>" in first
    assert 'data-marks="present:pleural_effusion"' in first
    assert 'data-warnings="1"' in first
    assert "(empty)" in second
    assert 'data-warnings="0"' in second
    assert "Reference" not in text
    assert "mistake" not in first.split('class="judgement')[0].replace("data-mistakes", "")
    assert "<mark" not in text


# Colours: read from the page's own style.

SCHEMES = ("light", "dark")
KINDS = tuple(LEGEND)


def colors(scheme: str) -> dict[str, NDArray[np.float64]]:
    """The custom colours of a scheme, each [3], 0 to 1."""
    style = files("xray_report.evaluation").joinpath("templates/report.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    text = light if scheme == "light" else light + dark
    found = re.findall(r"--([\w-]+): #(\w{6});", text)
    return {name: np.array([*bytes.fromhex(code)]) / 255 for name, code in found}


def linear(color: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light of sRGB (IEC 61966-2-1)."""
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def contrast(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Contrast of two colours, 1 to 21 (WCAG 2.2)."""
    light = sorted(float(linear(color) @ (0.2126, 0.7152, 0.0722)) + 0.05 for color in (a, b))
    return light[1] / light[0]


CONFUSED = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
"""On linear RGB, severity 1 (Machado, Oliveira and Fernandes 2009, table 1)."""


def as_seen(color: NDArray[np.float64], by: str) -> NDArray[np.float64]:
    """A colour as somebody who confuses colours sees it."""
    seen = np.clip(np.array(CONFUSED[by]) @ linear(color), 0, 1)
    return np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("by", CONFUSED)
def test_colour_blind_people_tell_right_from_wrong(scheme: str, by: str) -> None:
    lab = {name: rgb2lab(as_seen(one, by)) for name, one in colors(scheme).items()}
    for kind in ("missed", "invented", "contradicted", "altered"):
        assert deltaE_ciede2000(lab["agreed"], lab[kind]) >= 15, kind
    for kind in ("missed", "invented", "contradicted"):  # and the marks from the card
        assert deltaE_ciede2000(lab["card"], lab[kind]) >= 5, kind


@pytest.mark.parametrize("scheme", SCHEMES)
def test_texts_have_the_contrast_that_wcag_aa_asks_for(scheme: str) -> None:
    found = colors(scheme)
    for paper in ("page", "card"):
        for ink in ("ink", "soft", "warn", "accent"):
            assert contrast(found[ink], found[paper]) >= 4.5, (ink, paper)
    for kind in KINDS:
        ink = found.get(f"{kind}-ink", found["ink"])
        assert contrast(ink, found[kind]) >= 4.5, kind
        if f"{kind}-line" in found:  # underlines are graphics: 3 to 1
            assert contrast(found[f"{kind}-line"], found[kind]) >= 3, kind
    assert contrast(found["ink"], found["field"]) >= 4.5
    assert contrast(found["edge"], found["card"]) >= 3  # of buttons and fields


def test_every_kind_has_its_own_sign_and_underline() -> None:
    style = files("xray_report.evaluation").joinpath("templates/report.css").read_text("utf-8")
    lines = {
        kind: re.search(rf"^\.{kind} .*text-decoration: underline (\w+)", style, re.MULTILINE)
        for kind in KINDS
    }
    assert len({line[1] for line in lines.values() if line}) == len(set(SIGNS.values())) == 5
