"""`fittingroom data`: what there is, bring it, look at it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fittingroom.cli.options import Home, Json, RefuseFaults

if TYPE_CHECKING:
    from fittingroom.data import Dataset

Which = Annotated[str, typer.Argument(metavar="NAME|PATH", help="A data set's name, or a path of pictures.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="data.image_size=64, data.channels=1, data.resize=crop."),
]

app = typer.Typer(help="Data sets: list them, fetch and verify them, look at them.", no_args_is_help=True)


@app.command("list")
def list_(home: Home = None, as_json: Json = False) -> None:
    """The data sets that are known, and whether they are here."""
    from fittingroom.cli import show
    from fittingroom.data import catalog, own

    where = catalog.home(home)
    entries = [catalog.entry(name, where) for name in catalog.catalog(where)]
    mine = own.known(where)
    here = {e.name: (where / "data" / e.name / e.files.test_labels.name).exists() for e in entries}
    if as_json:
        show.as_json(
            {
                "home": str(where),
                "datasets": [e.model_dump(mode="json") | {"here": here[e.name]} for e in entries],
                "own": [about.model_dump(mode="json") | {"path": path} for about, path in mine],
            }
        )
        return
    show.table(
        ["name", "title", "classes", "here", "licence"],
        [[e.name, e.title, str(len(e.classes)), "yes" if here[e.name] else "no", e.licence] for e in entries],
        left=5,
    )
    if mine:
        print("\nyour own, decoded:")
        lines = [
            [a.name, f"{sum(map(sum, a.counts.values())):,}", str(len(a.classes)), "×".join(map(str, a.shape)), path]
            for a, path in mine
        ]
        show.table(["name", "images", "classes", "shape", "path"], lines, left=5)
    print(f"\nin {where}; give --data a folder of pictures, or add a TOML file to {where / 'datasets'} (docs/data.md)")


@app.command()
def get(
    name: Which, overrides: Overrides = None, strict: RefuseFaults = False, home: Home = None, as_json: Json = False
) -> None:
    """Fetch and verify a data set, or decode your own pictures; says where they came from and what was left out."""
    from fittingroom.cli import show
    from fittingroom.data import catalog
    from fittingroom.data.acquire import acquire, provenance, verify

    where = catalog.home(home)
    if name not in catalog.catalog(where):
        data = loaded(name, overrides, strict, home, as_json)
        if as_json:
            show.as_json(
                {
                    "name": data.name,
                    "digest": data.digest,
                    "classes": data.classes,
                    "shape": data.train.shape,
                    "images": {"train": len(data.train), "val": len(data.val or ()), "test": data.test.n},
                    "remarks": data.remarks,
                    "left_out": [{"where": where, "reason": reason} for where, reason in data.faults],
                }
            )
        return
    entry = catalog.entry(name, where)
    folder = acquire(entry, where, (lambda line: None) if as_json else print)
    verify(entry, folder)
    source = provenance(entry, where)
    if as_json:
        show.as_json({"name": name, "digest": entry.digest, "folder": str(folder), "source": source})
    else:
        print(f"{entry.title} is in {folder}, from {source}; the hashes of all its files are right")


@app.command(name="show")
def show_(
    name: Which,
    overrides: Overrides = None,
    strict: RefuseFaults = False,
    out: Annotated[Path | None, typer.Option(help="The page to write (default: runs/data-NAME.html).")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page about a data set: samples, balance, pixels, mean images, duplicates."""
    from fittingroom.cli import show
    from fittingroom.report.data_page import write_data_page

    data = loaded(name, overrides, strict, home, as_json)
    path, facts = write_data_page(data, out or Path("runs") / f"data-{data.name}.html")
    if as_json:
        show.as_json(facts | {"page": str(path)})
        return
    for key, value in facts.items():
        print(f"{key.replace('_', ' ')}: {value}")
    print(f"page: {path}")


def loaded(name: str, overrides: list[str] | None, strict: bool, home: Path | None, silent: bool) -> Dataset:
    """A data set for a command that only looks: with a bar while pictures are decoded, and what there is to say."""
    from fittingroom.cli.board import share_of
    from fittingroom.data import load
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.spec.overrides import apply_overrides
    from fittingroom.spec.read import parse
    from fittingroom.spec.recipe import ShapeSpec

    whole = apply_overrides({"data": {}}, overrides or [])
    tree = whole.pop("data")
    if whole:
        raise FittingroomError(
            f"{' '.join(overrides or [])}: here only what pictures become is set: data.image_size, data.channels, data.resize"
        )
    shape = parse(ShapeSpec, tree, "data", "docs/data.md", "data")
    with share_of("reading pictures", silent) as tick:
        return load(name, home, (lambda line: None) if silent else print, shape=shape, strict=strict, tick=tick)
