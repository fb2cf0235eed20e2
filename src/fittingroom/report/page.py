"""Stories to one HTML file: verdict first, no network, light and dark, for screens, phones and paper."""

from __future__ import annotations

import datetime
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import tomli_w
from scipy.special import softmax

from fittingroom.metrics.metric import METRICS
from fittingroom.metrics.words import human, in_words, percent, table
from fittingroom.report import charts
from fittingroom.report.gather import Story
from fittingroom.report.pictures import data_uri, png_bytes, sheet
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.spec.recipe import Recipe
from fittingroom.store import LoadedRun, Runs
from fittingroom.store.atomic import write
from fittingroom.store.runs import safe_name

GALLERY = 18  # images in each
Draw = Callable[[bool], charts.Chart]  # dark → chart


def write_report(stories: Sequence[Story], runs: Runs, path: Path, png_dir: Path | None = None) -> Path:
    """Write one HTML file for `stories`, and each figure as a PNG into `png_dir` if given; the HTML's path."""
    title = "fittingroom: " + ", ".join(story.data.title for story in stories)
    html = render("page.html", title=title, stories=[_context(story, runs) for story in stories])
    write(path, html)
    if png_dir:
        for story in stories:
            for name, draw in figures(story):
                write(png_dir / f"{safe_name(story.data.name)}-{safe_name(name)}.png", charts.png(draw(False)))
    return path


def render(template: str, **context: Any) -> str:
    """A page of this room, with the style inside and everything escaped: HTML, or Markdown by its own filter `md`."""
    folder = Path(str(resources.files("fittingroom") / "report"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=template.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown_safe
    today = datetime.datetime.now()
    date = f"{today.day} {today:%B %Y}"
    css = (folder / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(css=css, date=date, **context)


def markdown_safe(text: str) -> str:
    """Untrusted text as plain words in a Markdown table: no cell, tag, link or emphasis comes of it.

    >>> print(markdown_safe("a|b <img> *c*"))
    a\\|b &lt;img&gt; \\*c\\*
    """
    one_line = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", one_line)


def figures(story: Story) -> Iterator[tuple[str, Draw]]:
    """Every figure of a story by name."""

    def same(make: Callable[..., charts.Chart], *args: Any) -> Draw:
        return lambda dark: make(*args)

    def confused(recipe: str, number: str) -> Draw:
        return lambda dark: charts.confusion(story.confusion(recipe), story.data.classes, number, dark)

    yield "accuracy", same(charts.accuracy, story)
    if story.comparison.pairs:
        yield "differences", same(charts.differences, story)
    yield "accuracy_curves", same(charts.curves, story, "accuracy")
    yield "loss_curves", same(charts.curves, story, "loss")
    for against, _ in costs(story):
        yield against, same(charts.cost, story, against)
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
        "latency_1_s": "Time for one image, measured alone on this machine.",
    }
    known = [name for name in captions if any(getattr(row, name) is not None for row in story.comparison.rows)]
    return [(name, captions[name]) for name in known]


# ---------------------------------------------------------------- the page's parts


def _context(story: Story, runs: Runs) -> dict[str, Any]:
    drawn = {name: both_modes(draw) for name, draw in figures(story)}
    commands, study = _commands(story)
    return {
        "data": story.data,
        "verdict": story.comparison.sentences,
        "answers": _answers(story),
        "charts": {"differences": None, **drawn},
        "table": table(story.comparison),
        "table_note": _table_note(story),
        "covers": _covers(story),
        "clean_n": f"{story.any_run.epochs[0].clean_n:,}",
        "costs": costs(story),
        "mistakes": [_mistakes(story, recipe, drawn) for recipe in story.runs],
        "only": _only(story),
        "has_pictures": story.thumbnails_NCHW is not None,
        "models": [_model(recipe, r[0], drawn[f"structure-{recipe}"]) for recipe, r in story.runs.items()],
        "samples": _samples(story),
        "reads": _reads(story, runs),
        "commands": commands,
        "study": study,
        "runs": [_run_cells(run) for r in story.runs.values() for run in r],
        "recipes": [{"name": name, "toml": _toml(r[0].recipe)} for name, r in story.runs.items()],
    }


def both_modes(draw: Draw) -> dict[str, str]:
    """A chart as light and dark data: URIs."""
    return {
        mode: data_uri(charts.svg(draw(dark), dark).encode(), "image/svg+xml")
        for mode, dark in (("light", False), ("dark", True))
    }


def _answers(story: Story) -> list[dict[str, str]]:
    """The questions that a person came with."""
    rows, pairs = story.comparison.rows, story.comparison.pairs
    by, best = METRICS[story.comparison.metric], rows[0]
    seeds = f"{len(best.seeds)} seed{'s' if len(best.seeds) > 1 else ''}"
    answers = [
        {
            "question": "Which is best?" if len(rows) > 1 else "How good is it?",
            "answer": best.recipe if len(rows) > 1 else by.show(best.score) + by.unit,
            "detail": f"{in_words(best, by)}, {seeds}",
        }
    ]
    if pairs:
        next_best = next(p for p in pairs if {p.better, p.worse} == {rows[0].recipe, rows[1].recipe})
        answers += [
            {
                "question": "By how much?",
                "answer": f"{by.scale * next_best.difference:.{by.digits}f} {by.steps}",
                "detail": f"over {next_best.worse}; {100 * next_best.level:.3g} % interval "
                f"{by.signed(next_best.low)} to {by.signed(next_best.high)}",
            },
            {
                "question": "Is that real?",
                "answer": "Yes" if next_best.resolved else "Not established",
                "detail": "it would hold for other seeds and other test images"
                if next_best.resolved
                else f"limited by: {next_best.limit}",
            },
        ]
    cheapest = min(rows, key=lambda r: r.train_s)
    answers.append(
        {
            "question": "What does it cost?",
            "answer": f"{best.train_s:.3g} s training",
            "detail": (f"with {best.at_once} runs at once; " if best.at_once > 1 else "")
            + f"{human(best.parameters)} parameters, {human(best.flops)} FLOPs an image"
            + (f"; {cheapest.recipe} takes {cheapest.train_s:.3g} s" if cheapest.recipe != best.recipe else ""),
        }
    )
    worst = _confused(story, best.recipe)[0]
    answers.append(
        {"question": "Where does it fail?", "answer": f"{worst[1]} → {worst[2]}", "detail": _confusion_words(worst)}
    )
    return answers


def _table_note(story: Story) -> str:
    rows = story.comparison.rows
    note = (
        f"± sd is between seeds. {_covers(story)} "
        "Gap: training minus validation accuracy. "
        "Images/s (training) and the times of one image and of 256 were measured alone, on every core. "
        "ECE: expected calibration error, 15 bins."
    )
    if any(row.at_once > 1 for row in rows):
        note += " Training seconds marked “at once” were measured beside other runs."

    averaged = [f"{r.recipe} {percent(r.test_averaged)} %" for r in rows if r.test_averaged is not None]
    if averaged:
        note += " With averaging over views at test time, reported apart: " + ", ".join(averaged) + "."
    return note


def _covers(story: Story) -> str:
    """What the intervals speak about."""
    if min(len(row.seeds) for row in story.comparison.rows) > 1:
        return "The 95 % intervals cover other seeds and other test images."
    return "The intervals of a single seed cover other test images, but not other seeds."


def _confused(story: Story, recipe: str, most: int = 4) -> list[tuple[float, str, str, float]]:
    """The most frequent confusions: mean count, true class, predicted class, share of the true class."""
    counts = story.confusion(recipe)
    classes = story.data.classes
    off = counts * (1 - np.eye(len(classes)))
    order = np.argsort(-off, axis=None, kind="stable")[:most]
    pairs = [np.unravel_index(i, off.shape) for i in order]
    return [(float(off[i, j]), classes[i], classes[j], float(off[i, j] / max(1, counts[i].sum()))) for i, j in pairs]


def _confusion_words(pair: tuple[float, str, str, float]) -> str:
    count, true, predicted, share = pair
    return f"{count:.0f} of the “{true}” images ({100 * share:.1f} %) are taken for “{predicted}”"


def _mistakes(story: Story, recipe: str, drawn: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    counts, classes = story.confusion(recipe), story.data.classes
    recall = np.diag(counts) / np.maximum(counts.sum(1), 1)
    precision = np.diag(counts) / np.maximum(counts.sum(0), 1)
    mostly = (counts * (1 - np.eye(len(classes)))).argmax(1)
    p_NK = _mean_probabilities(story, recipe)
    predicted_N, confidence_N = p_NK.argmax(1), p_NK.max(1)
    wrong = np.flatnonzero(predicted_N != story.labels_N)
    worst = wrong[np.argsort(-confidence_N[wrong], kind="stable")][:GALLERY]
    lines = {int(i): [f"said {classes[predicted_N[i]]}", f"{100 * confidence_N[i]:.0f} % sure"] for i in worst}
    return {
        "recipe": recipe,
        "confusion": drawn[f"confusion-{recipe}"],
        "rates": drawn[f"rates-{recipe}"],
        "pairs": [_confusion_words(pair) for pair in _confused(story, recipe)],
        "classes": [
            {
                "name": c,
                "recall": percent(recall[k], 1),
                "precision": percent(precision[k], 1),
                "mostly": classes[mostly[k]],
            }
            for k, c in enumerate(classes)
        ],
        "gallery": _gallery(story, lines),
    }


def _only(story: Story) -> list[dict[str, Any]]:
    """Images that the best gets right (most seeds) and another doesn't, and the reverse; the clearest first."""
    best, *others = story.runs
    found = []
    for other in others:
        for right, wrong in ((best, other), (other, best)):
            p_right, p_wrong = _mean_probabilities(story, right), _mean_probabilities(story, wrong)
            labels = story.labels_N
            rows = np.flatnonzero((p_right.argmax(1) == labels) & (p_wrong.argmax(1) != labels))
            margin = p_right[rows, labels[rows]] - p_wrong[rows, labels[rows]]
            clearest = rows[np.argsort(-margin, kind="stable")][: GALLERY // 2]
            lines = {int(i): [f"said {story.data.classes[p_wrong[i].argmax()]}"] for i in clearest}
            found.append({"right": right, "wrong": wrong, "gallery": _gallery(story, lines)})
    return found


def _mean_probabilities(story: Story, recipe: str) -> np.ndarray:
    return np.asarray(np.mean([softmax(r.logits_NK.astype(np.float64), axis=1) for r in story.runs[recipe]], axis=0))


def _gallery(story: Story, lines: Mapping[int, list[str]]) -> list[dict[str, Any]]:
    if story.thumbnails_NCHW is None:
        return []
    classes = story.data.classes
    return [
        {
            "row": row,
            "image": data_uri(png_bytes(story.thumbnails_NCHW[row])),
            "true": classes[story.labels_N[row]],
            "lines": said,
        }
        for row, said in lines.items()
    ]


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
    reads = runs.test_reads().get(story.data.name, 0)
    used = sum(len(r) for r in story.runs.values())
    return (
        f"The test set of {story.data.title} has been read {reads} time{'s' if reads != 1 else ''} in this runs folder "
        f"({used} run{'s' if used != 1 else ''} shown here, one reading each). The more often it is read and the best picked, "
        "the more the best score flatters."
    )


def _run_cells(run: LoadedRun) -> list[str]:
    e = run.environment
    hardware = e.cpu if e.device == "cpu" else e.device_name
    return [
        run.folder.name, str(run.folder.identity["digest"])[:12], run.data.digest[:12], f"{hardware}, {e.cores} cores",
        str(e.threads), e.torch, run.recipe.train.precision, e.started.replace("T", " ").replace("+00:00", " UTC"),
    ]  # fmt: skip


def _commands(story: Story) -> tuple[str, str]:
    """The commands that repeat the comparison, and the study file they need if the recipes are not the shipped ones."""
    entries: list[dict[str, Any]] = []
    plain = True
    for name, runs in story.runs.items():
        recipe, folder = runs[0].recipe, runs[0].folder
        changes = changed(read_recipe(name), recipe) if name in shipped_recipes() else None
        if changes is None:
            entries.append({"recipe": str(folder.path / "recipe.toml"), "name": name})
        else:
            entries.append({"recipe": name, **({"set": changes} if changes else {})})
        plain = plain and changes == []
    seeds = {name: [run.seed for run in runs] for name, runs in story.runs.items()}
    n = len(next(iter(seeds.values())))
    device = {run.environment.device for runs in story.runs.values() for run in runs}
    suffix = "" if device == {"cpu"} else f" --device {sorted(device)[0]}"
    if any(s != list(range(n)) for s in seeds.values()):  # not what `compare --seeds N` trains: one run after the other
        lines = [
            shlex.join(
                ["fittingroom", "train", e["recipe"], *e.get("set", []), "--data", story.data.name, "--seed", f"{s}"]
            )
            for name, e in zip(seeds, entries, strict=True)
            for s in seeds[name]
        ]
        return "\n".join(line + suffix for line in lines), ""
    if plain:
        return f"fittingroom compare {' '.join(story.runs)} --data {story.data.name} --seeds {n}{suffix}", ""
    study = tomli_w.dumps({"seeds": n, "data": [story.data.name], "recipes": entries})
    return f"fittingroom compare study.toml{suffix}", study


RESOLVED = ("data.name", "train.precision")  # set by the machine and by --data
PROSE = ("name", "description", "source", "claims", "measured")


def changed(shipped: Recipe, used: Recipe) -> list[str]:
    """The `key=value` words that make `used` of `shipped`, but for what resolving sets.

    >>> shipped = read_recipe("readme-004-mlp")
    >>> changed(shipped, read_recipe("readme-004-mlp", ["train.epochs=3", "model.layers.3.dropout=0.1"]))
    ['model.layers.3.dropout=0.1', 'train.epochs=3']
    """
    before, after = (recipe.model_dump(mode="json", exclude_none=True) for recipe in (shipped, used))
    return [
        f"{path}={_inline(value)}" for path, value in _differences(before, after) if path.split(".")[0] not in PROSE
    ]


def _differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The smallest parts of `after` that are not as in `before`, with their paths."""
    if before == after or path in RESOLVED:
        return
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() <= after.keys():
        parts = [(key, before.get(key), value) for key, value in after.items()]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        parts = [(str(i), x, y) for i, (x, y) in enumerate(zip(before, after, strict=True))]
    else:
        yield path, after
        return
    for key, x, y in parts:
        yield from _differences(x, y, f"{path}.{key}".lstrip("."))


def _inline(value: Any) -> str:
    """A value as TOML on one line."""
    match value:
        case dict():
            return "{" + ", ".join(f"{key} = {_inline(part)}" for key, part in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_inline, value)) + "]"
        case _:
            return tomli_w.dumps({"x": value}).strip().removeprefix("x = ")


def _toml(recipe: Recipe) -> str:
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))
