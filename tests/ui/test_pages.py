"""The pages in a real browser, over a real server, with real trainings: what a person does there, from an empty folder on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from browsing import DIGITS, chromium, draw, hand, needs_browser, opened
from playwright.sync_api import Browser, Page, expect
from trained import MadeOnce, resealed, trained
from ui.recorded import left
from waiting import PATIENCE_S, until

from fittingroom.data import load
from fittingroom.data.decisions import read_decisions
from fittingroom.export import export
from fittingroom.metrics.audit import Audit, Suspect
from fittingroom.metrics.story import gather
from fittingroom.report.pictures import png_bytes
from fittingroom.store import Runs
from fittingroom.store.events import Answered, Failed
from fittingroom.study.workplace import Workplace
from fittingroom.ui.opaque import opaque
from fittingroom.ui.stories import behind

pytestmark = [needs_browser, pytest.mark.slow]


@contextmanager
def served(runs: Path, *options: str) -> Iterator[str]:
    """`fittingroom ui` as a person starts it: its address."""
    command = [sys.executable, "-m", "fittingroom", "ui", str(runs), "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        try:
            found = re.search(r"http://[^ ]+", server.stderr.readline())
            assert found
            yield found[0].split("?")[0].rstrip("/")
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE_S) == 0
            said = server.stderr.read()
            assert "Traceback" not in said, said


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as found:
        yield found


@pytest.fixture(scope="module")
def runs(made_once: MadeOnce) -> Runs:
    """Two recipes with two seeds on MNIST; the better one exported."""

    def fill(folder: Path) -> None:
        runs = Runs(folder)
        for seed in (0, 1):
            good = trained(runs, "fast-mnist", "train.epochs=1", "data.limit=12000", data="mnist", seed=seed)
            trained(runs, "readme-004-mlp", "train.epochs=1", "data.limit=3000", data="mnist", seed=seed)
            export(good, Workplace(runs=runs))

    return Runs(made_once("shown", fill))


@pytest.fixture(scope="module")
def address(runs: Runs) -> Iterator[str]:
    with served(runs.path) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with opened(browser) as found:
        yield found


@pytest.mark.main_job
def test_from_an_empty_folder_to_a_drawn_digit(browser: Browser, tmp_path: Path) -> None:
    """Train from the form, watch it finish, compare with another recipe, open a confusion cell, export, draw a digit."""
    with served(tmp_path / "runs") as address, opened(browser) as page:
        page.goto(address)
        expect(page.locator("main")).to_contain_text("No runs yet")
        page.click("text=Train something")
        page.select_option("select[name=recipe]", "fast-mnist")
        expect(page.locator("input[name='train.epochs']")).to_have_value("2")
        page.fill("input[name='train.epochs']", "1")
        page.click("text=Everything else that can be set")
        page.fill("input[name='data.limit']", "12000")
        page.click("button:text-is('Start')")
        expect(page.locator(".command")).to_contain_text("fittingroom train fast-mnist train.epochs=1 data.limit=12000")
        expect(page.locator(".state")).to_have_text("finished", timeout=200_000)
        expect(page.locator(".log")).to_contain_text("test accuracy")
        page.click("text=The run")  # needs events from the command line
        expect(page.locator(".answers b").first).to_contain_text("%")
        page.click("text=Export it, to try it")
        expect(page.locator(".state")).to_have_text("finished", timeout=200_000)
        expect(page.locator("a:text-is('Try it')")).to_be_visible()

        page.goto(f"{address}/new?recipe=fast-mnist")
        page.fill("input[name='train.epochs']", "1")
        page.click("text=Everything else that can be set")
        page.fill("input[name='data.limit']", "12000")
        page.click("text=Compare it with")
        page.check("input[name=with][value=readme-004-mlp]")
        page.click("button:text-is('Start')")
        expect(page.locator(".command")).to_contain_text("fittingroom compare fast-mnist readme-004-mlp")
        page.click("text=The verdict", timeout=200_000)  # needs events from the command line
        expect(page.locator(".verdict")).to_contain_text("fast-mnist")
        page.locator(".confusion td.wrong a").first.click()
        expect(page.locator(".gallery figure").first).to_be_visible()

        page.goto(f"{address}/try")
        page.wait_for_selector("body[data-ready=yes]")
        for digit in (3, 7):
            page.click("#clear")
            draw(page, digit)
            page.wait_for_function("digit => document.body.dataset.answered === digit", arg=str(digit))


def test_a_training_is_stopped_and_resumed(browser: Browser, tmp_path: Path) -> None:
    """Stop keeps whole epochs; the run's page offers to resume it, and it goes on to its end."""
    with served(tmp_path / "runs") as address, opened(browser) as page:
        page.goto(f"{address}/new?recipe=readme-004-mlp")
        page.fill("input[name='train.epochs']", "300")
        page.click("text=Everything else that can be set")
        page.fill("input[name='data.limit']", "6000")
        page.click("button:text-is('Start')")
        expect(page.locator(".log")).to_contain_text("epoch   1/300")
        page.click("button:text-is('Stop')")
        expect(page.locator(".state")).to_have_text("stopped")
        expect(page.locator(".log")).to_contain_text("--resume")
        page.click("text=The run")  # needs events from the command line
        page.click("button:has-text('Resume')")
        expect(page.locator(".log")).to_contain_text("going on after epoch")
        expect(page.locator(".state")).to_have_text("finished", timeout=200_000)
    assert [run.done for run in Runs(tmp_path / "runs").list()] == [True]


def test_what_is_live_leaves_a_person_where_they_are(browser: Browser, tmp_path: Path) -> None:
    """While a training's pages change: the focus stays, a log stays scrolled, and only news are announced."""
    with served(tmp_path / "runs") as address, opened(browser) as page:
        page.goto(f"{address}/new?recipe=readme-004-mlp")
        page.fill("input[name='train.epochs']", "50000")  # it is stopped long before
        page.click("text=Everything else that can be set")
        page.fill("input[name='data.limit']", "1000")
        page.click("button:text-is('Start')")
        overflows = (
            "() => document.querySelector('.log').scrollHeight > document.querySelector('.log').clientHeight + 100"
        )
        page.wait_for_function(overflows)
        command = page.url
        page.focus("button:text-is('Stop')")
        page.evaluate(
            """() => {
                document.querySelector(".log").scrollTop = 40;
                window.first = document.querySelector(".log").textContent;
                window.heard = [];
                new MutationObserver(() => heard.push(said.textContent)).observe(said, { childList: true });
            }"""
        )
        page.wait_for_function("() => document.querySelector('.log').textContent !== first")
        assert page.evaluate("document.querySelector('.log').scrollTop") == 40
        assert page.evaluate("document.activeElement.textContent") == "Stop" and page.evaluate("heard") == []

        page.goto(address)
        page.focus("tbody a")
        page.evaluate("window.before = document.activeElement")
        epoch = page.locator("tbody progress").inner_text()
        expect(page.locator("tbody progress")).not_to_have_text(epoch)
        assert page.evaluate("document.activeElement === before")
        page.goto(command)
        page.request.post(f"{command}/stop", headers={"Origin": address})  # as from another window
        expect(page.locator("#said")).to_contain_text("stopped")


def test_the_form_tells_every_fault_and_keeps_what_was_given(browser: Browser, address: str) -> None:
    with opened(browser, but="400 (Bad Request)") as page:
        _fault(page, address)


def _fault(page: Page, address: str) -> None:
    page.goto(f"{address}/new?recipe=readme-004-cnn")
    page.fill("input[name='optimizer.lr']", "-1")
    page.fill("input[name='train.epochs']", "7")
    with page.expect_response(lambda r: r.request.method == "POST") as sent:
        page.evaluate("document.querySelector('form.recipe').requestSubmit()")
    assert sent.value.status == 400
    expect(page.locator("[id='fault-optimizer.lr']")).to_have_text("-1 must be > 0")
    expect(page.locator("[role=alert]")).to_have_text("optimizer.lr: -1 must be > 0")
    rate = page.locator("input[name='optimizer.lr']")
    expect(rate).to_have_accessible_name("lr optimizer")
    expect(rate).to_have_accessible_description("-1 must be > 0 learning rate: the first thing to try changing")
    undescribed = page.evaluate(
        """[...document.querySelectorAll("form.recipe .entry > :is(input, select)")].filter(e =>
            !e.getAttribute("aria-describedby").split(" ").every(id => document.getElementById(id)?.textContent)
        ).map(e => e.name)"""
    )
    assert undescribed == []
    expect(page.locator("input[name='train.epochs']")).to_have_value("7")
    assert (
        page.evaluate("document.querySelector(\"input[name='optimizer.lr']\").getAttribute('aria-invalid')") == "true"
    )


def test_a_comparison_is_asked_otherwise(page: Page, address: str, runs: Runs) -> None:
    """Another metric, of one class, at a threshold; what is asked goes along to the pictures; a slip is told."""
    page.goto(f"{address}/compare?" + "&".join(f"run={opaque(run.name)}" for run in runs.list()))
    page.click("text=Ask otherwise")
    page.select_option("select[name=metric]", "precision")
    page.select_option("select[name=positive]", "7")
    page.fill("input[name=aim]", "sensitivity=0.8")
    page.get_by_role("button", name="Judge").click()
    expect(page.locator(".verdict").first).to_contain_text("a precision for “7” of")
    expect(page.locator(".verdict").first).to_contain_text("without, for a sensitivity of 80 %")
    page.locator(".confusion").first.locator("td a").first.click()
    page.click("text=Back to the comparison")
    expect(page.locator(".verdict").first).to_contain_text("a precision for “7” of")
    slip = page.request.get(page.url.replace("sensitivity%3D0.8", "sensitivity%3D8"))
    assert slip.status == 400 and "a share lies between 0 and 1" in slip.text()


@pytest.mark.main_job
def test_runs_are_filtered_chosen_and_compared(page: Page, address: str, runs: Runs) -> None:
    """Filter, sort, choose; the verdict at once and the figures after; cells, and flipping through disagreements by keys."""
    page.goto(address)
    expect(page.locator("tbody tr")).to_have_count(4)
    page.fill("input[name=q]", "mlp")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.goto(address)
    page.click("th a:has-text('test %')")
    first = page.locator("tbody tr td:nth-child(7)").first.inner_text()
    page.click("th a:has-text('test %')")
    assert float(page.locator("tbody tr td:nth-child(7)").first.inner_text()) < float(first)
    for box in page.locator("tbody input").all():
        box.check()
    page.click("text=Compare the chosen")
    expect(page.locator(".verdict")).to_contain_text("fast-mnist is best on mnist")
    expect(page.locator("#accuracy-1 img")).to_be_visible()
    page.wait_for_function("() => document.querySelector('.explorer').hidden === false")
    [story] = gather(runs.list(), runs)
    recipe, counts = next(iter(story.runs)), story.confusion(next(iter(story.runs)))
    for i, j in np.ndindex(counts.shape):  # every picture of every cell, and no other
        named = behind(story, recipe, i, j)
        assert sum(n for _, n in named) == counts[i, j] * 2
        assert {row for row, _ in named} == set(
            np.flatnonzero((story.labels_N == i) & (story.predicted(recipe) == j).any(0))
        )
    cell = page.locator(".confusion").first.locator("td.wrong a").first
    count = cell.inner_text()
    cell.click()
    expect(page.locator("header")).to_contain_text("taken for")
    page.wait_for_load_state()
    seeds = [int(n) for n in re.findall(r"(\d) of 2 seeds", page.locator(".gallery").inner_text())]
    assert len(seeds) == page.locator(".gallery figure").count()
    assert count == ("<1" if sum(seeds) == 1 else f"{sum(seeds) / 2:.0f}")
    page.go_back()
    page.click("text=disagree")
    page.click("text=only fast-mnist is right")
    page.wait_for_load_state()
    expect(page.locator(".answer").first).to_contain_text("✓")
    expect(page.locator(".answer").nth(1)).to_contain_text("✗")
    page.keyboard.press("ArrowRight")
    expect(page.locator("text=/^2 of /")).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("text=/^1 of /")).to_be_visible()


def test_data_are_looked_through_and_decided(page: Page, address: str, runs: Runs) -> None:
    """Samples by class, duplicates; a decision is kept, seen after a reload, taken back."""
    data = load("mnist")
    images = data.train
    suspects = tuple(
        Suspect(index=i, given=data.classes[images.labels_N[i]], suggested="1", given_label=int(images.labels_N[i]), suggested_label=1, score=0.01, confidence=0.9, flagged=True)
        for i in (5, 9)
    )  # fmt: skip
    audit = Audit(dataset="mnist", title="MNIST", split="train", images=60_000, flagged=2, auditor="fast-mnist", folds=5, suspects=suspects, outliers=(), twins=(), scores=())  # fmt: skip
    runs.audit_file("mnist", "train").parent.mkdir(exist_ok=True)
    runs.audit_file("mnist", "train").write_text(audit.model_dump_json())
    page.goto(f"{address}/data")
    page.click("a:text-is('MNIST')")
    page.click("main a.button:text-is('7')")
    expect(page.locator(".gallery figcaption").first).to_contain_text("7")
    page.click("text=Suspect labels")
    expect(page.locator(".suspects figure")).to_have_count(2)
    file = runs.decisions_file("mnist")
    with page.expect_response("**/decide"):
        page.locator("button:has-text('wrong')").first.click()
    expect(page.locator("button[aria-pressed=true]")).to_have_count(1)
    assert read_decisions(file, data.digest) == {("train", 5): "wrong"}
    page.reload()
    expect(page.locator("button[aria-pressed=true]")).to_have_text("wrong")
    page.goto(f"{address}/new?recipe=fast-mnist")
    expect(page.locator("text=(mnist: 1)")).to_be_visible()
    page.go_back()
    with page.expect_response("**/decide"):
        page.locator("button[aria-pressed=true]").click()
    expect(page.locator("button[aria-pressed=true]")).to_have_count(0)
    assert read_decisions(file, data.digest) == {}


def test_several_models_on_one_picture(page: Page, address: str, tmp_path: Path) -> None:
    """A file, two models side by side, what each saw and what its answer rests on; a bad file is told."""
    page.goto(f"{address}/try")
    page.wait_for_selector("body[data-ready=yes]")
    for box in page.locator("#models input").all():
        box.check()
    image, label = load("mnist").train.images_NCHW[0], load("mnist").train.labels_N[0]
    (tmp_path / "five.png").write_bytes(png_bytes(image))
    page.check("#heat")
    page.set_input_files("#file", tmp_path / "five.png")
    page.wait_for_function("said => document.body.dataset.answered === said", arg=f"{label}|{label}")
    expect(page.locator(".heat:visible")).to_have_count(2)
    seen = page.evaluate(
        """async () => {
            const image = document.querySelector(".seen"), canvas = new OffscreenCanvas(28, 28), pen = canvas.getContext("2d");
            await image.decode();
            pen.drawImage(image, 0, 0);
            return [...pen.getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0);
        }"""
    )
    assert seen == image.ravel().tolist()
    (tmp_path / "no.png").write_text("no")
    page.set_input_files("#file", tmp_path / "no.png")
    expect(page.locator("#trouble")).to_contain_text("no.png is no picture")


def test_pictures_are_dropped_and_pasted(page: Page, address: str) -> None:
    """Onto /try, which sends the very file: undo after a stroke brings it back."""
    page.goto(f"{address}/try")
    page.wait_for_selector("body[data-ready=yes]")
    data = load("mnist").train
    for kind, row in (("drop", 0), ("paste", 1)):
        page.click("#clear")
        page.wait_for_function("() => document.body.dataset.answered === ''")
        hand(page, kind, png_bytes(data.images_NCHW[row]))
        page.wait_for_function("said => document.body.dataset.answered === said", arg=str(data.labels_N[row]))
    exact = page.locator(".seen").get_attribute("src")
    draw(page, 7)
    page.wait_for_function("exact => document.querySelector('.seen').src !== exact", arg=exact)
    for _ in range(len(DIGITS[7])):
        page.click("#undo")
    page.wait_for_function("exact => document.querySelector('.seen').src === exact", arg=exact)


def test_a_photograph_is_taken_and_the_camera_closed(browser: Browser, address: str) -> None:
    """Chromium's made-up camera; no stream stays open, however often one clicks; without a camera one is told why."""
    with opened(browser) as page:
        page.add_init_script(
            """window.streams = [];
            const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = async what => { const got = await ask(what); streams.push(got); return got; };"""
        )
        page.goto(f"{address}/try")
        page.wait_for_selector("body[data-ready=yes]")
        page.evaluate("camera.click(); camera.click()")
        expect(page.locator("#webcam")).to_be_visible()
        page.click("#camera")
        page.wait_for_function("() => streams.length === 2")
        expect(page.locator("#camera")).to_be_enabled()
        page.click("#shoot")
        expect(page.locator("#webcam")).to_be_hidden()
        page.wait_for_function("() => document.body.dataset.answered !== undefined")
        assert page.evaluate("streams.flatMap(s => s.getTracks()).map(t => t.readyState)") == ["ended", "ended"]
        page.evaluate("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
        page.click("#camera")
        expect(page.locator("#trouble")).to_contain_text("https")


FAINT = """() => {
    // the text that stands out too little from its ground: its contrast, by WCAG 2
    const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const light = colours => {
        pen.clearRect(0, 0, 1, 1);
        for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
        const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
        const text = [...element.childNodes].filter(n => n.nodeType === Node.TEXT_NODE).map(n => n.data.trim()).join("");
        if (!text || !element.checkVisibility() || element.matches("option, .unseen, .skip, script, progress, :disabled")) continue;
        const grounds = [];
        for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
        const style = getComputedStyle(element), ink = element.closest("svg") ? style.fill : style.color;
        const [low, high] = [light(grounds), light([...grounds, ink])].sort((a, b) => a - b);
        const contrast = (high + 0.05) / (low + 0.05);
        if (contrast < 4.5) found.push(`${contrast.toFixed(2)}: ${text.slice(0, 40)}`);
    }
    return found;
}"""


@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_a_phone_name_what_they_show_and_can_be_read(
    browser: Browser, address: str, runs: Runs, dark: bool
) -> None:
    """No page is wider than a phone; every control and picture has a name; every text stands out from its ground."""
    ids = [opaque(run.name) for run in runs.list()]
    chosen = "&".join(f"run={i}" for i in ids)
    with opened(browser, dark=dark, width=390, height=844) as page:
        page.goto(f"{address}/data")
        mnist = page.locator("a:text-is('MNIST')").get_attribute("href") or ""
        paths = ["/", "/?q=nothing", "/new", "/commands", "/try", f"/try?{chosen}", f"/runs/{ids[0]}", "/data", mnist]
        paths += [f"{mnist}?show=twins", f"{mnist}?show=suspects", f"/compare?{chosen}", f"/flip?{chosen}"]
        paths += [f"/images?{chosen}&true=3&said=5", f"/images?{chosen}"]
        for path in paths:
            page.goto(address + path)
            if path.startswith("/compare"):
                page.wait_for_selector(".explorer:not([hidden])")
                page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert page.evaluate(FAINT) == [], path
            nameless = page.evaluate(
                """[...document.querySelectorAll("input:not([type=hidden]), select, button, a, img:not([hidden]), canvas, svg")].filter(e =>
                    !(e.textContent.trim() || e.ariaLabel || e.alt || e.labels?.length || e.getAttribute("aria-label"))
                ).map(e => e.outerHTML)"""
            )
            assert nameless == [], path
        page.goto(address)
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.name") == "q"


def test_another_host_needs_a_token_and_a_browser_brings_it_once(browser: Browser, tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "fittingroom", "ui", str(tmp_path), "--host", "0.0.0.0"], capture_output=True, text=True
    )
    assert refused.returncode == 2 and "needs a token" in refused.stderr
    with served(tmp_path, "--token", "abc123") as address, opened(browser) as page:
        reply = page.request.get(address)
        assert reply.status == 401
        page.goto(f"{address}/?token=abc123")
        assert "token" not in page.url
        expect(page.locator("h1")).to_have_text("Runs")
        page.click("text=New")
        expect(page.locator("h1")).to_have_text("Which classifier for your pictures?")


def test_names_are_text(browser: Browser, tmp_path: Path) -> None:
    """A recipe, classes and a log that try to be HTML are shown as text, and the policy allows no inline script."""
    runs = Runs(tmp_path / "runs")
    run = trained(runs, "readme-004-mlp", "train.epochs=1", "data.limit=600", data="mnist")
    evil = "</script><img src=x onerror=alert(1)>"
    text = (run.path / "recipe.toml").read_text()
    (run.path / "recipe.toml").write_text(text.replace('name = "readme-004-mlp"', f'name = "{evil}"'))
    facts = json.loads((run.path / "data.json").read_text())
    facts["classes"] = [f"{evil}{i}" for i in range(10)]
    (run.path / "data.json").write_text(json.dumps(facts))
    resealed(run)
    answer = Answered(question=evil, subject=evil, sentences=(evil,), files=(evil,))
    command = left(runs, ["train", evil], answer, Failed(message=evil), title=evil, log=f"{evil}\n<b>bold</b>\n")
    with served(runs.path) as address, opened(browser) as page:
        reply = page.goto(address)
        assert reply
        policy = reply.headers["content-security-policy"]
        assert "script-src 'self'" in policy and "unsafe-eval" not in policy
        shown = {
            f"/runs/{opaque(run.name)}": "h1",
            "/commands": "tbody",
            f"/commands/{command.id}": ".log",
            f"/commands/{command.id}?": "[role=alert]",
            f"/commands/{command.id}?answer": "section[aria-label=answer]",
            f"/compare?run={opaque(run.name)}": ".confusion th[scope=row] >> nth=0",
            f"/images?run={opaque(run.name)}": "h1",
        }
        for path, place in shown.items():
            page.goto(address + path)
            expect(page.locator(place)).to_contain_text(evil)
            if path.startswith("/compare"):
                page.wait_for_selector(".explorer:not([hidden])")
                expect(page.locator(".explorer select[name=true]")).to_contain_text(evil)
            assert page.locator("img[src=x], .log b").count() == 0, path


def test_thousands_of_runs_come_up_while_they_are_read(browser: Browser, runs: Runs, tmp_path: Path) -> None:
    """The first page, and one of the filtered ones, from a folder that is being read for the first time."""
    many = tmp_path / "many"
    many.mkdir()
    first = runs.list()[0]
    for i in range(2_000):
        path = many / f"run-{i:05d}"
        path.mkdir()
        for file in first.path.iterdir():
            if file.is_file() and file.name != ".lock":
                (path / file.name).hardlink_to(file)
    with served(many) as address, opened(browser) as page:
        # a browser may come too late to see it
        until(lambda: "runs to go" in httpx.get(address, trust_env=False).text, pause_s=0)
        page.goto(address)
        until(lambda: page.reload() and "runs to go" not in page.locator("main").inner_text())
        expect(page.locator("main")).to_contain_text("1 to 100 of 2,000")
        page.goto(f"{address}/?q=run-01&sort=test&first=100")
        expect(page.locator("main")).to_contain_text("101 to 200 of 1,000")
