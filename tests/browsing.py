"""A real browser for the tests: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import base64
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE_MS = 90_000  # a machine may be busy
expect.set_options(timeout=PATIENCE_MS)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; apt-get install chromium")

# strokes of digits, in shares of the pad
DIGITS: dict[int, list[list[tuple[float, float]]]] = {
    2: [[(0.3, 0.3), (0.45, 0.15), (0.65, 0.2), (0.66, 0.4), (0.3, 0.82), (0.72, 0.82)]],
    3: [[(0.3, 0.25), (0.5, 0.15), (0.68, 0.28), (0.6, 0.42), (0.45, 0.48), (0.65, 0.56), (0.7, 0.72), (0.5, 0.86), (0.3, 0.78)]],
    5: [[(0.7, 0.18), (0.38, 0.18), (0.35, 0.47), (0.55, 0.42), (0.7, 0.58), (0.6, 0.8), (0.32, 0.82)]],
    7: [[(0.3, 0.2), (0.7, 0.2), (0.45, 0.85)]],
}  # fmt: skip


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *options])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, dark: bool = False, width: int = 1100, height: int = 800, but: str = "\0"
) -> Iterator[Page]:
    """A page whose faults (errors, refused scripts, requests to elsewhere; not those with `but`) fail the test at its end."""
    context = browser.new_context(color_scheme="dark" if dark else "light", viewport={"width": width, "height": height})
    page = context.new_page()
    faults: list[str] = []
    page.on(
        "console", lambda m: faults.append(m.text) if m.type in ("error", "warning") and but not in m.text else None
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda r: None if local(r.url) else faults.append(f"asked {r.url}"))
    page.set_default_timeout(PATIENCE_MS)
    yield page
    context.close()
    assert faults == [], faults


def local(url: str) -> bool:
    """Whether an address is of this machine, or of no machine."""
    return url.startswith(("http://127.0.0.1:", "data:", "blob:"))


def draw(page: Page, digit: int, pad: str = "#pad") -> None:
    """Draw a digit with the mouse."""
    page.locator(pad).wait_for(state="visible")
    box = page.locator(pad).bounding_box()
    assert box

    def at(point: Sequence[float]) -> tuple[float, float]:
        return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]

    for stroke in DIGITS[digit]:
        page.mouse.move(*at(stroke[0]))
        page.mouse.down()
        for point in stroke[1:]:
            page.mouse.move(*at(point), steps=6)
        page.mouse.up()


def hand(page: Page, kind: str, content: bytes) -> None:
    """Drop or paste a PNG onto a page."""
    page.evaluate(
        """([kind, uri]) => {
            const bytes = Uint8Array.from(atob(uri), c => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "a.png", { type: "image/png" }));
            document.dispatchEvent(kind === "drop" ? new DragEvent("drop", { dataTransfer: transfer, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: transfer }));
        }""",
        [kind, base64.b64encode(content).decode()],
    )


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def offered(folder: Path) -> Iterator[str]:
    """The address at which Python's own static server offers a folder."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
