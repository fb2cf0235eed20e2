"""Commands that put a trained model to use: export it, ask it, serve it."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fittingroom.cli.options import AllowHost, At, BehindProxy, Home, Host, Json, Positive, TlsCert, TlsKey, TokenFile
from fittingroom.cli.runs import warn
from fittingroom.cli.shell import works
from fittingroom.spec.printable import for_terminal, printable

if TYPE_CHECKING:
    from fittingroom.inference.pictures import Result
    from fittingroom.spec.bundle import Operating
    from fittingroom.study.workplace import Workplace

Model = Annotated[str, typer.Argument(help="A bundle's folder, or a run (its name, or the beginning of it).")]
SHOWN = 10  # bad files that are told one by one at the end; --json and --csv tell all


@works("runs", "home")
def export(
    place: Workplace,
    run: Annotated[str, typer.Argument(help="A finished run: its folder, or the beginning of its name.")],
    out: Annotated[Path | None, typer.Option(help="The folder to write (default: bundle in the run's folder).")] = None,
    quantize: Annotated[
        Literal["no", "int8"], typer.Option(help="int8: 8-bit weights; refused if it costs over 0.3 points.")
    ] = "no",
    web: Annotated[
        Path | None,
        typer.Option(help="Also write this folder: a site on which the model runs in the visitor's browser."),
    ] = None,
    at: At = "",
    positive: Positive = "",
    as_json: Json = False,
) -> None:
    """Write a run's model as a bundle: ONNX and weights, classes, a model card, and proof that nothing changed."""
    from fittingroom.cli import show
    from fittingroom.export import export
    from fittingroom.metrics.words import percent
    from fittingroom.store.events import Answered

    found = place.runs.find(run)
    bundle = export(found, place, out=out, quantize=quantize, web=web, at=at, positive=positive)
    where = bundle.path
    place.progress.event(Answered(question="export", subject=found.name, sentences=(), files=(str(where),)))
    parity, facts = bundle.parity, bundle.facts
    if as_json:
        show.as_json(
            {"bundle": str(where), "parity": parity.model_dump(), "facts": facts.model_dump(mode="json")}
            | ({"web": str(web)} if web else {})
        )
        return
    m = facts.measured
    size = (where / "model.onnx").stat().st_size / 1e6
    before = f"{percent(parity.accuracy_torch)} before" if m.on == "test" else "measured before it was quantized"
    small = f" (int8; {before})" if quantize == "int8" else ""
    print(
        f"{facts.name} on {facts.data_title}: {percent(m.accuracy)} % of {m.n:,} "
        f"{m.images}{small}; model.onnx {size:.1f} MB\n"
        f"parity: {parity.changed_predictions} predictions changed, largest difference of a logit "
        f"{parity.max_logit_difference:.1g}\n{_decides(facts.operating)}"
        f"bundle: {where}\nto ask it:    fittingroom predict {where} PICTURE"
    )
    if web:
        print(f"site: {web}\nto see it:    python3 -m http.server --bind 127.0.0.1 --directory {web}")


@works("runs", "home")
def predict(
    place: Workplace,
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
    as_json: Json = False,
) -> None:
    """Say what pictures show. Needs no torch. A picture that cannot be read is told, and the others are answered."""
    from fittingroom.cli import show
    from fittingroom.export.find import find_bundle
    from fittingroom.inference import Classifier
    from fittingroom.inference.pictures import classify, named_pictures
    from fittingroom.metrics.words import point_words
    from fittingroom.spec.errors import FittingroomError

    if as_csv and as_json:
        raise FittingroomError("--csv and --json exclude each other; give one of them")
    named, faults, count = named_pictures(pictures)
    classifier = Classifier(find_bundle(model, place))
    if point := classifier.facts.operating:
        place.progress.note(f"{classifier.facts.name} {point_words(point)}")
    results: list[Result] = []
    bad: list[tuple[str, str]] = list(faults)
    said: Counter[str] = Counter()
    table = csv.writer(sys.stdout, lineterminator="\n")
    if as_csv:
        places = range(1, min(top, len(classifier.classes)) + 1)
        table.writerow(["file", "answer", *(cell for i in places for cell in (f"class_{i}", f"p_{i}")), "fault"])
    with place.progress.work("pictures") as tick:
        done = 0
        for batch in classify(classifier, named, top=top, sure_at=sure):
            done += len(batch)
            if count and count > 1:
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
                        print(for_terminal(f"{r.name}: {_in_words(r)}"))
    if as_csv:
        table.writerows([name, "", *[""] * (2 * len(places)), reason] for name, reason in faults)
    elif as_json:
        show.as_json(
            {
                "model": classifier.facts.name,
                "classes": list(classifier.classes),
                "sure_at": classifier.sure_at if sure is None else sure,
                "operating": point.model_dump(mode="json") if (point := classifier.facts.operating) else None,
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
        counted = ", ".join(f"{n:,} {name}" for name, n in said.most_common())
        print(for_terminal(f"\n{said.total():,} pictures: {counted}"))
    if bad:
        lines = [for_terminal(f"{name} {reason}") for name, reason in bad[:SHOWN]]
        lines += [f"… and {len(bad) - SHOWN:,} more (--csv and --json list all)"] * (len(bad) > SHOWN)
        raise FittingroomError(
            f"{len(bad):,} picture{'s' * (len(bad) > 1)} could not be answered:\n  " + "\n  ".join(lines)
        )


@works("runs", "home")
def serve(
    place: Workplace,
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Bundles' folders, or runs.")],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    token: Annotated[
        str, typer.Option(envvar="FITTINGROOM_TOKEN", help="What clients must send as Authorization: Bearer TOKEN.")
    ] = "",
    token_file: TokenFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    behind_proxy: BehindProxy = False,
    root_path: Annotated[str, typer.Option(help="The path under which a proxy shows this server: /models.")] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port, the cores and the metrics.")] = 1,
    queue: Annotated[int, typer.Option(min=1, help="Requests that may wait for a model; one more is told 503.")] = 64,
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds until a request is told 504.")] = 10.0,
    allow_host: AllowHost = None,
) -> None:
    """Answer over HTTP: the Open Inference Protocol (/v2), POST /predict with pictures, /metrics, a page at /."""
    from fittingroom.export.find import find_bundle
    from fittingroom.serve.run import serve as run_server
    from fittingroom.serve.settings import Limits, Settings, rooted

    settings = Settings(
        bundles=tuple(find_bundle(model, place).path for model in models),
        **_who_may_ask(token, token_file, tls_cert, tls_key, allow_host),
        host=host,
        port=port,
        behind_proxy=behind_proxy,
        root_path=rooted(root_path),
        workers=workers,
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
    token_file: TokenFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    behind_proxy: BehindProxy = False,
    allow_host: AllowHost = None,
    home: Home = None,
) -> None:
    """Pages in the browser: watch and start runs, compare them, look at data, try models."""
    from fittingroom.serve.settings import Door
    from fittingroom.store import Runs
    from fittingroom.store.fetch import home as home_of
    from fittingroom.ui.run import serve_pages

    who = _who_may_ask(token, token_file, tls_cert, tls_key, allow_host)
    door = Door(**who, host=host, port=port, behind_proxy=behind_proxy)

    def announce(address: str) -> None:
        # a token from a file was put there so that nobody reads it
        brought = "?token=" + token if token else "?token=… (what is in the file)" if token_file else ""
        print(f"pages at {address}/{brought} (Ctrl-C stops)", file=sys.stderr, flush=True)

    serve_pages(Runs(folder), home_of(home), door, announce)


def _who_may_ask(
    token: str, token_file: Path | None, tls_cert: Path | None, tls_key: Path | None, allow_host: list[str] | None
) -> dict[str, Any]:
    """What the options of a server say of its token, TLS and names, as its settings have it."""
    from fittingroom.serve.settings import tls_of, token_in

    return {
        "token": token_in(token_file, token, warn),
        "tls": tls_of(tls_cert, tls_key),
        "names": tuple(allow_host or ()),
    }


def _decides(point: Operating | None) -> str:
    """What an operating point decides and finds, as a line; "" for none."""
    from fittingroom.metrics.finding import FOUND
    from fittingroom.metrics.words import point_words, share_words

    if not point:
        return ""
    found = ", ".join(f"{name} {share_words(getattr(point.found, name))}" for name in FOUND)
    return f"{point_words(point)}; on test: {found}\n"


def _in_words(result: Result) -> str:
    assert result.answer
    cells = [f"{name} {100 * p:.1f} %" for name, p in result.answer.top]
    if not result.answer.sure:
        return f"not sure ({', '.join(cells)})"
    return cells[0] + (f" ({', '.join(cells[1:])})" if cells[1:] else "")


def _csv_row(result: Result, places: int) -> list[str]:
    if not result.answer:
        return [for_terminal(result.name), "", *[""] * (2 * places), for_terminal(result.fault)]
    cells = [cell for name, p in result.answer.top for cell in (name, f"{p:.6f}")]
    return [for_terminal(cell) for cell in (result.name, result.answer.says, *cells, "")]


ALL = (export, predict, serve, ui)
