"""report.html: the worst studies of an evaluation on one page that opens offline."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from PIL import Image
from torch import Tensor

from xray_report.files import replacing
from xray_report.inference.readable import readable
from xray_report.metrics.findings.labeller import label_report, read_facts
from xray_report.metrics.findings.reading import Assertion

JPEG_QUALITY = 80


@dataclass(frozen=True)
class PageStudy:
    """One study to show.

    Args:
        study_id: of the study.
        reference, hypothesis: cleaned texts, sentences ended by ` . `.
        images: grey uint8 [2, S, S].
        attention: pictures uint8 [3, H, W] of the most telling words.
    """

    study_id: str
    reference: str
    hypothesis: str
    images: Tensor
    attention: Sequence[Tensor] = ()


def findings_in(text: str) -> frozenset[str]:
    """What a text says is there: facts, and CheXpert classes that no fact stands for."""
    facts = {fact.label.replace("|", " ").replace("_", " ") for fact in read_facts(text)}
    labels = label_report(text)
    classes = {name for name in labels if labels[name] is Assertion.PRESENT}
    return frozenset(facts or classes - {"No Finding"})


def mistakes(reference: str, hypothesis: str) -> int:
    """Findings missed plus findings invented: what the page is sorted by."""
    return len(findings_in(reference) ^ findings_in(hypothesis))


def write_page(
    path: Path, title: str, summary: Sequence[tuple[str, str]], studies: Iterable[PageStudy]
) -> None:
    """Write the page.

    Args:
        path: the .html file.
        title: what was evaluated, such as the checkpoint and the split.
        summary: (name, value) rows of the headline scores.
        studies: in the order to show.
    """
    rows = "".join(f"<tr><td>{escape(k)}<td>{escape(v)}" for k, v in summary)
    body = "".join(_study(study) for study in studies)
    with replacing(path) as temporary:
        page = PAGE.substitute(title=escape(title), summary=rows, studies=body)
        temporary.write_text(page, encoding="utf-8")


def _study(study: PageStudy) -> str:
    truth, told = findings_in(study.reference), findings_in(study.hypothesis)
    chips = "".join(
        f'<span class="{kind}">{escape(name)}</span>'
        for kind, names in (
            ("hit", truth & told), ("missed", truth - told), ("invented", told - truth)
        )
        for name in sorted(names)
    )  # fmt: skip
    pictures = "".join(map(_picture, [study.images[:1], study.images[1:]]))
    attention = "".join(map(_picture, study.attention))
    return STUDY.substitute(
        study=escape(study.study_id),
        chips=chips or '<span class="hit">nothing abnormal in either</span>',
        pictures=pictures,
        attention=attention,
        reference=_marked(study.reference, told),
        hypothesis=_marked(study.hypothesis, truth),
    )


def _marked(text: str, other: frozenset[str]) -> str:
    """A text whose sentences are coloured by whether the other text has their findings too."""
    marked = []
    for sentence in f"{text} ".split(". "):
        found = findings_in(sentence)
        shown = escape(readable(f"{sentence.strip()} . ")) if sentence.strip() else ""
        kind = "" if not found else "agrees" if found <= other else "differs"
        marked.append(f'<span class="{kind}">{shown}</span>' if kind else shown)
    return " ".join(marked)


def _picture(image: Tensor) -> str:
    """An <img> of a uint8 picture [1 or 3, H, W], inside the page itself."""
    pixels = image.cpu().permute(1, 2, 0).squeeze(2).numpy()
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, format="JPEG", quality=JPEG_QUALITY)
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}" alt="">'


STUDY = Template("""<section><h2>$study</h2><p>$chips</p>
<div class="pictures">$pictures</div>
<div class="texts"><div><h3>Generated</h3><p>$hypothesis</p></div>
<div><h3>Reference</h3><p>$reference</p></div></div>
<div class="attention">$attention</div></section>
""")

PAGE = Template("""<!doctype html><html lang="en"><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  color: #1c2733; background: #f6f7f9 }
section { background: #fff; border-radius: 8px; padding: 1rem 1.5rem; margin: 1.5rem 0 }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin: .2rem 0 }
h3 { font-size: .9rem; margin: .8rem 0 0; color: #5b6875 }
img { max-width: 100%; border-radius: 4px; background: #000 }
.pictures, .attention, .texts { display: flex; gap: 1rem; flex-wrap: wrap }
.texts > div { flex: 1 1 20rem }
.attention img { max-width: 20rem }
p > span { border-radius: 4px; padding: .1rem .4rem; margin-right: .3rem; display: inline-block }
.hit, .agrees { background: #d8f0dc } .missed { background: #fbd9d3 }
.invented { background: #fde7b8 }
.differs { background: #fbe3d0 }
td { padding: .1rem 1rem .1rem 0 }
</style>
<h1>$title</h1>
<p><b>Research software, not for clinical use.</b> Worst studies first.
<span class="hit">found</span><span class="missed">missed</span>
<span class="invented">invented</span></p>
<table>$summary</table>
$studies
</html>
""")
