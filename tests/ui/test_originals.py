"""A small copy is shown, and a click shows the file: at its own size, of the data's folder only."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from serve.asking import app_in_a_thread
from waiting import PATIENCE_S

from fittingroom.data import Dataset, load
from fittingroom.data.own import known
from fittingroom.spec.read import read_shape
from fittingroom.store import Runs
from fittingroom.ui.app import create_ui
from fittingroom.ui.originals import Originals


@pytest.fixture
def pages(fashion: Dataset, tmp_path: Path) -> Iterator[httpx.Client]:
    """Over two classes of 12 PNGs and TIFFs each, 90 × 60 pixels; beside them a picture that is none of theirs."""
    for i in range(24):
        folder = tmp_path / "wear" / f"kind {i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(fashion.train.images_NCHW[i, 0]).resize((90, 60))
        image.save(folder / f"{i} é.png") if i < 20 else image.save(folder / f"{i}.tif")
    Image.new("L", (9, 9)).save(tmp_path / "secret.png")
    load(str(tmp_path / "wear"), tmp_path / "home", shape=read_shape(["data.image_size=28"]))
    with (
        app_in_a_thread(create_ui(Runs(tmp_path / "runs"), tmp_path / "home")) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE_S, trust_env=False) as client,
    ):
        yield client


def test_a_click_shows_the_file(pages: httpx.Client, tmp_path: Path) -> None:
    place = re.findall(r'href="(/data/[^"]+)"', pages.get("/data").text)[-1]
    shown = pages.get(place).text
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="(/original[^"]+)"', shown)]
    assert len(links) == shown.count('<img class="pixels"') > 10
    kinds = set()
    for link in links:
        reply = pages.get(link)
        assert reply.status_code == 200 and Image.open(io.BytesIO(reply.content)).size == (90, 60)
        called = str(httpx.URL(link).params["called"])
        kinds.add((Path(called).suffix, reply.headers["content-type"]))
        if called.endswith(".png"):
            assert reply.content == (tmp_path / "wear" / called).read_bytes()
    assert kinds <= {(".png", "image/png"), (".tif", "image/png")}


@pytest.mark.parametrize(
    "called", ["../secret.png", "secret.png", "/etc/passwd", "kind 0/../../secret.png", "#3", "", "kind 0", "kind 0/99.png", "\0"]
)  # fmt: skip
def test_nothing_else_is_shown(pages: httpx.Client, called: str, tmp_path: Path) -> None:
    digest = known(tmp_path / "home")[0][0].digest
    reply = pages.get("/original", params={"data": digest, "called": called})
    assert reply.status_code == 404 and "this picture has no file of its own" in reply.text
    assert pages.get("/original", params={"data": "wear", "called": "kind 0/0 é.png"}).status_code == 404


def test_a_table_knows_where_its_pictures_are(fashion: Dataset, tmp_path: Path) -> None:
    """Names without a suffix, below a folder of images, beside another table of the same name."""
    lines = ["image_id,diagnosis"]
    for i in range(24):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.fromarray(fashion.train.images_NCHW[i, 0]).save(tmp_path / "pictures" / f"ISIC_{i}.png")
        lines.append(f"ISIC_{i},{'ab'[i % 2]}")
    (tmp_path / "train.csv").write_text("\n".join(lines))
    shape = read_shape([f"data.images={tmp_path / 'pictures'}", "data.path=image_id", "data.label=diagnosis"])
    data = load(str(tmp_path / "train.csv"), tmp_path / "home", shape=shape)
    assert data.train.names_N is not None
    called = str(data.train.names_N[0])
    content, kind = Originals(data.digest, tmp_path / "home").read(called)
    assert kind == "image/png" and content == (tmp_path / "pictures" / f"{called}.png").read_bytes()


def test_what_is_no_picture_any_more_is_told(pages: httpx.Client, tmp_path: Path) -> None:
    file = next((tmp_path / "wear" / "kind 0").glob("*.png"))
    file.write_text("none")
    digest = known(tmp_path / "home")[0][0].digest
    reply = pages.get("/original", params={"data": digest, "called": f"kind 0/{file.name}"})
    assert reply.status_code == 404 and "is no PNG" in reply.text
