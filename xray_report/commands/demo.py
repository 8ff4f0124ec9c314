"""`xray-report demo`: a page in the browser that reads films dropped on it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from xray_report.commands.reading import (
    SLOTS,
    Film,
    Reader,
    load_study,
    reader_of,
    search_of,
    study_of,
)
from xray_report.commands.shared import CheckpointOption, DeviceOption, RunsOption, own_or_bundled
from xray_report.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    import gradio
    from numpy.typing import NDArray
    from torch import Tensor

    from xray_report.data.study import Study
    from xray_report.inference.checkpoint import ReportCheckpoint
    from xray_report.inference.generator import Report

N_BEST = 5
"""Reports that are shown, the best and others."""
SHOWN_SIDE = 720
"""Most pixels a side of a film as it is shown."""
DRAWN_SEED, DRAWN_STUDIES = 1509, (5, 19, 13, 4)
"""The drawn studies at hand: an archive that no conf/ trains on, and which of it."""
KEPT_SECONDS = 600
"""A film that was dropped and never read is deleted after so long."""
SWEEP_SECONDS = 30
FIRST_PORT, LAST_PORT = 7860, 7959
PRIVATE = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False"}
"""Nothing is told to anyone, nothing is kept in the browser."""


def demo(
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
    host: Annotated[
        str, typer.Option(help="Address to listen at; 127.0.0.1 is this computer alone.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help=f"Port; the first free one from {FIRST_PORT} if left out.",
            show_default=False,
        ),
    ] = None,
    upload_limit: Annotated[
        int, typer.Option(min=1, help="Largest file that may be dropped, in megabytes.")
    ] = 100,
    runs_dir: RunsOption = Path("runs"),
) -> None:
    """Open a page that reads films dropped on it, and shows where the model looked.

    Films stay on this computer and are deleted once they are read.
    Research software, not for clinical use. Needs the extra `demo` (gradio).

    Example: xray-report demo --checkpoint runs/train/.../best.ckpt --port 7860
    """
    from xray_report.inference.checkpoint import load_checkpoint
    from xray_report.models.encoders.extractor import resolve_device

    with own_folder() as folder:
        check_gradio()
        place = resolve_device(device)
        paths = checkpoint or [own_or_bundled(runs_dir)]
        loaded = [load_checkpoint(path, place) for path in paths]
        search = search_of("beam", None, None, N_BEST, attention=True)
        reader = reader_of(loaded, search, N_BEST, place, "beam")
        page = build_page(Desk(reader, folder), model_card(loaded, reader), upload_limit)
        serve(page, folder, host, port, upload_limit)


def check_gradio() -> None:
    """Raise `MissingExtraError` unless gradio is installed."""
    if find_spec("gradio") is None:
        raise MissingExtraError('the demo needs gradio: pip install -e ".[demo]"')


# What is uploaded lies in a folder of its own, and not for long.


@contextmanager
def own_folder() -> Iterator[Path]:
    """A new folder that gradio keeps its files in, gone with all it holds in the end."""
    with tempfile.TemporaryDirectory(prefix="xray-report-demo-") as name:
        folder = Path(name).resolve()  # as gradio names what lies in it
        # A proxy, if there is one, is not asked for this computer's own pages.
        direct = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1,localhost")))
        own = {"GRADIO_TEMP_DIR": str(folder), "NO_PROXY": direct, "no_proxy": direct, **PRIVATE}
        before = {key: os.environ.get(key) for key in own}
        os.environ.update(own)
        try:
            yield folder
        finally:
            for key, value in before.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value


def sweep(folder: Path, seconds: float = KEPT_SECONDS) -> None:
    """Delete what has lain in the folder for longer: never read, or half uploaded."""
    for path in folder.iterdir():
        try:
            if time.time() - path.stat().st_mtime > seconds:
                forget(path)
        except FileNotFoundError:  # read meanwhile
            continue


def forget(path: Path) -> None:
    """Delete a file, or a folder with all it holds, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# Reading.


@dataclass(frozen=True)
class Desk:
    """What the page asks of the model.

    Args:
        reader: the model.
        folder: where uploads lie, each in a folder of its own.
    """

    reader: Reader
    folder: Path

    def read_films(self, frontal: str | None, lateral: str | None) -> str:
        """Markup that answers two uploads, either of which may be missing; they are deleted."""
        from xray_report.data.images import FilePixels

        paths = [Path(path) if path else None for path in (frontal, lateral)]
        try:
            if not any(paths):
                return markup(problems=["Drop a frontal film, a lateral one, or both."])
            frontal_film, lateral_film = (
                None if path is None else FilePixels(path) for path in paths
            )
            return self.read(study_of(frontal_film, lateral_film))
        finally:
            for path in filter(None, paths):
                if self.folder in path.parents:
                    forget(self.folder / path.relative_to(self.folder).parts[0])

    def read_drawn(self, index: int) -> str:
        """Markup that answers one of the drawn studies at hand."""
        study = drawn_studies(self.reader.extractor.size)[index]
        return self.read(study, drawn=study.findings or "")

    def read(self, study: Study, drawn: str = "") -> str:
        """Markup of a study's report.

        Args:
            study: with one image a view at most.
            drawn: the report that a drawing was made of; "" for films.
        """
        from xray_report.inference.attention_picture import FULL_HEAT

        loaded = load_study(study, self.reader.extractor.size)
        (reading,) = self.reader.read([loaded])
        errors = [film.error for film in reading.films if film.error]
        warnings = {
            one["text"]: one["kind"].replace("_", " ")
            for one in reading.record["warnings"]
            # Of a drawing it goes without saying; the page's head has it too.
            if one["text"] not in errors and not (drawn and one["kind"] == "drawings")
        }
        report = reading.report
        text = markup(
            problems=errors,
            read=report is not None,
            warnings=warnings if report else {},
            films=[shown_film(film) for film in reading.films if film.slot is not None],
            sentences=self._sentences(report, reading.view_mask) if report else [],
            attentive=report is not None and report.attention is not None,
            others=reading.record["hypotheses"][1:],
            full=FULL_HEAT,
            drawn=drawn,
            **found_in(reading.record),
        )
        for film in reading.films:  # the folder of an upload says nothing
            text = text.replace(escape(film.path), escape(Path(film.path).name))
        return text

    def _sentences(self, report: Report, view_mask: Tensor) -> list[dict[str, Any]]:
        """Sentences with their confidence in percent, and words with where the model looked."""
        from xray_report.inference.generator import worded_sentences
        from xray_report.metrics.findings.labeller import finding_words

        named = set(finding_words(report.pieces))
        return [
            {
                "confidence": round(100 * sentence.confidence),
                "words": [
                    {
                        "text": word.text,
                        "named": bool(named & set(word.tokens)),
                        "heat": heat_layers(report.attention, word.tokens, view_mask),
                    }
                    for word in words
                ],
            }
            for sentence, words in worded_sentences(report.hypotheses[0], self.reader.tokenizer)
        ]


def drawn_studies(size: int) -> list[Study]:
    """The drawn studies at hand; their pictures are drawn, `size` pixels a side, when loaded."""
    from xray_report.data.phantom.source import PhantomSource

    source = PhantomSource(DRAWN_SEED, 0, 0, max(DRAWN_STUDIES) + 1, image_size=size)
    studies = source.studies()
    return [studies[index] for index in DRAWN_STUDIES]


def found_in(record: Mapping[str, Any]) -> dict[str, list[str]]:
    """What a record's report finds, is unsure of and denies, in words."""
    from xray_report.evaluation.differences import findings_in, in_words
    from xray_report.metrics.diagnostics import NO_FINDING

    said = record["findings"].items()
    return {
        "present": [in_words(fact) for fact in sorted(findings_in(record["report"] or ""))],
        "uncertain": [name.lower() for name, how in said if how == "uncertain"],
        "absent": [name.lower() for name, how in said if how == "absent" and name != NO_FINDING],
    }


# Pictures as parts of the page.


def shown_film(film: Film) -> dict[str, str]:
    """A film as the page shows it, in its own proportions; without a picture if unreadable."""
    name = Path(film.path).name
    view = SLOTS[film.slot or 0]
    picture = "" if film.error else film_picture(film.image.pixels.load())
    return {"slot": str(film.slot), "view": view, "name": name, "picture": picture}


def film_picture(pixels: NDArray[Any]) -> str:
    """A `data:` address of a grey image, uint8 [H, W], reduced to what the page shows."""
    from PIL import Image

    from xray_report.evaluation.page import data_address

    picture = Image.fromarray(pixels)
    picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    return data_address(picture, "JPEG")


def heat_layers(
    attention: Tensor | None, tokens: Sequence[int], view_mask: Tensor
) -> dict[int, str]:
    """For each view that there is a `data:` address of what to lay over it for a word.

    Args:
        attention: float [tokens, 2, h, w], weights that sum to 1, or None.
        tokens: places of the word's.
        view_mask: bool [2].
    """
    from PIL import Image

    from xray_report.evaluation.page import data_address
    from xray_report.inference.attention_picture import heat

    if attention is None or not tokens:
        return {}
    weights = attention[list(tokens)].mean(0)
    even = 1 / (weights[0].numel() * int(view_mask.sum()))
    return {
        slot: data_address(Image.fromarray(heat(weights[slot] / even).numpy()), "PNG")
        for slot in range(2)
        if view_mask[slot]
    }


# The page.


def part(name: str) -> str:
    """One of the texts that the page is made of."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def markup(problems: Sequence[str] = (), read: bool = False, **shown: Any) -> str:
    """What stands in the page as an answer; demo.html says what it shows."""
    from jinja2 import Environment

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return template.from_string(part("demo.html")).render(problems=problems, read=read, **shown)


def model_card(loaded: Sequence[ReportCheckpoint], reader: Reader) -> dict[str, str]:
    """What there is to know of the model, by name."""
    first = loaded[0]
    decoder, encoder = first.hyperparameters["decoder"], first.hyperparameters["encoder"]
    scores = {
        name.removeprefix("val/"): f"{value:.3f}"
        for name, value in first.scores.items()
        if name.startswith("val/")
    }
    card = {
        "File": ", ".join(one["path"] for one in reader.facts["checkpoints"]),
        "SHA-256": ", ".join(one["sha256"] for one in reader.facts["checkpoints"]),
        "Model": f"{decoder['name']} decoder, encoder {encoder.get('name', 'unknown')}, "
        f"images of {reader.extractor.size} x {reader.extractor.size} pixels",
        "Trained on": str(first.about["data"]),
        "Writes": f"the section {first.about['target']}",
        "Validation": ", ".join(f"{name} {value}" for name, value in scores.items()),
        "Decoding": f"beam search, width {N_BEST}",
        "Version": f"{reader.facts['version']}, trained by {first.about.get('version', 'unknown')}",
    }
    return {name: value for name, value in card.items() if value}


Page: TypeAlias = "tuple[gradio.Blocks, str]"
"""A page and its style."""


def build_page(desk: Desk, card: Mapping[str, str], upload_limit: int) -> Page:
    """Where films are dropped, drawn studies, the answer, what the model is; and the style."""
    import gradio as gr

    from xray_report.evaluation.page import NOT_CLINICAL

    def answer(frontal: str | None, lateral: str | None) -> tuple[str, None, None]:
        return desk.read_films(frontal, lateral), None, None

    notice = " ".join(filter(None, (desk.reader.note, NOT_CLINICAL)))
    studies = drawn_studies(desk.reader.extractor.size)
    asked: dict[str, Any] = {
        "show_progress": "minimal",
        "concurrency_limit": 1,
        "concurrency_id": "model",
        "api_visibility": "private",
    }
    page = gr.Blocks(title="xray-report demo", analytics_enabled=False)
    with page:
        gr.HTML(f"<h1>Chest X-ray report</h1><p class='notice'>{escape(notice)}</p>")
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                slots = [
                    gr.File(label=f"{name.capitalize()} film", height=130, elem_id=f"{name}-film")
                    for name in SLOTS
                ]
                ask = gr.Button("Write the report", variant="primary", elem_id="ask")
                gr.HTML(
                    "<p class='soft'>PNG, JPEG or DICOM, one or both views, at most "
                    f"{upload_limit} MB each. Films stay on the computer that runs this page and "
                    "are deleted as soon as they are read.</p>"
                )
                gr.HTML("<h2>Drawn examples</h2><p class='soft'>Drawings, not patients.</p>")
                with gr.Row(elem_classes="examples"):
                    examples = [
                        gr.Button(f"Drawing {number + 1}", elem_id=f"drawn-{number}")
                        for number in range(len(studies))
                    ]
            with gr.Column(scale=5, min_width=300):
                result = gr.HTML(
                    markup(), elem_id="answer", js_on_load=part("demo.js"), apply_default_css=False
                )
                gr.HTML(card_markup(card))
        ask.click(answer, slots, [result, *slots], **asked)
        for number, example in enumerate(examples):
            example.click(partial(desk.read_drawn, number), None, result, **asked)
    return page, part("demo.css") + "".join(map(thumbnail, range(len(studies)), studies))


def card_markup(card: Mapping[str, str]) -> str:
    """The model card, which can be folded."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in card.items()
    )
    table = f"<summary>About the model</summary><table>{rows}</table>"
    return f"<details class='card' open>{table}</details>"


def thumbnail(number: int, study: Study) -> str:
    """The style of an example's button: its frontal drawing."""
    address = film_picture(study.images[0].pixels.load())
    return f"#drawn-{number} {{ background-image: url({address}) }}\n"


def serve(page: Page, folder: Path, host: str, port: int | None, upload_limit: int) -> None:
    """Serve the page until Ctrl-C or a signal to end. Raises `OptionError` for a taken port."""
    import gradio as gr

    blocks, style = page
    fonts = ["system-ui", "sans-serif"]
    try:
        _, address, _ = blocks.launch(
            server_name=host,
            server_port=port,
            max_file_size=upload_limit << 20,
            theme=gr.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"]),
            css=style,
            footer_links=[],
            share=False,
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            num_workers=0,
            inline=False,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        tried = f"port {port}" if port else f"each port from {FIRST_PORT} to {LAST_PORT}"
        raise OptionError(
            f"{tried} at {host} is taken or not to be had ({error.strerror or 'in use'}); "
            "give another --port, or --host"
        ) from None
    for name in ("SIGTERM", "SIGHUP"):  # end as Ctrl-C does, so that nothing stays behind
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    typer.echo(f"The page is at {address} (Ctrl-C ends it)")
    if host not in ("127.0.0.1", "localhost", "::1"):
        typer.echo(f"note: whoever reaches {host} can use it, without a password", err=True)
    try:
        while True:
            time.sleep(SWEEP_SECONDS)
            sweep(folder)
    except KeyboardInterrupt:
        typer.echo("ended, nothing is kept")
    finally:
        blocks.close(verbose=False)
