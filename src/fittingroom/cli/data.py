"""`fittingroom data`: what there is, bring it, look at it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fittingroom.cli.options import Home, Json
from fittingroom.cli.shell import works

if TYPE_CHECKING:
    from fittingroom.study.workplace import Workplace

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
    from fittingroom.questions import listing
    from fittingroom.store.fetch import home as home_of

    where = home_of(home)
    if as_json:
        entries = [catalog.entry(name, where).model_dump(mode="json") for name in catalog.catalog(where)]
        here = [row["here"] == "yes" for row in listing.datasets(home)]
        mine = [about.model_dump(mode="json") | {"path": path} for about, path in own.known(where)]
        known = [entry | {"here": there} for entry, there in zip(entries, here, strict=True)]
        show.as_json({"home": str(where), "datasets": known, "own": mine})
        return
    show.table(*listing.datasets(home).table)
    if mine := listing.own_pictures(home):
        print("\nyour own, decoded:")
        show.table(*mine.table)
    print(f"\nin {where}; give --data a folder of pictures, or add a TOML file to {where / 'datasets'} (docs/data.md)")


@app.command()
@works("home", "strict", aloud=True)
def get(place: Workplace, name: Which, overrides: Overrides = None, as_json: Json = False) -> None:
    """Fetch and verify a data set, or decode your own pictures; says where they came from and what was left out."""
    from fittingroom.cli import show
    from fittingroom.data import catalog
    from fittingroom.data.acquire import acquire, provenance, verify
    from fittingroom.spec.read import read_shape
    from fittingroom.store.fetch import home as home_of

    where = home_of(place.home)
    if name not in catalog.catalog(where):
        data = place.load(name, read_shape(overrides or []))
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
    folder = acquire(entry, where, place.progress.note)
    verify(entry, folder)
    source = provenance(entry, where)
    if as_json:
        show.as_json({"name": name, "digest": entry.digest, "folder": str(folder), "source": source})
    else:
        print(f"{entry.title} is in {folder}, from {source}; the hashes of all its files are right")


@app.command(name="show")
@works("home", "strict", aloud=True)
def show_(
    place: Workplace,
    name: Which,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="The page to write (default: runs/data-NAME.html).")] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page about a data set: samples, balance, pixels, mean images, duplicates."""
    from fittingroom.cli import show
    from fittingroom.report.data_page import write_data_page
    from fittingroom.spec.read import read_shape

    data = place.load(name, read_shape(overrides or []))
    path, facts = write_data_page(data, out or Path("runs") / f"data-{data.name}.html")
    if as_json:
        show.as_json(facts | {"page": str(path)})
        return
    for key, value in facts.items():
        print(f"{key.replace('_', ' ')}: {value}")
    print(f"page: {path}")
