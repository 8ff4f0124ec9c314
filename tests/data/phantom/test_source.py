from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from xray_report.data.phantom.cases import FINDING_KINDS, LABEL_NAMES
from xray_report.data.phantom.source import PhantomPixels, PhantomSource
from xray_report.data.study import Study, View
from xray_report.errors import DataError, OptionError
from xray_report.text.facts import CHEXPERT_CLASSES, Fact, chexpert_classes


def source(cache: Path | None = None, **options: int) -> PhantomSource:
    sizes = {"train": 30, "val": 6, "test": 8, "image_size": 32, "workers": 1}
    return PhantomSource(cache_dir=cache, **{**sizes, **options})


def content(study: Study) -> tuple[object, ...]:
    pictures = tuple(image.pixels.load().tobytes() for image in study.images)
    return study.study_id, study.findings, tuple((study.labels or {}).items()), pictures


def test_studies_have_unique_ids_splits_reports_and_one_image_a_view() -> None:
    studies = source().studies()
    assert [study.split for study in studies] == ["train"] * 30 + ["val"] * 6 + ["test"] * 8
    assert studies[43].study_id == "phantom-0-000043"
    assert len({study.study_id for study in studies}) == 44
    for study in studies:
        assert study.findings
        views = [image.view for image in study.images]
        assert views in ([View.FRONTAL, View.LATERAL], [View.FRONTAL], [View.LATERAL])
        assert all(image.view_from == "drawn" for image in study.images)


def test_a_study_does_not_depend_on_the_sizes_of_the_splits() -> None:
    few = source(train=3, val=2, test=1).studies()
    many = source(train=5, val=20, test=0).studies()
    assert [content(study) for study in few] == [content(study) for study in many[:6]]


def test_worker_counts_and_the_cache_do_not_change_pictures(tmp_path: Path) -> None:
    alone, together = source(tmp_path / "a"), source(tmp_path / "b", workers=2)
    alone.prepare()
    together.prepare()
    (one,), (two,) = (tmp_path / "a").iterdir(), (tmp_path / "b").iterdir()
    assert one.read_bytes() == two.read_bytes()
    assert [content(s) for s in together.studies()[18:24]] == [
        content(s) for s in source().studies()[18:24]
    ]


def test_pictures_that_find_no_room_are_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=44 * 2 * 32 * 32 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        DataError, match=r"cannot keep phantom pictures.* free some \(data\.cache_dir"
    ):
        source(tmp_path).prepare()
    assert not list(tmp_path.iterdir())


def test_the_cache_is_filled_once_and_read_again(tmp_path: Path) -> None:
    few = {"train": 2, "val": 1, "test": 0}
    source(tmp_path, **few).prepare()
    (path,) = tmp_path.iterdir()
    kept = np.load(path)
    assert kept.shape == (3, 2, 32, 32)
    np.save(path, np.full_like(kept, 7))
    assert (source(tmp_path, **few).studies()[0].images[0].pixels.load() == 7).all()


@pytest.mark.parametrize("damage", [b"", b"not an array", b"\x93NUMPY\1\0\2\0( ", None])
def test_a_damaged_cache_is_drawn_anew(tmp_path: Path, damage: bytes | None) -> None:
    few = {"train": 3, "val": 0, "test": 0}
    source(tmp_path, **few).prepare()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:5000] if damage is None else damage)
    again = [content(study) for study in source(tmp_path, **few).studies()]
    assert again == [content(study) for study in source(**few).studies()]


def test_a_cache_with_any_byte_of_its_header_changed_is_drawn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"train": 1, "val": 0, "test": 0}
    source(tmp_path, **few).prepare()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    header = len(whole) - 2 * 32 * 32
    drawn = []
    monkeypatch.setattr(
        "xray_report.data.phantom.source._draw_chunk", lambda *_: drawn.append(1) or 1
    )
    for at in range(header):
        for changed in (whole[at] ^ 1, ord("#")):
            if changed != whole[at]:
                path.write_bytes(whole[:at] + bytes([changed]) + whole[at + 1 :])
                drawn.clear()
                source(tmp_path, **few).prepare()
                assert drawn, at
                assert path.read_bytes()[:header] == whole[:header]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk: /dev/full")
def test_a_disk_that_fills_up_while_drawing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(self: Path, mode: str = "r", *args: int):
        return opened(Path("/dev/full") if mode == "r+b" else self, mode, *args)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DataError, match=r"cannot keep phantom pictures .*No space left") as caught:
        source(tmp_path).prepare()
    assert "data.cache_dir" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_processes_that_draw_end_with_the_one_that_was_killed(tmp_path: Path) -> None:
    code = (
        "from xray_report.data.phantom.source import PhantomSource\n"
        "if __name__ == '__main__':\n"
        f"    PhantomSource(cache_dir={str(tmp_path)!r}, train=20000, image_size=64).prepare()\n"
    )
    (tmp_path / "drawing.py").write_text(code)
    started = subprocess.Popen([sys.executable, tmp_path / "drawing.py"])
    until = time.monotonic() + 60
    while len(drawers := children(started.pid)) < 3:  # two that draw, one that tracks
        assert time.monotonic() < until
        time.sleep(0.1)
    time.sleep(2)
    started.kill()
    started.wait()
    while any(Path(f"/proc/{one}").exists() for one in drawers):
        assert time.monotonic() < until
        time.sleep(0.1)


def children(process: int) -> list[int]:
    """Processes that a process has started."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(one) for one in found.split()]


def test_an_interrupted_run_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("xray_report.data.phantom.source._draw_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        source(tmp_path).prepare()
    assert list(tmp_path.iterdir()) == []


def test_options_that_change_pictures_have_files_of_their_own(tmp_path: Path) -> None:
    source(tmp_path, train=1, val=0, test=0).prepare()
    source(tmp_path, train=1, val=0, test=0, seed=1).prepare()
    source(tmp_path, train=1, val=0, test=0, image_size=40).prepare()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match=r"cannot keep phantom pictures in .*file.*cache_dir"):
        source(blocked).prepare()


def test_pixels_travel_to_other_processes(tmp_path: Path) -> None:
    pixels = source(tmp_path, train=2, val=0, test=0).studies()[0].images[0].pixels
    expected = pixels.load()
    sent = pickle.dumps(pixels)
    assert len(sent) < 2000
    assert (pickle.loads(sent).load() == expected).all()


def test_identity_names_all_that_decides_the_pixels() -> None:
    pixels = PhantomPixels(0, 1, "frontal", 64)
    others = [
        PhantomPixels(1, 1, "frontal", 64),
        PhantomPixels(0, 2, "frontal", 64),
        PhantomPixels(0, 1, "lateral", 64),
        PhantomPixels(0, 1, "frontal", 65),
    ]
    assert pixels.identity not in {other.identity for other in others}
    assert PhantomPixels(0, 1, "frontal", 64).identity == pixels.identity


def test_labels_are_the_facts_and_their_chexpert_classes() -> None:
    drawn = source(train=200)
    for study in drawn.studies():
        facts = drawn.facts_of(study.study_id)
        assert study.labels is not None
        assert tuple(study.labels) == LABEL_NAMES == drawn.label_names
        present = {name for name, value in study.labels.items() if value}
        assert present == {fact.label for fact in facts} | chexpert_classes(facts)
    assert LABEL_NAMES[:14] == CHEXPERT_CLASSES


def test_image_labels_tell_what_each_view_shows() -> None:
    drawn = source(train=200)
    for study in drawn.studies():
        facts = drawn.facts_of(study.study_id)
        for image in study.images:
            assert image.labels is not None
            for fact in facts:
                shown = image.view.value in FINDING_KINDS[fact.finding].views
                both = all(fact._replace(side=side) in facts for side in ("left", "right"))
                if shown and image.view is View.LATERAL and fact.side and not both:
                    assert fact.label not in image.labels
                else:
                    assert image.labels[fact.label] == float(shown)


def test_regions_are_labelled_by_facts_and_by_classes() -> None:
    drawn = source()
    for study in drawn.studies()[:15]:
        facts = {fact.label: fact for fact in drawn.facts_of(study.study_id)}
        for image in study.images:
            assert isinstance(image.pixels, PhantomPixels)
            for region in image.pixels.regions():
                assert region.mask.any()
                fact = facts.get(region.label)
                assert fact or region.label in CHEXPERT_CLASSES


def test_rephrasing_keeps_the_facts_and_changes_the_words() -> None:
    drawn = source()
    studies = drawn.studies()
    assert [drawn.rephrase(s.study_id, 0) for s in studies] == [s.findings for s in studies]
    again = [drawn.rephrase(study.study_id, 1) for study in studies]
    assert again == [drawn.rephrase(study.study_id, 1) for study in studies]
    assert sum(a == s.findings for a, s in zip(again, studies, strict=True)) < 5


def test_no_finding_allows_devices_only() -> None:
    assert "No Finding" in chexpert_classes(())
    assert chexpert_classes([Fact("pacemaker")]) == {"No Finding", "Support Devices"}
    assert chexpert_classes([Fact("tortuous_aorta")]) == frozenset()


@pytest.mark.parametrize("name", ["phantom-0-000044", "phantom-1-000000", "phantom-0-x", "CXR1"])
def test_an_unknown_study_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="phantom-0-000000"):
        source().facts_of(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": -1}, "train must be an integer of at least 0, got -1"),
        ({"val": 1.5}, "val must be an integer of at least 0, got 1.5"),
        ({"test": "many"}, "test must be an integer of at least 0, got 'many'"),
        ({"seed": -3}, "seed must be an integer of at least 0, got -3"),
        ({"workers": True}, "workers must be an integer of at least 0, got True"),
        ({"image_size": 8}, "image_size must be an integer of at least 32, got 8"),
        ({"train": 0, "val": 0, "test": 0}, "all 0"),
    ],
)
def test_bad_options_are_named(options: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        source(**options)
