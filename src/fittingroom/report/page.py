"""Stories to one HTML file: verdict first, no network, light and dark, for screens, phones and paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from fittingroom.metrics.diagnosis import diagnose
from fittingroom.metrics.effects import Effect
from fittingroom.metrics.portrait import Calibrated, Sentence, Side, calibrated, portrait
from fittingroom.metrics.portrait import against as compared
from fittingroom.metrics.rows import Pair, Row
from fittingroom.metrics.story import Story
from fittingroom.metrics.verdict import Comparison
from fittingroom.metrics.words import human, in_words, luck_words, margin_words, percent, standing
from fittingroom.report import charts, theme
from fittingroom.report.answer import Answer, Table, beginning
from fittingroom.report.beside import DrawBeside, drawing_beside
from fittingroom.report.mistakes import (
    confusion_words,
    confusions,
    explorer,
    mistakes,
    only_one_is_right,
    wrong_pictures,
)
from fittingroom.report.pictures import data_uri, png_bytes, sheet
from fittingroom.report.render import assets, render, script_hash
from fittingroom.report.repeat import commands, run_cells
from fittingroom.report.tables import (
    deletion_words,
    effect_cells,
    finding_table,
    part_table,
    robust_tables,
    weakest_words,
)
from fittingroom.report.theme import Draw, Figure
from fittingroom.spec.changes import told_apart
from fittingroom.store import LoadedRun, Runs
from fittingroom.store.atomic import write
from fittingroom.store.runs import recipe_toml, safe_name


def write_report(stories: Sequence[Story], runs: Runs, path: Path, effects: Sequence[Effect] = ()) -> Path:
    """Write one HTML file for `stories`; its path. `effects` are an ablation's, told in front of everything else."""
    script = (assets() / "explorer.js").read_text(encoding="utf-8")
    html = render(
        "page.html",
        script=script,
        script_hash=script_hash(script),
        **report_context(stories, runs, path.parent, effects),
    )
    write(path, html)
    return path


def report_context(
    stories: Sequence[Story], runs: Runs, folder: Path, effects: Sequence[Effect] = ()
) -> dict[str, Any]:
    """What `page.html` needs to tell `stories`; `folder` is where pages that it may name would lie."""
    with drawing_beside() as draw_beside:
        told = [_context(story, runs, folder, draw_beside) for story in stories]
    return {
        "title": "fittingroom: " + ", ".join(story.data.title for story in stories),
        "about": "report " + " ".join(story.data.name for story in stories),
        "stories": told,
        "effects": [effect_cells(e, stories[0].comparison.by) for e in effects],
    }


def figures(story: Story) -> Iterator[tuple[str, theme.Draw]]:
    """Every figure of a story by name."""

    def same(make: Callable[..., theme.Chart], *args: Any) -> theme.Draw:
        return partial(make, *args)

    def confused(recipe: str, number: str) -> theme.Draw:
        return lambda: charts.confusion(story.confusion(recipe), story.data.classes, number)

    yield "accuracy", same(charts.accuracy, story)
    if story.comparison.pairs:
        yield "differences", same(charts.differences, story)
    epochs = {recipe: [run.epochs for run in runs] for recipe, runs in story.runs.items()}
    yield "accuracy_curves", same(charts.curves, epochs, "accuracy")
    yield "loss_curves", same(charts.curves, epochs, "loss")
    if not story.packed:
        yield "reliability", same(charts.reliability, story)
    if story.comparison.rows[0].finding and story.comparison.positive and not story.packed:
        yield "roc", same(charts.roc, story)
        yield "precision_recall", same(charts.precision_recall, story)
    for against, _ in costs(story):
        yield against, same(charts.cost, story, against)
    if story.robust:
        yield "robustness", same(charts.robustness, story)
    for recipe, runs in story.runs.items():
        yield f"confusion-{recipe}", confused(recipe, "count")
        yield f"rates-{recipe}", confused(recipe, "share")
        yield f"structure-{recipe}", same(charts.structure, runs[0].structure, story.data)


def costs(story: Story) -> list[tuple[str, str]]:
    """The cost figures that can be drawn, with captions."""
    marked = any(row.at_once > 1 for row in story.comparison.rows)
    beside = " Measured while other runs shared the machine: read it as a rough figure." if marked else ""
    captions = {
        "train_s": "Training time of one run, evaluation not counted." + beside,
        "flops": "Computing cost of one prediction (a multiply-add counts as two).",
        "latency_1_s": "Time for one image, measured alone.",
        "peak_memory_bytes": "Peak of the memory in training, Python and PyTorch counted, measured alone.",
    }
    rows = story.comparison.rows
    known = [name for name in captions if any(charts.cost_of(row, name) is not None for row in rows)]
    return [(name, captions[name]) for name in known]


# ---------------------------------------------------------------- the page's parts


def _context(story: Story, runs: Runs, folder: Path, draw_beside: DrawBeside) -> dict[str, Any]:
    c = story.comparison
    coming = {name: draw_beside(draw) for name, draw in figures(story)}
    again, study = commands(story)
    calibration = {} if story.packed else {recipe: calibrated(group) for recipe, group in story.runs.items()}
    told = _portrait(story, calibration)
    explored, samples = explorer(story), _samples(story)
    drawn = {name: chart.result() for name, chart in coming.items()}
    data_page = f"data-{safe_name(story.data.name)}.html"
    return {
        "data": story.data,
        "verdict": c.sentences,
        "on": c.on,
        "metric": c.by.title.capitalize(),
        "answers": _answers(story),
        "who": [{"recipe": recipe, "words": _who(r[0])} for recipe, r in story.runs.items()],
        "charts": {"differences": None, "robustness": None, **drawn},
        "table": c.table,
        "table_note": _table_note(story) + _yardstick(story),
        "covers": _covers(story),
        "sizes": _sizes(story),
        "clean_n": f"{story.any_run.epochs[0].clean_n:,}",
        "costs": costs(story),
        "diagnoses": [_diagnosis(recipe, r) for recipe, r in story.runs.items()],
        "portrait": told,
        "class_parts": part_table(
            "class", {part["title"]: s.parts for part in told for s in part["sentences"] if s.parts}
        ),
        "finding": finding_table(story),
        "margin": next((margin_words(pair.margin, c.by) for pair in c.pairs if pair.margin), ""),
        "luck": [line for row in c.rows if (line := luck_words(row, c.by, c.on))],
        "calibration": [_calibration(recipe, c) for recipe, c in calibration.items()],
        "robust": robust_tables(*story.robust) if story.robust else None,
        "mistakes": [mistakes(story, recipe, drawn) for recipe in story.runs],
        "only": only_one_is_right(story),
        "explorer": explored,
        "data_page": data_page if (folder / data_page).exists() else "",
        "has_pictures": story.thumbnails_NCHW is not None,
        "models": [_model(recipe, r[0], drawn[f"structure-{recipe}"]) for recipe, r in story.runs.items()],
        "samples": samples,
        "reads": _reads(story, runs),
        "commands": again,
        "study": study,
        "runs": [run_cells(run) for r in story.runs.values() for run in r],
        "recipes": [{"name": name, "toml": recipe_toml(r[0].recipe)} for name, r in story.runs.items()],
    }


def _answers(story: Story) -> list[dict[str, str]]:
    """The questions that a person came with."""
    rows, pairs = story.comparison.rows, story.comparison.pairs
    by, best = story.comparison.by, rows[0]
    seeds = f"{len(best.seeds)} seed{'s' if len(best.seeds) > 1 else ''}"
    with_best = [p for p in pairs if best.recipe in (p.better, p.worse)]
    beaten, same = standing(best.recipe, with_best)
    clear, level = len(beaten) == len(with_best), [p.other(best.recipe) for p in same]
    decided = len(beaten) + len(same) == len(with_best)
    which = best.recipe if clear else "the same" if level and decided else "no clear winner"
    alike = f"{', '.join([best.recipe, *level])}: " if level and decided else "" if clear else f"{best.recipe} leads: "
    answers = [
        {
            "question": "Which is best?" if len(rows) > 1 else "How good is it?",
            "answer": which if len(rows) > 1 else by.show(best.score) + by.unit,
            "detail": f"{alike}{in_words(best, by, story.comparison.on)}, {seeds}",
        }
    ]
    if pairs:
        next_best = next((p for p in pairs if {p.better, p.worse} == {rows[0].recipe, rows[1].recipe}), pairs[0])
        answers += [
            {
                "question": "By how much?",
                "answer": f"{by.scale * next_best.difference:.{by.digits}f} {by.steps}",
                "detail": f"of {next_best.better} over {next_best.worse}; "
                f"[{by.signed(next_best.low)}, {by.signed(next_best.high)}]",
            },
            {
                "question": "Is that real?",
                "answer": {"better": "Yes", "same": "The same for practical purposes", "undecided": "Not established"}[
                    next_best.outcome
                ],
                "detail": f"as far as {next_best.seeds} seeds and {next_best.images:,} images can tell; "
                "equals are called different in at most about one comparison of 20"
                if next_best.outcome != "undecided"
                else f"limited by: {next_best.limit}",
            },
        ]
    others = ", ".join(f"{row.recipe} {row.train_s:.3g} s" for row in rows[1:4])
    answers.append(
        {
            "question": "What does it cost?",
            "answer": f"{best.train_s:.3g} s training",
            "detail": (f"{others}; " if others else "")
            + (f"with {best.at_once} runs at once; " if best.at_once > 1 else "")
            + f"{human(best.parameters)} parameters, {human(best.flops)} FLOPs an image",
        }
    )
    worst = confusions(story, best.recipe)[:1]
    classes = story.data.classes
    answers += [
        {
            "question": "Where does it fail?",
            "answer": f"{classes[c.true]} → {classes[c.predicted]}",
            "detail": confusion_words(story, c),
        }
        for c in worst
    ]
    return answers


def _who(run: LoadedRun) -> str:
    """What a recipe is and how it was trained, for someone who sees its name for the first time."""
    recipe = run.recipe
    seen = ", ".join(step.kind for step in recipe.augment) or "unchanged images"
    changes = told_apart([recipe])[0]
    epochs = f"{recipe.train.epochs} epoch{'s' if recipe.train.epochs > 1 else ''}"
    return f"{recipe.description} {epochs}; {seen}" + (f"; changed: {changes}" if changes else "") + "."


# ---------------------------------------------------------------- evidence


def _diagnosis(recipe: str, runs: Sequence[LoadedRun]) -> dict[str, Any]:
    """What the curves of a recipe say, and what to try."""
    data = runs[0].data
    return {"recipe": recipe, "findings": diagnose([run.epochs for run in runs], len(data.classes), data.n_val)}


def _portrait(story: Story, calibration: Mapping[str, Calibrated]) -> list[dict[str, Any]]:
    """Measured sentences: the best against each other one by topic, then each recipe by itself."""
    sides = [Side(row.recipe, story.runs[row.recipe], row) for row in story.comparison.rows]
    best, *others = sides
    told = [
        {"title": f"{best.name} against {o.name}", "sentences": compared(best, o, story.data.classes)} for o in others
    ]
    alone = [s for recipe, c in calibration.items() for s in (portrait(recipe, c), *_tried(story, recipe))]
    return [*told, *([{"title": "Each by itself" if others else best.name, "sentences": alone}] if alone else [])]


def _tried(story: Story, recipe: str) -> list[Sentence]:
    """What `stress` and `explain` found about a recipe, where they were run."""
    found = []
    row = next((r for r in story.robust[0] if r.recipe == recipe), None) if story.robust else None
    if row:
        text = (
            f"{recipe} gets {100 * row.mean:.1f} % [{100 * row.low:.1f}, {100 * row.high:.1f}] of corrupted images right, "
            f"of {100 * row.clean:.1f} % clean; it falls furthest under {weakest_words(row)}."
        )
        found.append(Sentence(recipe, "robustness", text))
    explained = [curve for run in story.runs[recipe] if (curve := run.folder.deletion())]
    if explained:
        found.append(Sentence(recipe, "interpretability", f"{recipe}: {deletion_words(explained)}"))
    return found


def _calibration(recipe: str, c: Calibrated) -> list[str]:
    """A table's line: confidence, accuracy and calibration errors."""
    cool = "–" if c.temperature is None else f"{c.temperature:.2f}"
    return [recipe, *(percent(x) for x in (c.confidence, c.accuracy, c.ece, c.ece_mass)), cool, percent(c.ece_scaled)]


def _yardstick(story: Story) -> str:
    """What a classifier has to beat."""
    comparison = story.comparison
    if comparison.yardstick is None:
        return ""
    metric = comparison.by
    return f" To be beaten: always naming the largest class gets {metric.show(comparison.yardstick)}{metric.unit}."


def _table_note(story: Story) -> str:
    rows = story.comparison.rows
    note = f"± sd is between seeds. {_covers(story)} Gap: training minus validation accuracy. "
    costs = [row.cost for row in rows if row.cost]
    if costs:
        places = dict.fromkeys(f"{c.machine}, {c.threads} thread{'s' if c.threads > 1 else ''}" for c in costs)
        note += (
            "Images/s (training), the times of one image and of 250, and the peak of memory in training (Python and PyTorch "
            f"counted) were measured alone: {'; '.join(places)}. "
        )
    note += "ECE: expected calibration error, 15 bins."
    if story.comparison.at:
        note += (
            " Sensitivity, specificity and precision are those at the thresholds; the other accuracies, in the table and in "
            "words, are those of the likeliest class."
        )
    if any(row.at_once > 1 for row in rows):
        note += " Training seconds marked “at once” were measured beside other runs."

    averaged = [f"{r.recipe} {percent(r.test_averaged)} %" for r in rows if r.test_averaged is not None]
    if averaged:
        note += " With averaging over views at test time, reported apart: " + ", ".join(averaged) + "."
    return note


def _sizes(story: Story) -> str:
    """How many images each recipe was trained and validated on; said once where they agree."""
    sizes: dict[str, list[str]] = {}
    for recipe, (run, *_) in story.runs.items():
        sizes.setdefault(f"{run.data.n_train:,} images trained on, {run.data.n_val:,} for validation", []).append(
            recipe
        )
    if len(sizes) == 1:
        return next(iter(sizes))
    return "; ".join(f"{', '.join(recipes)}: {size}" for size, recipes in sizes.items())


def _covers(story: Story) -> str:
    """What the intervals speak about."""
    others = f" of other groups ({story.data.group})" if story.data.group else ""
    if story.any_run.design.folds:
        return (
            f"The 95 % intervals cover other pictures like these{others}, and networks that are trained on as many others "
            "like these; every training counts (Nadeau & Bengio 2003)."
        )
    images = f"{story.comparison.on} images{others}"
    if min(len(row.seeds) for row in story.comparison.rows) > 1:
        return f"The 95 % intervals cover other seeds and other {images}."
    return f"The intervals of a single seed cover other {images}, but not other seeds."


def _model(recipe: str, run: LoadedRun, drawn: Mapping[str, str]) -> dict[str, Any]:
    built = run.structure
    return {
        "recipe": recipe,
        "description": run.recipe.description,
        "structure": drawn,
        "summary": f"{built.parameters:,} parameters, {human(built.flops)} FLOPs an image. Each bar is a layer's output.",
    }


def _samples(story: Story) -> list[dict[str, str]]:
    """One image of each class, then as each recipe's training sees them."""
    if story.packed:
        return []
    plain = story.any_run.folder.samples()["plain"]
    columns = len(plain)
    found = [
        {
            "image": data_uri(png_bytes(sheet(plain, columns))),
            "caption": "As they are: " + ", ".join(story.data.classes),
        }
    ]
    for recipe, runs in story.runs.items():
        if runs[0].recipe.augment:
            views = runs[0].folder.samples()["augmented"]
            each = len(views) // columns
            by_row = views.reshape(columns, each, *views.shape[1:]).swapaxes(0, 1).reshape(views.shape)
            kinds = ", ".join(step.kind for step in runs[0].recipe.augment)
            found.append(
                {"image": data_uri(png_bytes(sheet(by_row, columns))), "caption": f"As {recipe} saw them: {kinds}"}
            )
    plain_ones = [name for name, runs in story.runs.items() if not runs[0].recipe.augment]
    if plain_ones:
        found[0]["caption"] += f". {', '.join(plain_ones)} trained on them unchanged."
    return found


def _reads(story: Story, runs: Runs) -> str:
    if story.comparison.on != "test":
        return "A cross-validation: each image but those of the test set was held out once. The test set was not read."
    if story.packed:
        return (
            "Some of these runs are packed: how often their makers read the test set is not known here. The more often it is "
            "read and the best picked, the more the best score flatters."
        )
    reads = runs.test_reads().get(story.data.name, 0)
    used = sum(len(r) for r in story.runs.values())
    return (
        f"The test set of {story.data.title} has been read {reads} time{'s' if reads != 1 else ''} in this runs folder, by all "
        f"its runs, stress tests and audits; {used} run{'s are' if used != 1 else ' is'} shown here. "
        "The more often it is read and the best picked, "
        "the more the best score flatters." + "".join(f" It may be more: {why}." for why in _unsure_reads(story, runs))
    )


def _unsure_reads(story: Story, runs: Runs) -> Sequence[str]:
    return runs.unsure_reads([run.folder for of_recipe in story.runs.values() for run in of_recipe])


@dataclass(frozen=True, repr=False, eq=False)
class Compared(Answer):
    """The verdict on one data set or several, and all that is known of the runs behind it."""

    heading = "verdict"
    stories: Sequence[Story]
    runs: Runs
    page: Path
    study: str = ""
    settled: str = ""  # the name of a study among these that ended when it was settled

    @property
    def comparisons(self) -> list[Comparison]:
        """One for each data set."""
        return [story.comparison for story in self.stories]

    @property
    def sentences(self) -> list[str]:
        return list(chain.from_iterable(c.sentences for c in self.comparisons))

    @property
    def verdict(self) -> str:
        """Which is best, and how it stands against each other one."""
        return " ".join(self.sentences)

    @property
    def rows(self) -> list[Row]:
        """Each recipe's figures (accuracies are fractions), the best first; of several data sets, one after the other."""
        return list(chain.from_iterable(c.rows for c in self.comparisons))

    @property
    def pairs(self) -> list[Pair]:
        """Each pair of recipes: by how much, and whether that is real."""
        return list(chain.from_iterable(c.pairs for c in self.comparisons))

    @property
    def table(self) -> Table:
        return self.tables[0]

    @property
    def tables(self) -> list[Table]:
        return [c.table for c in self.comparisons]

    @property
    def doubts(self) -> Sequence[str]:
        found = [
            why for story in self.stories if story.comparison.on == "test" for why in _unsure_reads(story, self.runs)
        ]
        if self.settled:
            found.append(
                f"{self.settled} ended when it was settled, which these intervals do not allow for: report it by itself"
            )
        return list(dict.fromkeys(found))

    @property
    def listing(self) -> Table:
        """Every picture that a recipe gets wrong (by its mean probabilities over seeds), what it is and what each says."""
        tables = [wrong_pictures(story) for story in self.stories]
        return [*tables[0], *chain.from_iterable(table[1:] for table in tables[1:])]

    def json(self) -> dict[str, Any]:
        reads = self.runs.test_reads()
        return {"comparisons": [c.model_dump(mode="json") for c in self.comparisons], "test_reads": reads}

    def _write(self, path: Path) -> None:
        write_report(self.stories, self.runs, path)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        for story in self.stories:
            before = beginning(story, self.stories)
            yield from ((before + name, draw) for name, draw in figures(story))

    def save_figures(self, folder: Path) -> None:
        for story in self.stories:
            for name, draw in figures(story):
                Figure(draw).save(folder / f"{safe_name(story.data.name)}-{safe_name(name)}.png")


@dataclass(frozen=True, repr=False, eq=False)
class Ablated(Answer):
    """The effect of each part, and the comparison that it was judged in."""

    recipe: str
    effects: Sequence[Effect]
    story: Story
    runs: Runs
    page: Path
    study: str = ""

    @property
    def sentences(self) -> list[str]:
        return [effect.text for effect in self.effects]

    @property
    def table(self) -> Table:
        metric = self.story.comparison.by
        head = ["part", f"with{metric.unit}", f"without{metric.unit}", "gain [interval]", "real?"]
        return [head, *(effect_cells(e, metric)[:5] for e in self.effects)]

    def json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "effects": [effect.model_dump(mode="json") for effect in self.effects],
            "comparison": self.story.comparison.model_dump(mode="json"),
        }

    def _write(self, path: Path) -> None:
        write_report([self.story], self.runs, path, self.effects)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        found = dict(figures(self.story))
        yield "differences", found.pop("differences")
        yield from found.items()
