"""`fittingroom data`: what there is, bring it, look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fittingroom.cli.options import Home, Json

app = typer.Typer(help="Data sets: list them, fetch and verify them, look at them.", no_args_is_help=True)


@app.command("list")
def list_(home: Home = None, as_json: Json = False) -> None:
    """The data sets that are known, and whether they are here."""
    from fittingroom.cli import show
    from fittingroom.data import catalog

    where = catalog.home(home)
    entries = [catalog.entry(name, where) for name in catalog.catalog(where)]
    here = {e.name: (where / "data" / e.name / e.files.test_labels.name).exists() for e in entries}
    if as_json:
        show.as_json(
            {"home": str(where), "datasets": [e.model_dump(mode="json") | {"here": here[e.name]} for e in entries]}
        )
        return
    show.table(
        ["name", "title", "classes", "here", "licence"],
        [[e.name, e.title, str(len(e.classes)), "yes" if here[e.name] else "no", e.licence] for e in entries],
        left=5,
    )
    print(f"\nin {where}; another data set is a TOML file in {where / 'datasets'} (docs/data.md)")


@app.command()
def get(name: str, home: Home = None, as_json: Json = False) -> None:
    """Fetch and verify a data set; says which source delivered."""
    from fittingroom.cli import show
    from fittingroom.data import catalog
    from fittingroom.data.acquire import acquire, provenance, verify

    where = catalog.home(home)
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
    name: str,
    out: Annotated[Path | None, typer.Option(help="The page to write (default: runs/data-NAME.html).")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page about a data set: samples, balance, pixels, mean images, duplicates."""
    from fittingroom.cli import show
    from fittingroom.data import load
    from fittingroom.report.data_page import write_data_page

    data = load(name, home, say=(lambda line: None) if as_json else print)
    path, facts = write_data_page(data, out or Path("runs") / f"data-{data.name}.html")
    if as_json:
        show.as_json(facts | {"page": str(path)})
        return
    for key, value in facts.items():
        print(f"{key.replace('_', ' ')}: {value}")
    print(f"page: {path}")
