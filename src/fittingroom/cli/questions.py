"""The commands that ask a question: options in, answer shown. Each calls the question of its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fittingroom.cli.options import Data, MetricName, Overrides, Seeds, Which
from fittingroom.cli.shell import ALL, works
from fittingroom.spec.overrides import names_and_changes

if TYPE_CHECKING:
    from fittingroom.metrics.verdict import Question
    from fittingroom.study.workplace import Workplace

DEMO = ("readme-004-mlp", "readme-004-cnn", "fast-fashion")
DEMO_EPOCHS = 2  # of fast-fashion, so that the demo ends in time on two cores; said aloud
Recipes = Annotated[
    list[str], typer.Argument(metavar="RECIPE... [KEY=VALUE]...", help="Names or files, and overrides for all.")
]
Recipe = Annotated[str, typer.Argument(help="A recipe's name or its TOML file.")]
Run = Annotated[str, typer.Argument(help="A finished run: its folder, or the beginning of its name.")]


@works(*ALL, "costs", report="--report", png=True, listed=True, asks=True)
def compare(
    place: Workplace,
    question: Question,
    recipes: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE...|STUDY.toml [KEY=VALUE]...", help="Names or files; or one study file."),
    ],
    data: Annotated[
        list[str] | None, typer.Option(help="A data set's name, or a path of pictures; may be given several times.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds 0 … N-1 for each recipe (default 3).")] = None,
    until: Annotated[
        str,
        typer.Option(
            metavar="settled",
            help="Add seeds in rounds until it is decided or hardly can be; intervals are wider for every look.",
        ),
    ] = "",
    most: Annotated[int | None, typer.Option(help="With --until settled: seeds at most (default 32).")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="With --until settled: begin no round that would end later.")
    ] = None,
) -> Any:
    """Train what is missing of recipes × data × seeds, then say which is better, by how much ± what, at what cost."""
    from fittingroom.questions.compare import compare, planned
    from fittingroom.questions.settle import settle, until_settled

    question = until_settled(question, until, seeds, most, minutes)
    asked = planned(*names_and_changes(recipes), data or [], range(seeds) if seeds else None, until)
    if question.most:
        return settle(asked.recipes, place, data=asked.data, question=question, minutes=minutes, name=asked.name)
    return compare(asked.recipes, place, data=asked.data, seeds=asked.seeds, question=question, name=asked.name)


@works("device", "at_once", "runs", "home", "strict", report="--report", listed=True)
def best(
    place: Workplace,
    data: Annotated[
        str,
        typer.Argument(metavar="PICTURES", help="A folder of class folders, a CSV, an .npz, a Parquet …; or a name."),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="How pictures are read: data.group=patient, data.resize=pad …"),
    ] = None,
    candidates: Annotated[
        list[str] | None,
        typer.Option(help="Only this candidate; several times: pixels, scratch, frozen-lite0, finetune-lite0 …"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="After so many no further candidate, and no further division, is begun.")
    ] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Train all layers of a network, too: about ten times as long.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Fetch no weights.")] = False,
) -> Any:
    """Which classifier for these pictures? Candidates, judged on pictures they have not seen; the best one, ready for use."""
    from fittingroom.export.bundle import handed_over
    from fittingroom.questions.best import best
    from fittingroom.spec.read import read_shape

    return best(
        data, place,
        candidates=candidates or (), shape=read_shape(overrides or []), minutes=minutes, thorough=thorough, offline=offline,
        hand_over=handed_over,
    )  # fmt: skip


@works("costs", "runs", "home", report="--report")
def demo(place: Workplace, seeds: Seeds = 3) -> Any:
    """The main job in a few minutes: an MLP, a CNN and our fast net on Fashion-MNIST, with a verdict and a report."""
    from fittingroom.questions.compare import compare
    from fittingroom.spec.read import read_recipe

    full, shorter = read_recipe(DEMO[2]), read_recipe(DEMO[2], [f"train.epochs={DEMO_EPOCHS}"])
    read = [*map(read_recipe, DEMO[:2]), shorter]
    called = [*DEMO[:2], f"{DEMO[2]} (with train.epochs={DEMO_EPOCHS})"]
    place.progress.note(f"comparing {', '.join(called)} on fashion-mnist, {seeds} seeds each")
    place.progress.note(
        f"{DEMO[2]} trains {DEMO_EPOCHS} epochs here instead of its {full.train.epochs}, to end in time"
    )
    return compare(read, place, data=["fashion-mnist"], seeds=range(seeds), name="demo")


@works("runs", report="--out", png=True, listed=True, asks=True)
def report(place: Workplace, question: Question, which: Which) -> Any:
    """Write one HTML file about finished runs, or about a study, whatever it asked. Needs neither torch nor the data."""
    from fittingroom.questions.report import report

    return report(which, place.runs, question)


@works(*ALL, "costs", report="--report", asks=True)
def ablate(
    place: Workplace,
    question: Question,
    recipe: Recipe,
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
) -> Any:
    """Measure what each part of a recipe does: the recipe against itself without the part, on the same seeds."""
    from fittingroom.questions.ablate import ablate
    from fittingroom.spec.read import read_recipe

    read = read_recipe(recipe, overrides or [])
    return ablate(read, place, drop=drop or [], data=data, seeds=range(seeds), question=question)


@works(*ALL, "costs", report="--report", listed=True, asks=True)
def cv(
    place: Workplace,
    question: Question,
    recipes: Recipes,
    folds: Annotated[int, typer.Option(min=2, max=100, help="Parts; with each seed every image is held out once.")] = 5,
    data: Data = "",
    seeds: Seeds = 3,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Each seed divides the images anew (repeated cross-validation).")
    ] = False,
) -> Any:
    """Cross-validate recipes: stratified parts, near duplicates undivided, the same verdict. The test set stays locked."""
    from fittingroom.questions.crossval import cv
    from fittingroom.spec.read import read_recipe

    names, changes = names_and_changes(recipes)
    read = [read_recipe(name, changes) for name in names]
    return cv(
        read, place, folds=folds, data=data, seeds=range(seeds), redraw=redraw, question=question, changes=changes
    )


@works(*ALL, report="--report")
def transfer(
    place: Workplace,
    run: Run,
    overrides: Overrides = None,
    data: Data = "",
    per_class: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Training images a class; several times (default: 10, 100, 1000; then all)."),
    ] = None,
    seeds: Seeds = 3,
    metric: MetricName = "",
) -> Any:
    """Is it worth starting from a run's weights? The same recipe from them and from scratch, on more and more images.

    model.freeze=body keeps all layers but the last; optimizer.layer_decay=0.5 lets early layers learn more slowly.
    """
    from fittingroom.metrics.verdict import Question
    from fittingroom.questions.transfer import SIZES, transfer

    return transfer(
        place.runs.find(run), place,
        data=data, changes=overrides or [], per_class=per_class or SIZES, seeds=range(seeds), question=Question(metric),
    )  # fmt: skip


@works("device", "at_once", "launcher", "runs", "home", report="--report")
def replicate(
    place: Workplace,
    which: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[README|RECIPE]... [KEY=VALUE]...",
            help="README numbers (000 … 004), recipes or files that make claims; none: all that ship.",
        ),
    ] = None,
    claim: Annotated[
        list[str] | None, typer.Option(help="Only the claim of this id; may be given several times.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds 0 … N-1 (default: 10, 3 or 1, by the length of a run).")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Two epochs each, for a look; every row says so.")] = False,
    until: Annotated[
        str,
        typer.Option(
            metavar="settled",
            help="Add seeds in rounds until each claim is decided or hardly can be; intervals are wider for every look.",
        ),
    ] = "",
    most: Annotated[int | None, typer.Option(help="With --until settled: seeds at most (default 32).")] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A folder of packed runs, which count as finished; what is trained is packed into it. Without --seeds and "
            "--until nothing is trained: judged is what there is.",
        ),
    ] = None,
) -> Any:
    """Re-run recipes that carry claims, then judge every claim: reproduced, beaten, not reproduced or undecided.

    The page is Markdown, for a repository's docs, where its name ends in .md.
    """
    from fittingroom.metrics.verdict import Question
    from fittingroom.questions.replicate import replicate
    from fittingroom.questions.settle import until_settled

    words, changes = names_and_changes(which)
    at_most = until_settled(Question(), until, seeds, most).most
    return replicate(
        words, place, claims=claim or [], changes=changes, seeds=seeds, quick=quick, most=at_most, evidence=evidence
    )


@works("runs", "home", report="--report", png=True)
def claims(
    place: Workplace,
    which: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIGURES|FILE|README...",
            help='"CNN 92.68 vs MLP 91.65 on 10000", "0.23 % vs 0.35 % error on mnist over 5 runs"; a file of [[claims]] with '
            "such figures; READMEs or recipes that make claims.",
        ),
    ] = None,
) -> Any:
    """How probable is a claimed order? From the reported figures alone, before anything is trained.

    The page is Markdown where its name ends in .md.
    """
    from fittingroom.questions.claims import claims

    return claims(which or [], place)


@works("device", "at_once", "launcher", "runs", "home", report="--out")
def stress(place: Workplace, which: Which) -> Any:
    """Classify corrupted test images (eleven kinds, five severities) with finished runs, and compare how they stand it."""
    from fittingroom.questions.stress import stress

    return stress(which, place)


@works("device", "at_once", "runs", "home", "strict", report="--out", listed=True)
def audit(
    place: Workplace,
    data: Annotated[str, typer.Argument(help="A data set's name, or a path of pictures.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="For the auditing recipe.")
    ] = None,
    split: Annotated[str, typer.Option(help="train or test.")] = "test",
    score: Annotated[
        list[str] | None,
        typer.Option(help="Runs or studies whose test scores to show with and without the suspects; several times."),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="Whose models audit (default: the best that was trained on these data).")
    ] = "",
    folds: Annotated[int, typer.Option(min=2, max=20, help="Parts of the cross-validation.")] = 5,
    most: Annotated[int, typer.Option(min=1, help="Suspects to list at least, flagged or not.")] = 100,
) -> Any:
    """Find suspect labels, duplicates and outliers, and say what they do to the scores."""
    from fittingroom.questions.audit import audit, auditor_of
    from fittingroom.questions.recipes import read

    auditor = read(recipe or auditor_of(data, place.runs, score or [], place.home), overrides or [])
    return audit(data, place, auditor=auditor, split=split, score=score or [], folds=folds, most=most)  # type: ignore[arg-type]


@works("runs", "home", report="--out")
def explain(
    place: Workplace,
    run: Run,
    image: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE]...", help="Test images by number (from 0), or picture files of your own."),
    ] = None,
) -> Any:
    """Show why a run says what it says: filters, feature maps, attributions, neighbours, prototypes, a map of the test set."""
    from fittingroom.questions.explain import explain

    rows = [int(word.removeprefix("#")) for word in image or [] if word.removeprefix("#").isdecimal()]
    files = [Path(word) for word in image or [] if not word.removeprefix("#").isdecimal()]
    return explain(place.runs.find(run), place, images=rows, pictures=files)


@works("device", "runs", "home", report="--report")
def bench(
    place: Workplace,
    which: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE]... [KEY=VALUE]...", help="Recipes (default: two of the READMEs' and the fast ones)."
        ),
    ] = None,
) -> Any:
    """Measure how fast recipes train here, as a share of what this machine's matrix product can do. Let nothing else run."""
    from fittingroom.questions.bench import USUAL, bench
    from fittingroom.spec.read import read_recipe

    names, changes = names_and_changes(which)
    return bench([read_recipe(name, changes) for name in names or USUAL], place)


ALL_QUESTIONS = (demo, best, compare, report, replicate, claims, stress, explain, ablate, cv, transfer, audit, bench)
