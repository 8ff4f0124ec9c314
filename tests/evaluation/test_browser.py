"""report.html in headless Chromium, where there is one, and the playwright package with it."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.evaluation.test_page import EVIL, TRUTH, page, study
from xray_report.evaluation.page import PageStudy, Picture

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
DENIED = "No pleural effusion. Heart size normal."


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed, so nobody looks at report.html"
    )
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium is installed, so nobody looks at report.html")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield started
        started.close()


Opener = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Opener]:
    """Opens a page of the studies given; nothing may go wrong in it, nor be asked for."""
    wrong: list[str] = []
    contexts = []

    def open_page(*studies: PageStudy, width: int = 1200, scheme: str = "light") -> Any:
        page(tmp_path, *studies)
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(10_000)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda message: wrong.append(message.text))
        address = (tmp_path / "report.html").as_uri()
        tab.on(
            "request",
            lambda one: one.url.startswith(("data:", "blob:", address)) or wrong.append(one.url),
        )
        tab.goto(address)
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def shown(tab: Any) -> list[str]:
    """Ids of the studies that can be seen, in their order."""
    visible = "all => all.filter(one => one.offsetParent).map(one => one.textContent)"
    found: list[str] = tab.locator("article h2").evaluate_all(visible)
    return found


def brightness(color: str) -> float:
    """0 black .. 255 white of a CSS `rgb(...)`."""
    channels = [float(part) for part in re.findall(r"[\d.]+", color)[:3]]
    return sum(channels) / 3


def paper_and_ink(tab: Any) -> tuple[float, float]:
    style = (
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    paper, ink = tab.evaluate(style)
    return brightness(paper), brightness(ink)


OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_the_page_opens_with_all_its_films(opened: Opener) -> None:
    tab = opened(study(), study("Small right pleural effusion."))
    images = tab.locator("button.film .xray")
    assert images.count() == 4
    assert images.evaluate_all("all => all.every(one => one.naturalWidth && one.offsetWidth)")
    (tall,) = (
        tab.locator("button.film .xray")
        .nth(1)
        .evaluate_all("all => all.map(one => one.offsetHeight / one.offsetWidth)")
    )
    assert tall == pytest.approx(40 / 30, rel=0.02)
    lefts = "all => new Set([...all[0].children].map(one => one.getBoundingClientRect().left)).size"
    assert tab.locator(".study").evaluate_all(lefts) == 2
    colors = "all => all.map(one => getComputedStyle(one).backgroundColor)"
    marks = set(tab.locator("mark").evaluate_all(colors))
    assert len(marks) == 2  # missed, altered
    assert "rgba(0, 0, 0, 0)" not in marks
    assert tab.evaluate(OVERFLOW) == 0
    paper, ink = paper_and_ink(tab)
    assert paper - ink > 150


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_needs_no_sideways_scrolling(opened: Opener, scheme: str) -> None:
    long = replace(study(), study_id="a" * 90, warnings=["cut: " + "b" * 90])
    tab = opened(study(), long, width=400, scheme=scheme)
    assert tab.evaluate(OVERFLOW) == 0
    outside = "all => all.filter(one => one.getBoundingClientRect().right > innerWidth).length"
    assert tab.locator("article *:not(.spoken), .tools *").evaluate_all(outside) == 0
    tab.locator("button.film").nth(1).click()
    large = tab.locator("dialog .xray").evaluate("one => one.offsetHeight / one.offsetWidth")
    assert large == pytest.approx(40 / 30, rel=0.02)


def test_a_dark_screen_gets_a_dark_page(opened: Opener) -> None:
    paper, ink = paper_and_ink(opened(study(), scheme="dark"))
    assert ink - paper > 150


# What a reader does with it.

STUDIES = [
    study(name="study 2"),  # one missed
    study(DENIED, "study 10", ("blurred: moved",)),  # one contradicted
    study(TRUTH, "study 1"),  # right
    study("Small left pneumothorax. Cardiomegaly.", "study 3"),  # missed, invented, contradicted
]


@pytest.mark.slow
def test_studies_are_found_by_kind_finding_words_and_warnings(opened: Opener) -> None:
    tab = opened(*STUDIES)
    count = tab.get_by_role("status")
    assert shown(tab) == ["study 2", "study 10", "study 1", "study 3"]
    assert count.inner_text() == "4 studies"
    kinds = {
        kind: tab.locator(f"[data-kind={kind}]")
        for kind in ("contradicted", "altered", "missed", "invented", "agreed", "none")
    }
    found = {kind: button.locator(".number").inner_text() for kind, button in kinds.items()}
    assert found == {
        "contradicted": "2", "altered": "0", "missed": "2", "invented": "1", "agreed": "1",
        "none": "1",
    }  # fmt: skip
    assert kinds["altered"].is_disabled()
    kinds["missed"].click()
    assert shown(tab) == ["study 2", "study 3"]
    assert count.inner_text() == "2 of 4 studies"
    assert kinds["missed"].get_attribute("aria-pressed") == "true"
    kinds["contradicted"].click()  # either of both kinds
    assert shown(tab) == ["study 2", "study 10", "study 3"]
    finding = tab.get_by_label("Finding", exact=True)
    finding.select_option("cardiomegaly")  # of that finding
    assert shown(tab) == ["study 3"]
    kinds["contradicted"].click()
    assert shown(tab) == []
    assert count.inner_text() == "0 of 4 studies"
    finding.select_option("")
    kinds["missed"].click()
    tab.get_by_label("Search").fill("left  PNEUMO")
    assert shown(tab) == ["study 3"]
    tab.get_by_label("Search").fill("missed")  # a mark's own word is no word of the report
    assert shown(tab) == []
    tab.get_by_label("Search").fill("study 1")
    assert shown(tab) == ["study 10", "study 1"]
    tab.get_by_label("with warnings").check()
    assert shown(tab) == ["study 10"]


@pytest.mark.slow
def test_studies_are_sorted(opened: Opener) -> None:
    tab = opened(*STUDIES)
    order = tab.get_by_label("Sort")
    order.select_option("study")
    assert shown(tab) == ["study 1", "study 2", "study 3", "study 10"]
    order.select_option("contradicted")
    assert shown(tab) == ["study 10", "study 3", "study 2", "study 1"]
    order.select_option("fewest")
    assert shown(tab)[0] == "study 1"
    order.select_option("")
    assert shown(tab) == ["study 2", "study 10", "study 1", "study 3"]


@pytest.mark.slow
def test_every_study_is_reached_page_by_page(opened: Opener) -> None:
    names = [f"study {number}" for number in range(45)]
    tab = opened(*(study(name=name) for name in names))
    seen = shown(tab)
    for end in ("21 to 40", "41 to 45"):
        tab.get_by_role("button", name="Next").click()
        assert tab.get_by_role("status").inner_text() == f"45 studies, {end} shown"
        seen += shown(tab)
        top = tab.locator("article:visible").first.bounding_box()["y"]
        assert 0 < top < 300  # the first one is in sight again, below the filters
    assert seen == names
    assert tab.get_by_role("button", name="Next").is_disabled()
    tab.get_by_role("button", name="Previous").click()
    assert shown(tab) == names[20:40]
    tab.get_by_label("Search").fill("44")
    assert shown(tab) == ["study 44"]


@pytest.mark.slow
def test_films_are_enlarged_with_attention_on_and_off(opened: Opener) -> None:
    tab = opened(study())
    heats, word = tab.locator("article .heat"), tab.get_by_role("button", name="effusion")
    assert not heats.nth(0).is_visible()
    word.click()
    assert heats.nth(0).is_visible()
    assert heats.nth(1).is_visible()
    assert word.get_attribute("aria-pressed") == "true"
    film = tab.get_by_role("button", name="Enlarge the frontal film")
    small = film.locator(".xray").bounding_box()
    film.click()
    viewer = tab.get_by_role("dialog", name="frontal film of study <1>")
    large, heat = viewer.locator(".xray"), viewer.locator(".heat")
    assert large.bounding_box()["width"] > 2 * small["width"]
    assert heat.is_visible()
    assert heat.bounding_box() == large.bounding_box()
    toggle = viewer.get_by_role("button", name="Show attention")
    toggle.click()
    assert not heat.is_visible()
    assert not heats.nth(0).is_visible()  # in the page beneath, too
    viewer.get_by_role("button", name="heart").click()
    assert heat.is_visible()
    assert toggle.get_attribute("aria-pressed") == "true"
    first = heat.get_attribute("src")
    viewer.get_by_role("button", name="effusion").click()
    assert heat.get_attribute("src") != first
    viewer.get_by_role("button", name="Other view").click()
    assert tab.get_by_role("dialog", name="lateral film of study <1>").is_visible()
    viewer_now = tab.get_by_role("dialog")
    viewer_now.get_by_role("button", name="Close").click()
    assert not viewer_now.is_visible()
    word.click()
    assert not heats.nth(0).is_visible()


@pytest.mark.slow
def test_a_keyboard_is_enough(opened: Opener) -> None:
    tab = opened(*STUDIES)
    focused = "document.activeElement.closest('article, .tools, dialog, a')?.className"
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the studies"
    tab.locator("[data-kind=contradicted]").focus()
    tab.keyboard.press("Space")
    assert shown(tab) == ["study 10", "study 3"]
    film = tab.get_by_role("button", name="Enlarge the frontal film of study 10")
    film.focus()
    tab.keyboard.press("Enter")
    assert tab.get_by_role("dialog").is_visible()
    for _ in range(9):  # the focus stays in the viewer, or goes to the browser's own buttons
        tab.keyboard.press("Tab")
        assert tab.evaluate(f"document.activeElement === document.body || {focused} !== undefined")
        assert tab.evaluate("!document.activeElement.closest('main')")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Escape")
    assert not tab.get_by_role("dialog").is_visible()
    assert film.evaluate("one => one === document.activeElement")
    outline = "one => getComputedStyle(one).outlineStyle"
    assert film.evaluate(outline) == "solid"


UNNAMED = """all => all.filter(one => one.offsetParent
  && !(one.labels?.length || one.ariaLabel || one.textContent.trim())).map(one => one.outerHTML)"""


@pytest.mark.slow
def test_a_screen_reader_is_told_what_everything_is(opened: Opener) -> None:
    tab = opened(*STUDIES)
    assert tab.locator("button, input, select").evaluate_all(UNNAMED) == []
    assert tab.locator("img:not([alt])").count() == 0
    assert tab.get_by_role("main", name="Studies").count() == 1
    assert tab.get_by_role("search", name="Choose studies").count() == 1
    assert tab.get_by_role("status").get_attribute("aria-live") == "polite"
    tree = tab.locator("article").nth(1).aria_snapshot()
    assert "contradicted: Large right pleural effusion." in re.sub(r"\s*\n\s*- \w+: ?", " ", tree)
    levels = tab.locator("h1, h2, h3").evaluate_all("all => all.map(one => +one.tagName[1])")
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


@pytest.mark.slow
def test_the_readers_judgement_is_saved_as_csv(opened: Opener, tmp_path: Path) -> None:
    tab = opened(*STUDIES)
    second, last = tab.locator("article").nth(1), tab.locator("article").nth(3)
    second.get_by_label("serious mistake").check()
    second.get_by_label("Note").fill('denies it, "no effusion"')
    last.get_by_label("acceptable as it is").check()
    tab.locator("[data-kind=none]").click()  # judgements of studies out of sight stay
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Save judgements").click()
    assert download.value.suggested_filename == "judgements.csv"
    download.value.save_as(tmp_path / "judgements.csv")
    with (tmp_path / "judgements.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row.values()) for row in rows] == [
        ["study 10", "false", "true", 'denies it, "no effusion"', "a <model>"],
        ["study 3", "true", "false", "", "a <model>"],
    ]
    assert tab.get_by_role("status").inner_text() == "2 judged studies saved"


@pytest.mark.slow
def test_a_page_without_references_has_no_kinds_of_mistakes(opened: Opener) -> None:
    films = [Picture("frontal", torch.zeros(1, 20, 20).byte())]
    alone = [PageStudy(f"s{n}", None, text, films) for n, text in enumerate((TRUTH, "Clear."))]
    tab = opened(*alone)
    assert shown(tab) == ["s0", "s1"]
    assert not tab.locator(".kinds").is_visible()
    assert not tab.get_by_label("with warnings").is_visible()
    assert tab.get_by_label("Sort").locator("option").count() == 2
    tab.get_by_label("Finding", exact=True).select_option("pleural_effusion")
    assert shown(tab) == ["s0"]


@pytest.mark.slow
def test_what_a_report_says_is_never_run(opened: Opener) -> None:
    evil = replace(study(EVIL), study_id=EVIL, reference=f"{EVIL} {TRUTH}", warnings=[EVIL])
    tab = opened(evil, study())
    dialogs: list[str] = []
    tab.on("dialog", lambda one: dialogs.append(one.message) or one.dismiss())
    assert shown(tab)[0] == EVIL
    tab.locator("article h2").nth(0).hover()
    tab.locator("button.film").nth(0).click()
    assert tab.locator("dialog h2").inner_text() == f"frontal film of {EVIL}"
    assert dialogs == []
    assert tab.locator("script").count() == 1


@pytest.mark.slow
def test_without_scripts_everything_is_still_there(browser: Any, tmp_path: Path) -> None:
    page(tmp_path, *(study(name=f"study {number}") for number in range(25)))
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((tmp_path / "report.html").as_uri())
    assert tab.locator("article:visible").count() == 25
    assert not tab.locator(".tools").is_visible()
    assert "need JavaScript" in tab.locator("noscript").inner_text()
    context.close()
