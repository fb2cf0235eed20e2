"""Commands that put a trained model to use: export it, ask it, serve it."""

from __future__ import annotations

import codecs
import csv
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from fittingroom.cli.options import AllowHost, Home, Host, Json, Quiet, RunsDir
from fittingroom.spec.printable import printable

if TYPE_CHECKING:
    from fittingroom.inference.pictures import Named, Result
    from fittingroom.store import BundleFolder

Model = Annotated[str, typer.Argument(help="A bundle's folder, or a run (its name, or the beginning of it).")]
CHUNK = 1 << 16  # bytes of standard input, at most, that are looked at together
SHOWN = 10  # bad files that are told one by one at the end; --json and --csv tell all


def export(
    run: Annotated[str, typer.Argument(help="A finished run: its folder, or the beginning of its name.")],
    out: Annotated[Path | None, typer.Option(help="The folder to write (default: bundle in the run's folder).")] = None,
    quantize: Annotated[
        Literal["no", "int8"], typer.Option(help="int8: 8-bit weights; refused if it costs over 0.3 points.")
    ] = "no",
    web: Annotated[
        Path | None,
        typer.Option(help="Also write this folder: a site on which the model runs in the visitor's browser."),
    ] = None,
    runs: RunsDir = Path("runs"),
    home: Home = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a run's model as a bundle: ONNX and weights, classes, a model card, and proof that nothing changed."""
    from fittingroom.cli import show
    from fittingroom.cli.board import Board
    from fittingroom.metrics.words import percent
    from fittingroom.spec.errors import need
    from fittingroom.store import Runs

    for module in ("onnx", "onnxscript", "onnxruntime"):
        need(module, "export", "export")
    found = Runs(runs).find(run)
    from fittingroom.export import export as export_run
    from fittingroom.export.web import FILES, MARK, export_web
    from fittingroom.store.bundles import refuse_strange

    say = Board([], quiet or as_json).say
    if web:
        refuse_strange(web, MARK, FILES)
    place = out or (found.bundle.path if quantize == "no" else found.path / f"bundle-{quantize}")
    bundle = export_run(found, found.home, place, quantize=quantize, home_dir=home, say=say)
    if web:
        export_web(bundle, web, home_dir=home, say=say)
    parity, facts = bundle.parity, bundle.facts
    if as_json:
        show.as_json(
            {"bundle": str(place), "parity": parity.model_dump(), "facts": facts.model_dump(mode="json")}
            | ({"web": str(web)} if web else {})
        )
        return
    m = facts.measured
    size = (place / "model.onnx").stat().st_size / 1e6
    small = f" (int8; {percent(parity.accuracy_torch)} before)" if quantize == "int8" else ""
    print(
        f"{facts.name} on {facts.data_title}: {percent(m.accuracy)} % of {m.n:,} "
        f"test images{small}; model.onnx {size:.1f} MB\n"
        f"parity: {parity.changed_predictions} predictions changed, largest difference of a logit "
        f"{parity.max_logit_difference:.1g}\nbundle: {place}\nto ask it:    fittingroom predict {place} PICTURE"
    )
    if web:
        print(f"site: {web}\nto see it:    python3 -m http.server --bind 127.0.0.1 --directory {web}")


def predict(
    model: Model,
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE|FOLDER|-...", help="Picture files, folders of them, or - for one picture or a list of files."
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="So many classes for each picture.")] = 3,
    sure: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Below this probability an answer is “not sure” (default: the bundle's, 0.5)."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line for each picture, as it is answered.")] = False,
    runs: RunsDir = Path("runs"),
    home: Home = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Say what pictures show. Needs no torch. A picture that cannot be read is told, and the others are answered."""
    from fittingroom.cli import show
    from fittingroom.cli.board import share_of
    from fittingroom.inference import Classifier
    from fittingroom.inference.pictures import classify
    from fittingroom.spec.errors import FittingroomError

    if as_csv and as_json:
        raise FittingroomError("--csv and --json exclude each other; give one of them")
    named, faults, count = _pictures(pictures)
    classifier = Classifier(find_bundle(model, runs, home, quiet or as_csv or as_json))
    many = count is not None and count > 1
    results: list[Result] = []
    bad: list[tuple[str, str]] = list(faults)
    said: Counter[str] = Counter()
    table = csv.writer(sys.stdout, lineterminator="\n")
    if as_csv:
        places = range(1, min(top, len(classifier.classes)) + 1)
        table.writerow(["file", "answer", *(cell for i in places for cell in (f"class_{i}", f"p_{i}")), "fault"])
    with share_of("pictures", quiet or as_csv or as_json or not many) as tick:
        done = 0
        for batch in classify(classifier, named, top=top, sure_at=sure):
            done += len(batch)
            if count:
                tick(done / count)
            bad += [(r.name, r.fault) for r in batch if not r.answer]
            said.update(r.answer.says for r in batch if r.answer)
            if as_json:
                results += batch
            elif as_csv:
                table.writerows(_csv_row(r, len(places)) for r in batch)
                sys.stdout.flush()
            else:
                for r in batch:
                    if r.answer:
                        print(f"{printable(r.name)}: {_in_words(r)}")
    if as_csv:
        table.writerows([name, "", *[""] * (2 * len(places)), reason] for name, reason in faults)
    elif as_json:
        show.as_json(
            {
                "model": classifier.facts.name,
                "classes": list(classifier.classes),
                "sure_at": classifier.facts.confidence.sure_at if sure is None else sure,
                "predictions": [
                    {"file": printable(r.name), "answer": r.answer.says, "sure": r.answer.sure}
                    | {"top": [{"class": name, "p": p} for name, p in r.answer.top]}
                    for r in results
                    if r.answer
                ],
                "failed": [{"file": printable(name), "reason": reason} for name, reason in bad],
            }
        )
    elif said.total() > 1:
        print(f"\n{said.total():,} pictures: " + ", ".join(f"{n:,} {name}" for name, n in said.most_common()))
    if bad:
        lines = [f"{printable(name)} {reason}" for name, reason in bad[:SHOWN]]
        lines += [f"… and {len(bad) - SHOWN:,} more (--csv and --json list all)"] * (len(bad) > SHOWN)
        raise FittingroomError(
            f"{len(bad):,} picture{'s' * (len(bad) > 1)} could not be answered:\n  " + "\n  ".join(lines)
        )


def serve(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Bundles' folders, or runs.")],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    token: Annotated[
        str, typer.Option(envvar="FITTINGROOM_TOKEN", help="What clients must send as Authorization: Bearer TOKEN.")
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port, the cores and the metrics.")] = 1,
    queue: Annotated[int, typer.Option(min=1, help="Requests that may wait for a model; one more is told 503.")] = 64,
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds until a request is told 504.")] = 10.0,
    allow_host: AllowHost = None,
    runs: RunsDir = Path("runs"),
    home: Home = None,
    quiet: Quiet = False,
) -> None:
    """Answer over HTTP: the Open Inference Protocol (/v2), POST /predict with pictures, /metrics, a page at /."""
    from fittingroom.serve.run import serve as run_server
    from fittingroom.serve.settings import Limits, Settings

    settings = Settings(
        bundles=tuple(find_bundle(model, runs, home, quiet).path for model in models),
        host=host,
        port=port,
        token=token,
        workers=workers,
        names=tuple(allow_host or ()),
        limits=Limits(queue=queue, deadline_s=deadline),
    )
    run_server(settings, lambda address: print(f"serving at {address} (Ctrl-C stops)", file=sys.stderr, flush=True))


def ui(
    folder: Annotated[Path, typer.Argument(metavar="[RUNS_DIR]", help="The folder of runs.")] = Path("runs"),
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8080,
    token: Annotated[
        str, typer.Option(envvar="FITTINGROOM_TOKEN", help="What a browser must bring once, as ?token=TOKEN.")
    ] = "",
    allow_host: AllowHost = None,
    home: Home = None,
) -> None:
    """Pages in the browser: watch and start runs, compare them, look at data, try models."""
    from fittingroom.data.catalog import home as home_of
    from fittingroom.store import Runs
    from fittingroom.ui.run import serve_pages

    def said(address: str) -> None:
        print(f"pages at {address}/{'?token=' + token if token else ''} (Ctrl-C stops)", file=sys.stderr, flush=True)

    serve_pages(
        Runs(folder), home_of(home), host=host, port=port, token=token, names=tuple(allow_host or ()), said=said
    )


def find_bundle(word: str, runs: Path, home: Path | None, quiet: bool) -> BundleFolder:
    """The bundle that a person means: a folder, or a run's; a run that has none is exported now, where torch is.

    Raises `FittingroomError`.
    """
    from importlib.util import find_spec

    from fittingroom.cli.board import Board
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.store import BundleFolder, Runs

    given = BundleFolder(Path(word))
    if given.there:
        return given
    if given.path.is_dir() and not (given.path / "run.json").exists():
        raise FittingroomError(f"{word} is neither a bundle nor a run; make a bundle with: fittingroom export RUN")
    run = Runs(runs).find(word)
    if run.bundle.there:
        return run.bundle
    run.refuse_unfinished()
    if not all(map(find_spec, ("torch", "onnx", "onnxscript"))):
        raise FittingroomError(
            f"{run.name} was not exported yet, which needs torch; where that is: fittingroom export {run.name}"
        )
    from fittingroom.export import export as export_run

    say = Board([], quiet).say
    say(f"exporting {run.name}, once")
    return export_run(run, run.home, run.bundle.path, home_dir=home)


def _pictures(words: list[str]) -> tuple[Iterable[Named | None], list[tuple[str, str]], int | None]:
    """The pictures that a person names, what could not be looked at, and how many there are (None: not known yet).

    Raises `FittingroomError` for a folder without pictures.
    """
    from fittingroom.data.own.folders import pictures_below
    from fittingroom.inference.pictures import Named
    from fittingroom.spec.errors import FittingroomError

    if "-" in words:
        if len(words) > 1:
            raise FittingroomError("- stands for what comes in on standard input; give it alone")
        return _from_stdin(), [], None
    named: list[Named] = []
    faults: list[tuple[str, str]] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            found, missed = pictures_below(path)
            if not found and not missed:
                raise FittingroomError(f"{path} has no picture (PNG, JPEG, WebP, BMP, GIF or TIFF) in it or below")
            named += [Named(str(file), file) for file in found]
            faults += [(str(path / fault.where), fault.reason) for fault in missed]
        else:
            named.append(Named(word, path))
    return named, faults, len(named)


def _from_stdin() -> Iterator[Named | None]:
    """One picture's bytes, or names of files, a line each, answered as they come: None where no more are there yet."""
    from fittingroom.inference.pictures import Named
    from fittingroom.spec.errors import FittingroomError

    stream = cast(io.BufferedReader, sys.stdin.buffer)
    came = stream.read1(CHUNK)
    if not came:
        raise FittingroomError("nothing came in on standard input; give a picture, or names of files, a line each")
    if _is_picture(came):
        yield Named("-", came + stream.read())
        return
    rest = b""
    while came:
        *lines, rest = (rest + came).split(b"\n")
        yield from map(_named, filter(None, (line.rstrip(b"\r") for line in lines)))
        yield None
        came = stream.read1(CHUNK)
    if rest:
        yield _named(rest)


def _named(line: bytes) -> Named:
    from fittingroom.inference.pictures import Named

    word = line.decode("utf-8", "surrogateescape")
    return Named(word, Path(word))


def _is_picture(head: bytes) -> bool:
    """Whether these are the first bytes of a picture, and no names: by what formats begin with, or as they are no text.

    >>> _is_picture(b"RIFF\\n\\0\\0\\0WEBP"), _is_picture(b"GIF89a"), _is_picture(b"BMW.jpg\\nRIFF.png\\n")
    (True, True, False)
    """
    if head.startswith((b"GIF87a", b"GIF89a")) or (head[:4], head[8:12]) == (b"RIFF", b"WEBP"):
        return True
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return True
    try:
        return "\0" in codecs.getincrementaldecoder("utf-8")().decode(head.partition(b"\n")[0])
    except UnicodeDecodeError:
        return True


def _in_words(result: Result) -> str:
    assert result.answer
    cells = [f"{name} {100 * p:.1f} %" for name, p in result.answer.top]
    if not result.answer.sure:
        return f"not sure ({', '.join(cells)})"
    return cells[0] + (f" ({', '.join(cells[1:])})" if cells[1:] else "")


def _csv_row(result: Result, places: int) -> list[str]:
    if not result.answer:
        return [printable(result.name), "", *[""] * (2 * places), result.fault]
    cells = [cell for name, p in result.answer.top for cell in (name, f"{p:.6f}")]
    return [printable(result.name), result.answer.says, *cells, ""]


ALL = (export, predict, serve, ui)
