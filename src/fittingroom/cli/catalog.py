"""What can be named: recipes, models, augmentations; and a first recipe for pictures of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fittingroom.cli.options import Json
from fittingroom.cli.shell import works

if TYPE_CHECKING:
    from fittingroom.report.rows import Rows
    from fittingroom.study.workplace import Workplace


@works("home", "strict", aloud=True)
def new(
    place: Workplace,
    name: Annotated[str, typer.Argument(help="What to call the recipe.")],
    data: Annotated[str, typer.Option(help="A data set's name, or a path of pictures.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="data.image_size=96, data.resize=crop …")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write (default: NAME.toml).")] = None,
    as_json: Json = False,
) -> None:
    """Write a first recipe for your pictures, with a reason beside every line; it trains well as it is."""
    from fittingroom.cli import show
    from fittingroom.questions.new import new
    from fittingroom.spec.read import read_recipe

    path = new(name, data, place, changes=overrides or [], out=out)
    if as_json:
        show.as_json({"recipe": str(path), "toml": path.read_text(encoding="utf-8")})
        return
    source = read_recipe(path).data.name
    train_it = shlex.join(["fittingroom", "train", str(path)])
    compare_it = shlex.join(["fittingroom", "compare", str(path), "readme-004-cnn", "--data", source])
    print(f"wrote {path}\nto train it:    {train_it}\nto compare it:  {compare_it}")


def recipes(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Show this one as TOML.")] = "",
    as_json: Json = False,
) -> None:
    """List the recipes that come along, or show one."""
    from fittingroom.cli import show
    from fittingroom.questions import listing
    from fittingroom.spec.errors import unknown
    from fittingroom.spec.read import read_recipe, shipped_recipes

    shipped = shipped_recipes()
    if name:
        if name not in shipped and not Path(name).exists():
            raise unknown("recipe", name, shipped, "fittingroom recipes")
        if as_json:
            show.as_json(read_recipe(name).model_dump(mode="json"))
        else:
            print(shipped.get(name, Path(name)).read_text(encoding="utf-8"), end="")
        return
    if as_json:
        show.as_json({"recipes": [read_recipe(n).model_dump(mode="json") for n in shipped]})
        return
    show.table(*listing.recipes().table)


def models(as_json: Json = False) -> None:
    """List the networks that a recipe can name in `model.kind`."""
    from fittingroom.questions import listing

    _show("model.args", listing.models(), as_json)


def augmentations(as_json: Json = False) -> None:
    """List the augmentations that a recipe can name under `augment`."""
    from fittingroom.questions import listing

    _show("parameters", listing.augmentations(), as_json)


def _show(what: str, rows: Rows, as_json: bool) -> None:
    from fittingroom.cli import show

    if as_json:
        show.as_json({row["name"]: {"summary": row["what it is"], what: row[f"{what} with defaults"]} for row in rows})
    else:
        show.table(*rows.table)


ALL_OF_CATALOG = (new, recipes, models, augmentations)
