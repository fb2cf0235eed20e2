"""The exported site in a real browser: it says what the model says, from pictures framed as Python frames them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browsing import chromium, draw, hand, needs_browser, offered, opened
from made_up import operating
from PIL import Image
from playwright.sync_api import Browser, Page
from scipy.special import softmax
from trained import MadeOnce, exported
from waiting import until

from fittingroom.data import load
from fittingroom.data.framing import Unreadable, frame, read_framed
from fittingroom.data.own.decode import Range
from fittingroom.export import web as site_of
from fittingroom.export.web import export_web
from fittingroom.inference import Classifier
from fittingroom.inference.occlusion import occlusion
from fittingroom.report.pictures import png_bytes
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.framing import Framing, Subject
from fittingroom.store import BundleFolder, Runs

pytestmark = [needs_browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def bundle(made_once: MadeOnce) -> BundleFolder:
    words = ("fast-mnist", "train.epochs=1", "data.limit=20000")
    return Runs(made_once("site", lambda folder: exported(folder, *words, data="mnist"))).list()[0].bundle


@pytest.fixture(scope="module")
def site(bundle: BundleFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_web(bundle, tmp_path_factory.mktemp("site") / "digits")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as found:
        yield found


@pytest.fixture
def page(browser: Browser, site: Path) -> Iterator[Page]:
    with offered(site) as address, opened(browser) as found:
        found.goto(address)
        found.wait_for_selector("body[data-ready=yes]")
        yield found


def says(page: Page, text: str) -> None:
    page.wait_for_function("text => document.getElementById('answer').textContent.startsWith(text)", arg=text)


@pytest.mark.main_job
def test_a_drawn_digit_is_read_in_the_browser(page: Page) -> None:
    """Draw 2, 3, 5 and 7 with the mouse; clear and undo; ask what the answer rests on."""
    for digit in (2, 3, 5, 7):
        page.click("#clear")
        draw(page, digit)
        says(page, str(digit))
    plain = page.evaluate("document.getElementById('seen').toDataURL()")
    page.click("#why")
    page.wait_for_function("before => document.getElementById('seen').toDataURL() !== before", arg=plain)
    page.click("#undo")
    says(page, "…")


def test_drawing_by_keyboard(page: Page) -> None:
    """A 1, by arrows and space; Escape clears it."""
    page.focus("#pad")
    for key in ["ArrowUp"] * 7 + [" "] + ["ArrowDown"] * 14 + [" "]:
        page.keyboard.press(key)
    says(page, "1")
    page.keyboard.press("Escape")
    says(page, "…")


def test_pictures_are_dropped_pasted_and_chosen_and_bad_ones_told(
    page: Page, bundle: BundleFolder, tmp_path: Path
) -> None:
    """Test images written as PNGs get the probabilities that ONNX Runtime gives in Python; a text file is refused."""
    images = load("mnist").train.images_NCHW[:8]
    _, wanted = Classifier(bundle).graph.run(images)
    for i, image in enumerate(images):
        path = tmp_path / f"{i}.png"
        path.write_bytes(png_bytes(image))
        page.set_input_files("#file", path)
        best = str(int(wanted[i].argmax()))
        says(page, best if wanted[i].max() >= 0.5 else "not sure")
        page.wait_for_function(
            "p => document.querySelector('.percent').textContent === p", arg=f"{100 * wanted[i].max():.1f} %"
        )
    (tmp_path / "no.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "no.png")
    says(page, "no.png is no picture")
    for kind in ("drop", "paste"):
        page.click("#clear")
        hand(page, kind, png_bytes(images[1]))
        says(page, str(int(wanted[1].argmax())))


def seen(page: Page) -> list[int]:
    """The pixels of what the model sees."""
    found = page.evaluate(
        """() => {
            const pen = new OffscreenCanvas(28, 28).getContext("2d", { willReadFrequently: true });
            pen.drawImage(document.getElementById("seen"), 0, 0);
            return [...pen.getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0);
        }"""
    )
    return list(found)


def test_a_picture_stays_itself_until_it_is_drawn_upon(page: Page) -> None:
    """Moving the pen changes nothing; drawing does; undo brings back the picture, not what the pad showed of it."""
    image = load("mnist").train.images_NCHW[1]
    exact = image.ravel().tolist()
    page.focus("#pad")
    for key in (" ", "ArrowDown"):
        page.keyboard.press(key)
    hand(page, "paste", png_bytes(image))  # while the pen is down: it is lifted
    page.wait_for_function("() => seen.width === 28 && answer.textContent.length < 2")
    until(lambda: seen(page) == exact)
    page.keyboard.press("ArrowRight")
    page.evaluate("new Promise(done => setTimeout(done, 300))")
    assert seen(page) == exact
    page.keyboard.press(" ")
    page.keyboard.press("ArrowRight")
    until(lambda: seen(page) != exact)
    page.click("#undo")
    until(lambda: seen(page) == exact)
    page.click("#undo")
    says(page, "…")


def test_two_fingers_draw_two_strokes(page: Page) -> None:
    box = page.locator("#pad").bounding_box()
    assert box
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, y: float) -> None:
        points = [{"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y, "id": i} for i, x in ((0, 0.2), (1, 0.8))]  # fmt: skip
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points if kind != "touchEnd" else []})

    touch("touchStart", 0.2)
    for y in (0.3, 0.5, 0.7):
        touch("touchMove", y)
    touch("touchEnd", 0.7)
    ink = page.evaluate(
        "[0.2, 0.5, 0.8].map(x => pad.getContext('2d').getImageData(336 * x, 168, 1, 1).data[0])"
    )  # fmt: skip
    assert ink == [0, 255, 0]


@pytest.mark.main_job
def test_framing_is_the_same_in_the_browser(page: Page) -> None:
    """Pictures of all kinds, pixel by pixel: photos, enlarged digits and garments, noise, a board; by all ways of framing."""
    rng = np.random.default_rng(0)
    cases: list[tuple[Image.Image, Framing]] = []
    for name in ("mnist", "fashion-mnist"):
        data = load(name)
        for i, image in enumerate(data.train.images_NCHW[:20, 0]):
            side = int(rng.integers(60, 450))
            large = Image.fromarray(image).resize((side, side + i), Image.Resampling.BICUBIC)
            noisy = np.asarray(large) * -0.6 + 200 + rng.normal(0, 5, (side + i, side)) + np.linspace(0, 40, side)
            for shown in (
                large,
                Image.fromarray(255 - np.asarray(large)),
                Image.fromarray(noisy.clip(0, 255).astype(np.uint8)),
            ):
                cases.append((shown, data.framing))
            cases.append((Image.fromarray(image), data.framing))
    for i in range(110):
        height, width = rng.integers(1, 90, 2)
        subject = Subject(
            box=float(rng.choice([0.3, 5 / 7, 1.0])), centre=("mass", "box")[i // 2 % 2], ink=bool(i // 4 % 2)
        )
        framing = Framing(
            channels=(1, 3)[i % 2], height=int(rng.integers(8, 40)), width=int(rng.integers(8, 40)),
            resize=("pad", "crop", "stretch")[i % 3], subject=subject if i % 5 < 2 else None,
        )  # fmt: skip
        cases.append((Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)), framing))
    board = Image.fromarray(np.where(np.indices((100, 100)).sum(0) % 2, 60, 130).astype(np.uint8))
    cases += [(board, load(name).framing) for name in ("mnist", "fashion-mnist")]
    for picture, framing in cases:
        try:
            wanted: str | list[int] = frame(picture, framing).ravel().tolist()
        except Unreadable as reason:
            wanted = str(reason)
        rgba = np.asarray(picture.convert("RGBA"))
        found = page.evaluate(
            """async ([uri, width, height, framing]) => {
                const { frame } = await import("./framing.js");
                const data = Uint8Array.from(atob(uri), c => c.charCodeAt(0));
                try { return [...frame({ data, width, height }, framing)]; } catch (error) { return error.message; }
            }""",
            [base64.b64encode(rgba.tobytes()).decode(), picture.width, picture.height, framing.model_dump()],
        )
        assert found == wanted, (picture.size, framing)


@pytest.mark.parametrize("kind", ["png", "palette", "transparent", "jpeg", "webp", "rotated", "deep", "deep and clear"])
@pytest.mark.parametrize("scale", [None, (300.0, 3900.0)])
def test_files_are_decoded_alike(page: Page, bundle: BundleFolder, kind: str, scale: Range | None) -> None:
    """Whole files through the browser's decoder and Pillow's: the same pixels, or nearly where decoders may round."""
    digit = Image.fromarray(load("mnist").train.images_NCHW[3, 0]).resize((200, 200), Image.Resampling.BICUBIC)
    page_ = Image.new("RGB", (300, 240), (235, 230, 225))
    page_.paste((30, 30, 60), (50, 20), digit)
    content = io.BytesIO()
    match kind:
        case "png":
            page_.save(content, "PNG")
        case "palette":
            page_.quantize(16).save(content, "PNG")
        case "transparent":
            ink = Image.new("RGBA", (300, 240), (0, 0, 0, 0))
            ink.paste((20, 20, 20, 255), (50, 20), digit.point(lambda v: 255 * (v > 100)))
            ink.save(content, "PNG")
        case "jpeg" | "webp":
            page_.save(content, kind.upper(), quality=92)
        case "rotated":
            exif = Image.Exif()
            exif[0x0112] = 6
            page_.rotate(90, expand=True).save(content, "JPEG", quality=95, exif=exif)
        case _:  # of twelve or of sixteen bits, with noise, so that all filters of PNG come up
            depth = 16 if scale else 256
            values = np.asarray(page_.convert("L")).astype(np.uint16) * depth + np.random.default_rng(0).integers(
                0, 30, (240, 300)
            )
            clear = {"transparency": int(values[0, 0])} if kind == "deep and clear" else {}
            Image.fromarray(values.astype(np.uint16)).save(content, "PNG", **clear)
    framing = bundle.facts.framing.model_copy(update={"range": scale})
    wanted = read_framed(content.getvalue(), framing)
    found = page.evaluate(
        """async ([uri, framing]) => {
            const { frame } = await import("./framing.js");
            const { fromFile } = await import("./picture.js");
            const bytes = Uint8Array.from(atob(uri), c => c.charCodeAt(0));
            return [...frame(await fromFile(new Blob([bytes]), framing.range), framing)];
        }""",
        [base64.b64encode(content.getvalue()).decode(), framing.model_dump()],
    )
    off = np.abs(np.array(found) - wanted.ravel().astype(int))
    assert off.max() == 0 if kind not in ("jpeg", "webp", "rotated") else off.max() <= 12 and off.mean() < 0.5


def test_an_operating_point_decides_alike_in_the_browser(page: Page, bundle: BundleFolder) -> None:
    """Answers of random logits, with a point for one class and without, of two classes and of four."""
    rng = np.random.default_rng(0)
    classifier = Classifier(bundle)
    for k in (2, 4):
        logits = rng.normal(size=(300, k)).astype(np.float32) * 3
        for c in (None, 0, 1):
            facts = bundle.facts.model_copy(
                update={"classes": tuple("abcd"[:k]), "operating": None if c is None else operating("abcd"[c], -0.7)}
            )
            classifier.facts = facts
            p = softmax(logits, axis=1)
            wanted = [[facts.classes.index(a.top[0][0]), a.sure] for a in classifier.answers(logits, p)]
            found = page.evaluate(
                """async ([facts, logits, p]) => {
                    const { answered } = await import("./model.js");
                    return logits.map((row, i) => answered(facts, row, p[i])).map(({ best, sure }) => [best, sure]);
                }""",
                [facts.model_dump(mode="json"), logits.tolist(), p.tolist()],
            )
            assert found == wanted


def test_the_heat_map_is_the_same_in_the_browser(page: Page, bundle: BundleFolder) -> None:
    images = load("mnist").train.images_NCHW[:200]
    graph = Classifier(bundle).graph
    doubted = int(graph.run(images)[1].max(1).argmin())  # of a sure answer no place can take much
    image = images[doubted]
    c = int(graph.run(image[None])[1].argmax())
    wanted = occlusion(graph, image, c)
    found = page.evaluate(
        """async ([pixels, c]) => {
            const { occlusion } = await import("./occlusion.js");
            const { model, framing } = await import("./site.js");
            const ask = async (images, n) => (await model.run(images, n, framing)).probabilities;
            return [...await occlusion(Uint8Array.from(pixels), framing, c, ask)];
        }""",
        [image.ravel().tolist(), c],
    )
    assert np.allclose(found, wanted.ravel(), atol=1e-5) and np.abs(wanted).max() > 0.001


def test_the_page_fits_a_phone_and_the_dark(browser: Browser, site: Path) -> None:
    with offered(site) as address, opened(browser, dark=True, width=390, height=844) as page:
        page.goto(address)
        page.wait_for_selector("body[data-ready=yes]")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 23, 22)"


def test_a_runtime_that_is_another_file_is_not_shipped(bundle: BundleFolder, tmp_path: Path) -> None:
    kept = site_of.web_runtime(None, lambda line: None)
    folder = tmp_path / "home" / "npm" / kept.name
    folder.mkdir(parents=True)
    for file in site_of.RUNTIME_FILES:
        (folder / file.name).write_bytes((kept / file.name).read_bytes()[:-1] + b"!")
    with pytest.raises(FittingroomError, match="is not the expected file"):
        export_web(bundle, tmp_path / "site", home_dir=tmp_path / "home")
    assert not (tmp_path / "site").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(FittingroomError, match="holds other things"):
        export_web(bundle, tmp_path / "full")


def test_a_model_of_photos_looks_through_the_camera(browser: Browser, bundle: BundleFolder, tmp_path: Path) -> None:
    """Camera first where pictures are photos; what it sees is answered until it is switched off, and no stream stays open."""
    import shutil

    mine = BundleFolder(tmp_path / "bundle")
    shutil.copytree(bundle.path, mine.path)
    facts = mine.facts.model_copy(update={"framing": mine.facts.framing.model_copy(update={"subject": None})})
    (mine.path / "bundle.json").write_text(facts.model_dump_json())
    site = export_web(BundleFolder(mine.path), tmp_path / "photos")
    with offered(site) as address, opened(browser) as page:
        page.goto(address)
        page.wait_for_selector("body[data-ready=yes]")
        page.click("#camera")
        page.locator("#video").wait_for(state="visible")
        page.locator("#bars li").first.wait_for()
        assert page.locator("#paper").is_hidden() and page.locator("#camera").inner_text() == "Camera off"
        first = page.evaluate("document.getElementById('seen').toDataURL()")
        page.locator("#seen").evaluate(  # it goes on looking
            "async (seen, first) => { while (seen.toDataURL() === first) await new Promise(requestAnimationFrame); }",
            first,
        )
        page.click("#camera")
        page.locator("#paper").wait_for(state="visible")
        assert page.evaluate("document.getElementById('video').srcObject") is None
