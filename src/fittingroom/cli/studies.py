"""Commands that train many runs to answer one question: parts taken away, images held out in turn, weights reused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fittingroom.cli.options import (
    AtOnce,
    Data,
    Device,
    Effect,
    Home,
    Json,
    Launcher,
    MetricName,
    Overrides,
    Quiet,
    RefuseFaults,
    Report,
    RunsDir,
    Seeds,
    names_and_changes,
)


def ablate(
    recipe: Annotated[str, typer.Argument(help="A recipe's name or its TOML file.")],
    overrides: Overrides = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            help="A part to take away: norm, dropout, augment, augment.KIND, schedule, weight_decay …, model.layers.N; "
            "may be given several times. Default: every part it has."
        ),
    ] = None,
    data: Data = "",
    seeds: Seeds = 3,
    metric: MetricName = "accuracy",
    effect: Effect = None,
    device: Device = "auto",
    at_once: AtOnce = None,
    launcher: Launcher = "local",
    runs: RunsDir = Path("runs"),
    home: Home = None,
    strict: RefuseFaults = False,
    report: Report = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure what each part of a recipe does: the recipe against itself without the part, on the same seeds."""
    from fittingroom.cli import show
    from fittingroom.cli.board import share_of, train_missing
    from fittingroom.metrics.effects import effects
    from fittingroom.metrics.metric import METRICS
    from fittingroom.metrics.verdict import Question
    from fittingroom.report.gather import gather
    from fittingroom.report.page import write_report
    from fittingroom.report.tables import effect_cells
    from fittingroom.spec.ablation import parts, without
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.spec.read import read_recipe
    from fittingroom.store import Runs
    from fittingroom.store.runs import safe_name
    from fittingroom.study.run import plan_study

    whole = read_recipe(recipe, overrides or [])
    question = Question(metric, effect, against=whole.name)
    dropped = list(dict.fromkeys(drop or [p for p in parts(whole) if not p.startswith("augment.")]))
    if not dropped:
        raise FittingroomError(f"{whole.name} has no part to drop; name a layer: --drop model.layers.N")
    variants = {part: without(whole, part) for part in dropped}
    folder = Runs(runs)
    source: list[str] = []
    with share_of("reading pictures", quiet or as_json) as tick:
        study = plan_study(
            [whole, *variants.values()], [data] if data else [], range(seeds), folder,
            device=device, at_once=at_once, by=launcher, home_dir=home, strict=strict, say=source.append, tick=tick,
        )  # fmt: skip
    finished = train_missing(study, folder, source, quiet or as_json)
    name = f"ablate-{whole.name}"
    folder.write_study(name, finished)
    story = gather(finished, folder, question)[0]
    found = effects(whole.name, {v.name: part for part, v in variants.items()}, story.comparison, story.runs)
    page = write_report([story], folder, report or runs / f"{safe_name(name)}.html", effects=found)
    if as_json:
        show.as_json({
            "recipe": whole.name,
            "effects": [e.model_dump(mode="json") for e in found],
            "comparison": story.comparison.model_dump(mode="json"),
            "report": str(page),
        })  # fmt: skip
        return
    by = METRICS[metric]
    show.table(
        ["part", f"with{by.unit}", f"without{by.unit}", "gain [interval]", "real?"],
        [cells[:5] for cells in (effect_cells(e, by) for e in found)],
    )
    print("\n" + "\n".join(e.text for e in found) + f"\nreport: {page}")


def cv(
    recipes: Annotated[
        list[str], typer.Argument(metavar="RECIPE... [KEY=VALUE]...", help="Names or files, and overrides for all.")
    ],
    folds: Annotated[int, typer.Option(min=2, max=100, help="Parts; each image is held out once.")] = 5,
    data: Data = "",
    seeds: Seeds = 3,
    metric: MetricName = "accuracy",
    effect: Effect = None,
    device: Device = "auto",
    at_once: AtOnce = None,
    launcher: Launcher = "local",
    runs: RunsDir = Path("runs"),
    home: Home = None,
    strict: RefuseFaults = False,
    report: Report = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Cross-validate recipes: stratified parts, near duplicates undivided, the same verdict. The test set stays locked."""
    from fittingroom.cli.board import share_of, train_missing
    from fittingroom.cli.verdict import tell
    from fittingroom.data import reload
    from fittingroom.metrics.verdict import Question
    from fittingroom.report.gather import stories
    from fittingroom.spec.digest import digest
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.spec.read import read_recipe
    from fittingroom.store import Runs
    from fittingroom.store.runs import safe_name
    from fittingroom.study.crossval import folded, pooled
    from fittingroom.study.run import plan_trials

    question = Question(metric, effect)
    names, changes = names_and_changes(recipes)
    read = [read_recipe(name, changes) for name in names]
    if not read:
        raise FittingroomError("name at least one recipe; see: fittingroom recipes")
    sets = {data or r.data.name for r in read}
    if len(sets) > 1:
        raise FittingroomError(f"the recipes name several data sets ({', '.join(sorted(sets))}); give one with --data")
    dataset = sets.pop()
    folder = Runs(runs)
    source: list[str] = []
    trials = [t for r in read for t in folded(r, dataset, folds, "test", range(seeds))]
    with share_of("reading pictures", quiet or as_json) as tick:
        study = plan_trials(
            trials, folder,
            device=device, at_once=at_once, by=launcher, home_dir=home, strict=strict, say=source.append, tick=tick,
        )  # fmt: skip
    if len({(job.data_digest, job.recipe.data.split_seed) for job in study.jobs}) > 1:
        raise FittingroomError("the recipes make other pictures or parts of these data; cross-validate them apart")
    finished = train_missing(study, folder, source, quiet or as_json)
    images = reload(study.jobs[0].recipe.data.name, study.jobs[0].data_digest, home)
    pools = pooled(finished, images, folder)
    about = [*(r.name for r in read), Path(dataset).name, f"{folds}-folds", f"{seeds}-seeds"]
    name = "-".join(["cv", *about])[:90] + (f"-{digest(sorted(changes))[:4]}" if changes else "")
    path = report or runs / f"{safe_name(name)}.html"
    tell(stories(pools, folder, question, "held-out"), folder, path, None, as_json)


def transfer(
    run: Annotated[str, typer.Argument(help="A finished run: its folder, or the beginning of its name.")],
    overrides: Overrides = None,
    data: Data = "",
    per_class: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Training images a class; several times (default: 10, 100, 1000; then all)."),
    ] = None,
    seeds: Seeds = 3,
    metric: MetricName = "accuracy",
    device: Device = "auto",
    at_once: AtOnce = None,
    launcher: Launcher = "local",
    runs: RunsDir = Path("runs"),
    home: Home = None,
    strict: RefuseFaults = False,
    report: Report = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Is it worth starting from a run's weights? The same recipe from them and from scratch, on more and more images.

    model.freeze=body keeps all layers but the last; optimizer.layer_decay=0.5 lets early layers learn more slowly.
    """
    from fittingroom.cli import show
    from fittingroom.cli.board import share_of, train_missing
    from fittingroom.data import load
    from fittingroom.metrics.verdict import Question
    from fittingroom.report.gather import gather
    from fittingroom.report.transfer_page import cells, sentences, step, write_transfer_page
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.store import Runs
    from fittingroom.store.runs import safe_name
    from fittingroom.study.run import plan_trials
    from fittingroom.study.transfer import SIZES, both, sized

    if not data:
        raise FittingroomError("say which data the weights should help on: --data NAME or --data PATH")
    question = Question(metric)
    folder = Runs(runs)
    begun = folder.find(run)
    begun.refuse_unfinished()
    scratch, tuned = both(begun, overrides or [])
    source: list[str] = []
    with share_of("reading pictures", quiet or as_json) as tick:
        loaded = load(data, home, source.append, shape=scratch.data, strict=strict, tick=tick)
    steps = sized(scratch, tuned, loaded, per_class or SIZES)
    asked = [trial for size in steps for trial in size.trials(data, range(seeds))]
    study = plan_trials(asked, folder, device=device, at_once=at_once, by=launcher, home_dir=home)
    finished = train_missing(study, folder, source, quiet or as_json, costs=False)
    found = [
        step(
            size.images,
            size.label,
            gather(finished[2 * seeds * i : 2 * seeds * (i + 1)], folder, question)[0].comparison,
        )
        for i, size in enumerate(steps)
    ]
    path = report or runs / f"transfer-{safe_name(begun.recipe.name)}-{safe_name(loaded.name)}.html"
    page = write_transfer_page(found, begun.recipe.name, loaded.title, path)
    if as_json:
        show.as_json({"steps": [s.model_dump(mode="json") for s in found], "report": str(page)})
        return
    head, *lines = cells(found)
    show.table(head, lines)
    print("\n" + "\n".join(sentences(found)) + f"\nreport: {page}")


ALL = (ablate, cv, transfer)
