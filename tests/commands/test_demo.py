"""`xray-report demo`: what answers behind the page, and the page itself in headless Chromium."""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.commands.console import failure, run
from tests.inference.checkpoints import save
from xray_report.commands.demo import (
    KEPT_SECONDS,
    N_BEST,
    Desk,
    build_page,
    drawn_studies,
    found_in,
    heat_layers,
    model_card,
    own_folder,
    serve,
    sweep,
)
from xray_report.commands.reading import reader_of, search_of
from xray_report.errors import OptionError
from xray_report.inference.checkpoint import ReportCheckpoint, load_checkpoint

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> ReportCheckpoint:
    """A model whose reports are not empty, whatever it reads."""
    return load_checkpoint(save(tmp_path_factory.mktemp("model") / "model.ckpt", seed=1))


@pytest.fixture
def desk(loaded: ReportCheckpoint, tmp_path: Path) -> Desk:
    return desk_of(loaded, tmp_path)


def desk_of(loaded: ReportCheckpoint, folder: Path) -> Desk:
    search = search_of("beam", None, None, N_BEST, attention=True)
    return Desk(reader_of([loaded], search, N_BEST, torch.device("cpu"), "beam"), folder)


def film(path: Path) -> Path:
    """Write a film in two shades that is twice as wide as high."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 80), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def uploaded(desk: Desk, name: str, content: bytes | None = None) -> str:
    """A file where gradio puts an upload: in a folder of its own."""
    path = film(desk.folder / f"of {name}" / name)
    if content is not None:
        path.write_bytes(content)
    return str(path)


def text_of(markup: str) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", " ", markup)).split())


def pixels_of(address: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


# What answers.


def test_dropped_films_are_read_and_deleted(desk: Desk) -> None:
    markup = desk.read_films(uploaded(desk, "pa.png"), uploaded(desk, "side.png"))
    sentences = re.findall(r"<li>.*?</li>", markup, re.DOTALL)  # findings have a class
    assert sentences
    assert all(re.search(r'<meter[^>]* value="\d+"', sentence) for sentence in sentences)
    assert "Frontal: pa.png" in markup
    assert "Lateral: side.png" in markup
    assert "cannot read films" in markup
    assert f"{N_BEST - 1} other reports" in text_of(markup)
    assert str(desk.folder) not in markup
    assert not list(desk.folder.iterdir())


def test_the_report_and_its_confidence_are_those_of_predict(
    desk: Desk, loaded: ReportCheckpoint, tmp_path: Path
) -> None:
    from json import loads

    given = film(tmp_path / "given" / "film.png")
    done = run(
        "predict", "--frontal", given, "--checkpoint", loaded.path, "--n-best", N_BEST,
        "--device", "cpu", "--json", "-",
    )  # fmt: skip
    record = loads(done.stdout)
    markup = desk.read_films(uploaded(desk, "film.png"), None)
    words = re.findall(r'<span class="word[ "][^>]*>([^<]*)</span>', markup)
    assert " ".join(map(unescape, words)) == record["report"]
    shown = [int(one) for one in re.findall(r'<meter[^>]* value="(\d+)"', markup)]
    assert shown == [round(100 * one["confidence"]) for one in record["sentences"]]
    told = text_of(markup)
    assert all(one["report"] in told for one in record["hypotheses"] if one["report"])
    warned = [one["text"].replace(str(given), given.name) for one in record["warnings"]]
    assert warned
    assert all(text in told for text in warned)


def test_each_word_shows_where_the_model_looked_on_the_views_there_are(desk: Desk) -> None:
    both = desk.read_films(uploaded(desk, "pa.png"), uploaded(desk, "side.png"))
    words = re.findall(r'<span class="word[ "][^>]*>', both)
    assert words
    assert all("data-heat0=" in word and "data-heat1=" in word for word in words)
    alone = desk.read_films(None, uploaded(desk, "side.png"))
    assert "data-heat1=" in alone
    assert "data-heat0=" not in alone


def test_the_heat_lies_where_the_attention_is() -> None:
    attention = torch.zeros(2, 2, 3, 3)
    attention[0, 0, 0, 2], attention[1, 1, 2, 1] = 1.0, 1.0
    layers = heat_layers(attention, (0,), torch.tensor([True, True]))
    opacity = pixels_of(layers[0])[..., 3]
    assert opacity.argmax() == 2
    assert np.count_nonzero(opacity) == 1
    assert not pixels_of(layers[1])[..., 3].any()
    assert pixels_of(heat_layers(attention, (1,), torch.tensor([False, True]))[1])[2, 1, 3] > 0
    assert heat_layers(None, (0,), torch.tensor([True, True])) == {}


def test_a_film_is_shown_in_its_own_proportions(desk: Desk) -> None:
    markup = desk.read_films(uploaded(desk, "pa.png"), None)
    (address,) = re.findall(r'class="xray" src="([^"]*)"', markup)
    assert pixels_of(address).shape == (40, 80)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cut.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x50\0\0\0\x50\x08\0\0\0\0", "damaged"),
        ("notes.png", b"no image", "not a PNG, JPEG or DICOM image"),
        ("a<i>&.png", b"", "not a PNG, JPEG or DICOM image"),
    ],
)
def test_a_bad_file_is_one_message_and_is_deleted(
    desk: Desk, name: str, content: bytes, said: str
) -> None:
    markup = desk.read_films(uploaded(desk, name, content), None)
    assert text_of(markup).startswith(f"Not read: {name}")
    assert said in markup
    assert markup.count('role="alert"') == 1
    assert "<i>" not in markup
    assert 'class="result"' not in markup
    assert str(desk.folder) not in markup
    assert not list(desk.folder.iterdir())


def test_one_bad_film_of_two_leaves_the_report_of_the_other(desk: Desk) -> None:
    bad = uploaded(desk, "cut.png", b"no image")
    markup = desk.read_films(bad, uploaded(desk, "side.png"))
    assert markup.count('role="alert"') == 1
    assert "Not read: cut.png" in text_of(markup)
    assert "Lateral: side.png" in markup
    assert "Frontal:" not in markup


def test_nothing_dropped_says_what_to_do(desk: Desk) -> None:
    assert "Drop a frontal film" in desk.read_films(None, None)


def test_what_was_drawn_stands_beside_the_report_of_a_drawing(desk: Desk) -> None:
    for index, study in enumerate(drawn_studies(desk.reader.extractor.size)):
        markup = desk.read_drawn(index)
        assert f"What was drawn {study.findings}" in text_of(markup)
        assert "cannot read films" not in markup  # it is none, and the page's head says so


def test_a_model_without_attention_says_so(tmp_path: Path) -> None:
    merge = load_checkpoint(save(tmp_path / "merge.ckpt", name="encoder_decoder"))
    desk = desk_of(merge, tmp_path / "uploads")
    desk.folder.mkdir()
    markup = desk.read_films(uploaded(desk, "pa.png"), None)
    assert "has no attention" in markup
    assert "data-heat" not in markup


def test_findings_are_told_in_words() -> None:
    report = "Small right pleural effusion. No pneumothorax."
    findings = {"Pleural Effusion": "present", "Pneumothorax": "absent", "No Finding": "absent",
                "Edema": "uncertain"}  # fmt: skip
    found = found_in({"report": report, "findings": findings})
    assert found["present"] == ["small right pleural effusion"]
    assert found["absent"] == ["pneumothorax"]
    assert found["uncertain"] == ["edema"]


def test_the_model_card_says_what_the_model_is(desk: Desk, loaded: ReportCheckpoint) -> None:
    card = model_card([loaded], desk.reader)
    assert card["File"] == str(loaded.path)
    assert len(card["SHA-256"]) == 64
    assert card["Trained on"] == "phantom"
    assert "attention decoder" in card["Model"]
    assert card["Validation"] == "loss 1.000"


# What is kept.


def test_what_was_never_read_is_swept_away(tmp_path: Path) -> None:
    old, new, half = film(tmp_path / "a" / "old.png"), film(tmp_path / "b" / "new.png"), "tmp1"
    (tmp_path / half).write_bytes(b"half an upload")
    for path in (old.parent, tmp_path / half):
        os.utime(path, (time.time() - KEPT_SECONDS - 1,) * 2)
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [new.parent]
    sweep(tmp_path, -1)
    assert not list(tmp_path.iterdir())


def test_the_folder_of_uploads_is_gone_after_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "elsewhere")
    monkeypatch.delenv("GRADIO_ANALYTICS_ENABLED", raising=False)
    with pytest.raises(ValueError, match="stop"), own_folder() as folder:
        film(folder / "a" / "film.png")
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
        raise ValueError("stop")
    assert not folder.exists()
    assert os.environ["GRADIO_TEMP_DIR"] == "elsewhere"
    assert "GRADIO_ANALYTICS_ENABLED" not in os.environ


# The command.


def test_without_gradio_it_says_what_to_install(
    loaded: ReportCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    said = failure("demo", "--checkpoint", loaded.path)
    assert 'pip install -e ".[demo]"' in said


needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None,
    reason="gradio is not installed: pip install -e '.[demo]'",
)


@needs_gradio
def test_mistakes_are_told_before_the_page_opens(tmp_path: Path) -> None:
    assert "none.ckpt" in failure("demo", "--checkpoint", tmp_path / "none.ckpt")
    assert "device=cuda:99 is not there" in failure("demo", "--device", "cuda:99")
    assert run("demo", "--port", 0).exit_code == 2
    assert run("demo", "--upload-limit", 0).exit_code == 2


@needs_gradio
def test_a_taken_port_is_one_line(desk: Desk, loaded: ReportCheckpoint) -> None:
    page = build_page(desk, model_card([loaded], desk.reader), 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OptionError, match=f"port {port} at 127.0.0.1 is taken"):
            serve(page, desk.folder, "127.0.0.1", port, 1)


# The page, as a person uses it.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    for name in ("gradio", "playwright"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed, so nobody looks at the demo")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed, so nobody looks at the demo")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()


class Running:
    """`xray-report demo` in a process of its own, its temporary files in a folder of ours."""

    def __init__(self, checkpoint: Path, temporary: Path) -> None:
        self.temporary = temporary
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "xray_report", "demo", "--checkpoint", str(checkpoint),
             "--port", str(port), "--device", "cpu", "--upload-limit", "1"],
            env={**os.environ, "TMPDIR": str(temporary), "http_proxy": "http://127.0.0.1:9"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line + self.process.stdout.read()
        self.address = found[0]

    def files(self) -> list[Path]:
        """What it keeps that holds anything."""
        return [one for one in self.temporary.rglob("*") if one.is_file() and one.stat().st_size]

    def end(self) -> str:
        """End it as a service manager does; what it said since it began."""
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, said
        return said


@pytest.fixture(scope="module")
def running(
    browser: Any, loaded: ReportCheckpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    running = Running(loaded.path, tmp_path_factory.mktemp("temporary"))
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def opened(browser: Any, running: Running, **options: Any) -> tuple[Any, list[str]]:
    """The page in a window of its own, and the addresses it asks for, as they come."""
    page, asked = browser.new_page(**options), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(running.address)
    page.wait_for_selector("#drawn-0")
    return page, asked


def drop(page: Any, slot: str, path: Path) -> None:
    page.set_input_files(f"#{slot}-film input[type=file]", path)
    page.wait_for_selector(f"#{slot}-film a[download]")


def is_on(word: Any) -> bool:
    """Whether a word's attention is shown."""
    return "on" in word.get_attribute("class").split()


@pytest.mark.slow
def test_a_film_dropped_in_the_browser_is_read(
    browser: Any, running: Running, tmp_path: Path
) -> None:
    page, asked = opened(browser, running, viewport={"width": 1400, "height": 900})
    head = page.inner_text("body")
    assert "only ever seen drawn (phantom) studies" in head
    assert "not for clinical use" in head
    assert str(running.process.args[5]) in head  # type: ignore[index]
    drop(page, "frontal", film(tmp_path / "pa.png"))
    assert any(path.name == "pa.png" for path in running.files())
    page.click("#ask")
    page.wait_for_selector("#answer .sentences li")
    assert page.locator("#answer .sentences li").count() == page.locator("#answer meter").count()
    assert re.search(r"\d+ %", page.inner_text("#answer .sentences"))
    assert "Frontal: pa.png" in page.inner_text("#answer")
    assert running.files() == []
    # Pointing at a word lays its attention over the film.
    last = page.locator("#answer .word").last
    heat = page.locator("#answer .heat")
    last.hover()
    assert heat.get_attribute("src") == last.get_attribute("data-heat0")
    assert heat.is_visible()
    assert is_on(last)
    assert last.inner_text() in page.inner_text("#answer .word-shown")
    page.mouse.move(0, 0)
    assert not is_on(last)
    page.locator("#answer .word").first.click()
    page.keyboard.press("ArrowRight")
    assert is_on(page.locator("#answer .word").nth(1))
    # A bad file is a message, and the page goes on; so does a file that is too large.
    (tmp_path / "notes.png").write_text("no image")
    drop(page, "lateral", tmp_path / "notes.png")
    page.click("#ask")
    page.wait_for_selector("#answer [role=alert]")
    assert "notes.png: not a PNG, JPEG or DICOM image" in page.inner_text("#answer")
    assert "Traceback" not in page.inner_text("body")
    (tmp_path / "large.png").write_bytes(bytes(1 << 20) + b"0")
    page.set_input_files("#frontal-film input[type=file]", tmp_path / "large.png")
    page.get_by_text("exceed the maximum allowed size").wait_for()
    assert running.files() == []
    page.click("#drawn-1")
    page.wait_for_selector("#answer .drawn")
    outside = [one for one in asked if not one.startswith((running.address, "data:", "blob:"))]
    assert outside == []
    assert page.evaluate("Object.keys(localStorage).filter(one => one.includes('run'))") == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_and_a_dark_screen(browser: Any, running: Running, scheme: str) -> None:
    size = {"width": 400, "height": 800}
    page, _ = opened(browser, running, viewport=size, color_scheme=scheme)
    page.click("#drawn-0")
    page.wait_for_selector("#answer .sentences li")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) == 0
    page.wait_for_function("document.querySelector('#answer').getBoundingClientRect().top < 400")
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.querySelector('{of}')).{what}")
        for of, what in (("#answer .drawn", "color"), ("body", "backgroundColor"))
    )
    ink, paper = (sum(map(float, re.findall(r"[\d.]+", one)[:3])) / 3 for one in (ink, paper))
    assert (ink - paper if scheme == "dark" else paper - ink) > 150


@pytest.mark.slow
def test_the_end_leaves_nothing_behind(running: Running) -> None:
    said = running.end()
    assert said == "ended, nothing is kept\n"
    assert list(running.temporary.iterdir()) == []
