from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from tests.data.file_server import serving
from tests.models.encoders.weights import imitations
from xray_report.commands.download import download
from xray_report.data.download import CATALOG, CHEST_WEIGHTS, EXPLAINED
from xray_report.errors import DataError, OptionError, WeightsError
from xray_report.models.encoders.load import load_encoder, read_weights

app = typer.Typer()
app.command()(download)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def tgz(name: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return file.getvalue()


def test_iu_xray_from_a_mirror(tmp_path: Path) -> None:
    files = {"NLMCXR_reports.tgz": tgz("1.xml"), "NLMCXR_png.tgz": tgz("CXR1_1_IM-0001-4001.png")}
    with serving(files) as server:
        code, output = run("iu-xray", str(tmp_path), "--mirror", server.url)
    assert code == 0
    assert (tmp_path / "NLMCXR_reports.tgz").is_file()
    assert (tmp_path / "NLMCXR_png" / "CXR1_1_IM-0001-4001.png").is_file()
    assert f"python train.py data=iu_xray data.root={tmp_path}" in output.replace("\n", "")


def test_weights_that_are_not_the_publishers_are_refused(tmp_path: Path) -> None:
    with (
        serving({"densenet121-a639ec97.pth": b"tampered"}) as server,
        pytest.raises(DataError, match=r"not a639ec97"),
    ):
        run("imagenet-weights", str(tmp_path), "--mirror", server.url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", EXPLAINED)
def test_what_needs_an_account_is_explained(tmp_path: Path, what: str) -> None:
    code, output = run(what, str(tmp_path))
    assert code == 1
    assert "https://" in output
    assert "python train.py" in output


def test_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="choose one of iu-xray, glove, imagenet-weights"):
        run("chexpert", str(tmp_path))


# Encoders of others.


@pytest.fixture(scope="module")
def torchxrayvision(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("xrv") / "published.pt"
    imitations.write_published_torchxrayvision(path, imitations.published(18, channels=1))
    return path.read_bytes()


@pytest.fixture(scope="module")
def arnoweng(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("arnoweng") / "model.pth.tar"
    imitations.write_arnoweng(path, imitations.published())
    return path.read_bytes()


@pytest.mark.parametrize(("asked", "films"), [((), "nih"), (("--weights", "mimic_ch"), "mimic_ch")])
def test_a_chest_encoder_becomes_a_file_that_says_all(
    tmp_path: Path, torchxrayvision: bytes, asked: tuple[str, ...], films: str
) -> None:
    name = CHEST_WEIGHTS[films].file_name
    assert name.startswith(f"{films}-densenet121-")
    with serving({name: torchxrayvision}) as server:
        server.cuts = [100_000]
        code, output = run("chest-encoder", str(tmp_path), *asked, "--mirror", server.url)
        assert len(server.ranges) == 2  # went on where it was cut
    assert code == 0, output
    said = " ".join(output.split())
    assert "licence: Apache License 2.0" in said
    assert f"trained on: {films}" in said
    made = tmp_path / f"chest-encoder-{films}.safetensors"
    assert f"encoder.weights={made}" in output.replace("\n", "")
    encoder = load_encoder(weights=str(made))
    whole, _ = read_weights(tmp_path / name)
    assert encoder.identity == whole.identity
    assert encoder.preprocessing.kind == "torchxrayvision"
    assert encoder.source["trained_on"] == [films]
    assert encoder.source["metadata"]["licence"].startswith("Apache License 2.0")
    assert encoder.source["metadata"]["url"] == f"{server.url}/{name}"
    assert len(encoder.source["metadata"]["sha256"]) == 64
    load_encoder(weights=str(made), data_name="iu_xray")  # has not seen Open-i
    if films == "nih":
        with pytest.raises(WeightsError, match="trained on nih"):
            load_encoder(weights=str(made), data_name="nih_chestxray14")


def test_chexnet_becomes_a_file_that_says_all(
    tmp_path: Path, arnoweng: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (asset,) = CATALOG["chexnet"]
    assert asset.git_blob
    assert asset.file_name == "model.pth.tar"
    header = b"blob %d\0" % len(arnoweng)
    sum_of_this = hashlib.sha1(header + arnoweng).hexdigest()
    monkeypatch.setitem(CATALOG, "chexnet", (asset._replace(git_blob=sum_of_this),))
    with serving({"model.pth.tar": arnoweng}) as server:
        code, output = run("chexnet", str(tmp_path), "--mirror", server.url)
    assert code == 0, output
    assert "licence: none is stated (arnoweng/CheXNet)" in " ".join(output.split())
    encoder = load_encoder(weights=str(tmp_path / "chexnet.safetensors"))
    assert encoder.source["trained_on"] == ["imagenet", "nih"]
    assert encoder.source["label_names"][0] == "Atelectasis"
    assert encoder.preprocessing.kind == "imagenet"


def test_another_chexnet_than_the_repositorys_is_refused(tmp_path: Path, arnoweng: bytes) -> None:
    with (
        serving({"model.pth.tar": arnoweng}) as server,
        pytest.raises(DataError, match=r"has git SHA-1 .*, not 14922ae7.*it was removed"),
    ):
        run("chexnet", str(tmp_path), "--mirror", server.url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["page", "other network", "code"])
def test_what_is_no_chest_encoder_is_refused(tmp_path: Path, arnoweng: bytes, kind: str) -> None:
    name = CHEST_WEIGHTS["pc"].file_name
    code = tmp_path / "code.pt"
    torch.save({"a": torch.zeros(1), "b": Path("x")}, code)
    content = {"page": b"<html>404</html>", "other network": arnoweng, "code": code.read_bytes()}
    dest = tmp_path / "dest"
    with (
        serving({name: content[kind]}) as server,
        pytest.raises(WeightsError, match=r"To fetch it anew, remove .*pc-densenet121.* first"),
    ):
        run("chest-encoder", str(dest), "--weights", "pc", "--mirror", server.url)
    assert [path.name for path in dest.iterdir()] == [name]


def test_only_chest_encoders_that_have_not_seen_openi_are_offered(tmp_path: Path) -> None:
    assert set(CHEST_WEIGHTS) == {"nih", "chex", "mimic_ch", "pc"}
    with pytest.raises(OptionError, match=r"--weights must be one of nih, .*'all'.*Open-i"):
        run("chest-encoder", str(tmp_path), "--weights", "all")
    with pytest.raises(OptionError, match=r"--weights goes with chest-encoder, not with glove"):
        run("glove", str(tmp_path), "--weights", "nih")
