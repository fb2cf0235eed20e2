"""Collecting in a real browser with its made-up camera: from two classes to a first answer, and the model tried live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from browsing import chromium, needs_browser, opened
from playwright.sync_api import Browser, Page, expect
from ui.test_pages import served

from fittingroom.data import Dataset
from fittingroom.models.pretrained import pretrained_weights
from fittingroom.report.pictures import png_bytes
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.pretrained import pretrained
from fittingroom.store.collected import Collected
from fittingroom.store.fetch import home

ANSWER_MS = 300_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as found:
        yield found


@pytest.fixture
def own_home(tmp_path: Path) -> Path:
    """A home of this test, with the weights that were fetched before."""
    weights = pretrained_weights(pretrained()["efficientnet-lite0"], home()).parent
    mine = tmp_path / "home"
    (mine / "weights").mkdir(parents=True)
    (mine / "weights" / weights.name).symlink_to(weights)
    return mine


def record(page: Page, label: str, least: int) -> None:
    """Hold a class's button until there are so many pictures more."""
    card = page.locator(".class", has=page.get_by_role("heading", name=label, exact=True))
    before = int(page.locator("#collect").get_attribute("data-pictures") or 0)
    button = card.locator(".record")
    expect(button).to_be_enabled()
    button.hover()
    page.mouse.down()
    page.wait_for_function(
        """([card, n]) => {
            const told = card.querySelector(".count").textContent; // of this recording alone, while it lasts
            return !told.includes("recording") && parseInt(told) >= n;
        }""",
        arg=[card.element_handle(), least],
    )
    page.mouse.up()
    page.wait_for_function("n => Number(document.getElementById('collect').dataset.pictures) >= n", arg=before + least)


@needs_browser
@pytest.mark.slow
@pytest.mark.main_job
def test_from_the_camera_to_an_answer(browser: Browser, fashion: Dataset, own_home: Path, tmp_path: Path) -> None:
    garments = [png_bytes(image) for image in fashion.train.images_NCHW[:24]]
    with served(tmp_path / "runs", "--home", str(own_home)) as address, opened(browser, height=1100) as page:
        page.goto(f"{address}/collect")
        page.fill("input[name=name]", "green or not")
        page.click("text=Begin")
        page.wait_for_selector("body[data-ready=yes]")
        expect(page.locator("#need")).to_contain_text("two classes of at least 5")
        page.click("#camera")
        expect(page.locator("#video")).to_be_visible()
        for label in ("green", "garment"):
            page.fill("#label", label)
            page.click("text=Add it")
        record(page, "green", 8)
        record(page, "green", 8)
        files = page.locator(".class", has_text="garment").locator("input[type=file]")
        for part in (garments[:12], garments[12:]):
            before = int(page.locator("#collect").get_attribute("data-pictures") or 0)
            files.set_input_files(
                [{"name": f"{i}.png", "mimeType": "image/png", "buffer": one} for i, one in enumerate(part)]
            )
            page.wait_for_function(
                "n => Number(document.getElementById('collect').dataset.pictures) === n", arg=before + 12
            )
        expect(page.locator(".class", has_text="garment").locator(".count")).to_have_text("24 pictures")
        files.set_input_files([{"name": "note.txt", "mimeType": "image/png", "buffer": b"no picture"}])
        expect(page.locator("#trouble")).to_contain_text("1 of 1 pictures for “garment” were left out")
        page.click("#quick")
        expect(page.locator("#sentences p").first).to_contain_text("frozen-lite0 gets", timeout=ANSWER_MS)
        expect(page.locator("#says")).to_contain_text("green")  # which the camera shows all the time
        page.screenshot(path=tmp_path / "collected.png", full_page=True)
        found = Collected(own_home).classes("green or not")
        assert [(one.name, len(one.recordings)) for one in found] == [("garment", 24), ("green", 2)]
        page.once("dialog", lambda dialog: dialog.accept())
        page.locator(".class", has_text="garment").locator(".forget").click()
        expect(page.locator(".class", has_text="garment").locator(".count")).to_have_text("23 pictures")
        page.goto(f"{address}/collect/{httpx.URL(path='green or not').path}")
        expect(page.locator(".class", has_text="garment").locator(".strip img")).to_have_count(12)


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a" * 61, "end.", " x", "a\nb"])
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    collected = Collected(tmp_path)
    for call in (
        lambda: collected.path(name),
        lambda: collected.add("set", name, "r-1", b"x", ".png"),
        lambda: collected.remove("set", "class", name),
        lambda: collected.file("set", "class", "r-1", name),
    ):
        with pytest.raises(FittingroomError, match="cannot be a name here"):
            call()
    assert not list(tmp_path.iterdir())


def test_pictures_are_numbered_in_their_recording(tmp_path: Path) -> None:
    collected = Collected(tmp_path)
    picture = png_bytes(np.zeros((3, 4, 4), np.uint8))
    for _ in range(2):
        collected.add("Tassen", "mit Henkel", "r-1", picture, ".png")
    collected.add("Tassen", "ohne", "r-2", picture, ".png")
    assert collected.sets() == ["Tassen"]
    assert {one.name: one.recordings for one in collected.classes("Tassen")} == {
        "mit Henkel": {"r-1": ("00001.png", "00002.png")},
        "ohne": {"r-2": ("00001.png",)},
    }
    collected.remove("Tassen", "ohne", "r-2")
    assert [one.name for one in collected.classes("Tassen")] == ["mit Henkel"]
