"""report.html: studies and scores as one self-contained page that opens offline."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from PIL import Image
from torch import Tensor

from xray_report.evaluation.differences import (
    Differences,
    differences,
    findings_in,
    in_words,
    sentences,
)
from xray_report.files import replacing
from xray_report.text.facts import Fact

JPEG_QUALITY = 85
KINDS = {
    "agreed": "in both reports",
    "altered": "side, zone or size differ",
    "missed": "missed: in the reference alone",
    "invented": "invented: in the generated report alone",
}


@dataclass(frozen=True)
class Picture:
    """An image and what stands under it; uint8 [1 or 3, H, W]."""

    caption: str
    image: Tensor


@dataclass(frozen=True)
class PageStudy:
    """One study to show.

    Args:
        study_id: of the study.
        reference, hypothesis: texts for people.
        views: the images it has.
        attention: where the model looked for single words.
    """

    study_id: str
    reference: str
    hypothesis: str
    views: Sequence[Picture]
    attention: Sequence[Picture] = ()


@dataclass(frozen=True)
class PageHead:
    """What stands above the studies.

    Args:
        title: what was evaluated, such as the checkpoint and the split.
        notices: sentences that nobody may overlook.
        warnings: plain words on what is wrong with the model, `NAME: what`.
        summary: further sentences.
        tables: markup of tables, as `scores.py` makes it.
    """

    title: str
    notices: Sequence[str] = ()
    warnings: Sequence[str] = ()
    summary: Sequence[str] = ()
    tables: str = ""


def write_page(path: Path, head: PageHead, studies: Iterable[PageStudy]) -> None:
    """Write the page, the studies in the order given."""
    page = PAGE.substitute(
        title=escape(head.title),
        style=files(__package__).joinpath("report.css").read_text(encoding="utf-8"),
        notices=escape(" ".join(head.notices)),
        warnings="".join(map(_warning, head.warnings)),
        summary=escape(" ".join(head.summary)),
        tables=head.tables,
        legend=_chips((kind, meaning) for kind, meaning in KINDS.items()),
        studies="".join(map(_study, studies)),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _warning(text: str) -> str:
    name, _, rest = text.partition(":")
    return f'<p class="warning" role="alert"><b>{escape(name)}:</b>{escape(rest)}</p>'


def _study(study: PageStudy) -> str:
    found = differences(study.reference, study.hypothesis)
    number = found.mistakes
    return STUDY.substitute(
        study=escape(study.study_id),
        mistakes="no mistake" if not number else f"{number} mistake{'s' * (number > 1)}",
        findings=_chips(_named(found)) or '<p class="soft">nothing abnormal in either</p>',
        views="".join(map(_figure, study.views)),
        attention=_attention(study.attention),
        reference=_marked(study.reference, found, "missed"),
        hypothesis=_marked(study.hypothesis, found, "invented"),
    )


def _named(found: Differences) -> Iterable[tuple[str, str]]:
    for truth, told in found.altered:
        yield "altered", f"{in_words(told)} (reference: {in_words(truth)})"
    for kind in ("missed", "invented", "agreed"):
        yield from ((kind, in_words(fact)) for fact in getattr(found, kind))


def _chips(items: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f'<li class="{kind} sign">{escape(text)}</li>' for kind, text in items)
    return f"<ul>{rows}</ul>" if rows else ""


def _marked(text: str, found: Differences, alone: str) -> str:
    """A text whose sentences are coloured by what becomes of their findings in the other."""
    if not text.strip():
        return '<span class="soft">(empty)</span>'
    return " ".join(_sentence(sentence, found, alone) for sentence in sentences(text))


def _sentence(sentence: str, found: Differences, alone: str) -> str:
    told = findings_in(sentence)
    if not told:
        return escape(sentence)
    kind = _worst(told, found, alone)
    return f'<mark class="{kind}" title="{KINDS[kind]}">{escape(sentence)}</mark>'


def _worst(told: frozenset[Fact], found: Differences, alone: str) -> str:
    if told & set(found.missed + found.invented):
        return alone
    return "agreed" if told <= set(found.agreed) else "altered"


def _attention(pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    return f'<div class="attention">{"".join(map(_figure, pictures))}</div>'


def _figure(picture: Picture) -> str:
    """A picture inside the page itself, its caption below."""
    pixels = picture.image.permute(1, 2, 0).squeeze(-1).cpu().numpy()
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG", quality=JPEG_QUALITY)
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"
    caption = escape(picture.caption)
    return (
        f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )


STUDY = Template("""<article><header><h2>$study</h2><span class="soft">$mistakes</span></header>
<div class="study"><div class="views">$views</div>
<div><h3>Generated</h3><p>$hypothesis</p>
<h3>Reference</h3><p>$reference</p>
<h3>Findings</h3>$findings</div></div>
$attention</article>
""")

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
$style</style></head><body>
<h1>$title</h1>
<p class="notice">$notices</p>
$warnings
$tables
<p>$summary</p>
$legend
$studies
</body></html>
""")
