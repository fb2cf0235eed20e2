"""A bundle as a folder of static files: the model runs in the visitor's browser."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fittingroom.metrics.words import percent, point_words
from fittingroom.report.model_card import framing_words
from fittingroom.report.render import assets, render
from fittingroom.spec.sources import FileEntry, NpmSource
from fittingroom.store import BundleFolder
from fittingroom.store.bundles import FACTS, refuse_strange, write_folder
from fittingroom.store.fetch import Say, fetch, home, read_payload

RUNTIME = NpmSource(kind="npm", package="onnxruntime-web", version="1.30.0", path="package/dist")
RUNTIME_FILES = (
    FileEntry(
        name="ort.wasm.bundle.min.mjs",
        size_bytes=73_054,
        sha256="11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    ),
    FileEntry(
        name="ort-wasm-simd-threaded.wasm",
        size_bytes=14_239_897,
        sha256="3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    ),
)
SCRIPTS = (
    "site.js", "camera.js", "latest.js", "framing.js", "resize.js", "picture.js", "deep.js", "pad.js", "shown.js", "occlusion.js",
    "model.js", "try.css",
)  # fmt: skip
MARK = "facts.json"  # by which we know a site of ours
FILES = (
    "index.html",
    "style.css",
    MARK,
    "model.onnx",
    "model-card.md",
    *SCRIPTS,
    *(f"ort/{f.name}" for f in RUNTIME_FILES),
)


def export_web(bundle: BundleFolder, out: Path, *, home_dir: Path | None = None, say: Say = lambda line: None) -> Path:
    """Write the site of a bundle into the folder `out`: any web server can offer it, and it asks no other.

    The runtime comes once through the npm client, is checked by its hashes and kept in the home folder.
    Raises `FittingroomError`, with nothing written.
    """
    refuse_strange(out, MARK, FILES)
    facts = bundle.facts
    runtime = web_runtime(home_dir, say)
    m = facts.measured
    page = render(
        "site.html",
        folders=(web_assets(),),
        facts=facts,
        photos=facts.framing.subject is None,
        score=f"{percent(m.accuracy)} %",
        interval=f" (95 % interval {percent(m.low)} to {percent(m.high)} %)",
        framing=framing_words(facts.framing),
        sure_at=percent(facts.confidence.sure_at, 0),
        operating=point_words(facts.operating) if facts.operating else "",
    )
    files: dict[str, str | bytes | Path] = {
        "index.html": page,
        "style.css": assets() / "style.css",
        MARK: bundle.path / FACTS,
        "model.onnx": bundle.graph(),
        "model-card.md": bundle.path / "README.md",
        **{name: web_assets() / name for name in SCRIPTS},
        **{f"ort/{file.name}": read_payload(runtime, file) for file in RUNTIME_FILES},
    }
    write_folder(out, files, MARK)
    return out


def web_runtime(home_dir: Path | None, say: Say) -> Path:
    """The folder of onnxruntime-web's files, fetched if they are not here. Raises `FittingroomError`."""
    folder = home(home_dir) / "npm" / f"{RUNTIME.package}-{RUNTIME.version}"
    return fetch(RUNTIME.package, RUNTIME_FILES, [RUNTIME], folder, say)


def web_assets() -> Path:
    """Where the pages' scripts are."""
    return Path(str(resources.files("fittingroom") / "web"))
