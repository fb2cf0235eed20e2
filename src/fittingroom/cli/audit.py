"""`fittingroom audit`: the data's defects beside the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fittingroom.cli.options import AtOnce, Device, Home, Json, Quiet, RefuseFaults, RunsDir

AUDITORS = {"mnist": "fast-mnist"}  # the recipe whose models audit a data set, unless --recipe names another
OTHER_AUDITOR = "fast-fashion"


def audit(
    data: Annotated[str, typer.Argument(help="A data set's name, or a path of pictures.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="For the auditing recipe.")
    ] = None,
    split: Annotated[str, typer.Option(help="train or test.")] = "test",
    score: Annotated[
        list[str] | None,
        typer.Option(help="Runs or studies whose test scores to show with and without the suspects; several times."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="Whose models audit (default: a fast one that fits the data).")] = "",
    folds: Annotated[int, typer.Option(min=2, max=20, help="Parts of the cross-validation.")] = 5,
    most: Annotated[int, typer.Option(min=1, help="Suspects to list at least, flagged or not.")] = 100,
    device: Device = "auto",
    at_once: AtOnce = None,
    runs: RunsDir = Path("runs"),
    home: Home = None,
    strict: RefuseFaults = False,
    out: Annotated[
        Path | None, typer.Option(help="The page (default: audit-DATA-SPLIT.html in the runs folder).")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find suspect labels, duplicates and outliers, and say what they do to the scores."""
    from fittingroom.cli import show
    from fittingroom.cli.board import share_of, train_missing
    from fittingroom.data import load, not_test
    from fittingroom.data.decisions import read_decisions
    from fittingroom.report.audit_page import describe, score_cells, write_audit_page
    from fittingroom.report.gather import gather
    from fittingroom.spec.errors import FittingroomError, need
    from fittingroom.spec.read import read_recipe
    from fittingroom.store import Runs
    from fittingroom.store.atomic import write
    from fittingroom.store.runs import safe_name
    from fittingroom.study import audit as room
    from fittingroom.study.run import plan_trials

    if split not in ("train", "test"):
        raise FittingroomError(f'--split is "train" or "test"; got "{split}"')
    if score and split == "train":
        raise FittingroomError("--score goes with --split test: recipes are scored on the test images")
    need("cleanlab", "audit", "audit")
    auditor = read_recipe(recipe or AUDITORS.get(data, OTHER_AUDITOR), overrides or [])
    if any(override.startswith("data.limit") for override in overrides or []):
        raise FittingroomError("an audit looks at every image; leave data.limit away")
    folder = Runs(runs)
    compared = gather(folder.select(score)[0], folder) if score else []
    same = [name for story in compared for name in story.runs if name == auditor.name]
    if same:
        raise FittingroomError(
            f"{auditor.name} is among the scored recipes; what a model disagrees with always flatters it when it is "
            "dropped: audit with another, --recipe NAME"
        )
    source: list[str] = []
    with share_of("reading pictures", quiet or as_json) as tick:
        loaded = load(data, home, source.append, shape=auditor.data, strict=strict, tick=tick)
    elsewhere = [story.data.name for story in compared if story.data.digest != loaded.digest]
    if elsewhere:
        raise FittingroomError(f"--score names runs on {elsewhere[0]}, but the audit is of {data}")
    trials = room.auditors(auditor, data, folds)
    study = plan_trials(trials, folder, device=device, at_once=at_once, home_dir=home, score_test=False)
    finished = train_missing(study, folder, source, quiet or as_json)
    if split == "train":
        suspects, images = room.of_train(loaded, finished), not_test(loaded)
    else:
        suspects, images = room.of_test(loaded, finished, folder, device)
    names = {"dataset": loaded.name, "title": loaded.title, "auditor": auditor.name, "folds": folds}
    found = describe(names, suspects, images, not_test(loaded), compared, most)
    decided = read_decisions(folder.decisions_file(loaded.name), loaded.digest)
    fine = [s for s in found.suspects if decided.get((split, s.index)) == "fine"]
    found = found.model_copy(update={"suspects": tuple(s for s in found.suspects if s not in fine)})
    write(folder.audit_file(loaded.name, split), found.model_dump_json(indent=1) + "\n")
    page = write_audit_page(found, images, out or runs / f"audit-{safe_name(loaded.name)}-{split}.html")
    if as_json:
        show.as_json(found.model_dump(mode="json") | {"page": str(page)})
        return
    show.table(
        ["#", "given", "looks like", "score", "flagged"],
        [
            [str(s.index), s.given, s.suggested, f"{s.score:.4f}", "yes" if s.flagged else "no"]
            for s in found.suspects[:20]
        ],
        left=3,
    )
    if fine:
        print(f"\n{len(fine)} that you decided are fine are not listed ({folder.decisions_file(loaded.name)})")
    print(
        f"\n{found.flagged} of {found.images:,} {split} labels are suspect; above are the first 20, more on the page\n"
    )
    if found.scores:
        head = ["recipe", "all images %", "without suspects %", "without as many random ones %"]
        show.table(head, score_cells(found))
    print(f"page: {page}")
