"""How to repeat a comparison: the commands, the study file they need, and what each run was made with."""

from __future__ import annotations

import shlex
from typing import Any

import tomli_w

from fittingroom.metrics.story import Story
from fittingroom.spec.changes import changed
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.store import LoadedRun


def run_cells(run: LoadedRun) -> list[str]:
    """A run as a table's line: digests, hardware, versions."""
    e = run.environment
    hardware = e.cpu if e.device == "cpu" else e.device_name
    threads = f"{e.workers} × {e.threads}" if e.workers > 1 else str(e.threads)
    return [
        run.folder.name, str(run.identity["digest"])[:12], run.data.digest[:12], f"{hardware}, {e.cores} cores",
        threads, e.torch, run.recipe.train.precision, e.started.replace("T", " ").replace("+00:00", " UTC"),
    ]  # fmt: skip


def commands(story: Story) -> tuple[str, str]:
    """The commands that repeat the comparison, and the study file they need if the recipes are not the shipped ones."""
    entries: list[dict[str, Any]] = []
    plain = True
    for name, runs in story.runs.items():
        recipe, folder = runs[0].recipe, runs[0].folder
        ours = name in shipped_recipes() and not recipe.model.sources
        changes = changed(read_recipe(name), recipe) if ours else None
        if changes is None:
            packed = runs[0].packed  # its recipe is in the report, to be saved
            entries.append({"recipe": f"{name}.toml" if packed else str(folder.path / "recipe.toml"), "name": name})
        else:
            entries.append({"recipe": name, **({"set": changes} if changes else {})})
        plain = plain and changes == []
    seeds = {name: [run.seed for run in runs] for name, runs in story.runs.items()}
    n = len(next(iter(seeds.values())))
    device = {run.environment.device for runs in story.runs.values() for run in runs}
    suffix = "" if device == {"cpu"} else f" --device {sorted(device)[0]}"
    asked = "".join(f" --{key} {shlex.quote(str(value))}" for key, value in story.comparison.asked.items())
    looked = story.comparison.looked  # then `asked` says how many seeds at most
    far = " --until settled" if looked else f" --seeds {n}"
    # not what `compare --seeds N` trains: one run after the other
    if not looked and any(s != list(range(n)) for s in seeds.values()):
        lines = [
            shlex.join(
                ["fittingroom", "train", e["recipe"], *e.get("set", []), "--data", story.data.name, "--seed", f"{s}"]
            )
            for name, e in zip(seeds, entries, strict=True)
            for s in seeds[name]
        ]
        return "\n".join(line + suffix for line in lines), ""
    if plain:
        return f"fittingroom compare {' '.join(story.runs)} --data {story.data.name}{far}{asked}{suffix}", ""
    planned = {} if looked else {"seeds": n}
    study = tomli_w.dumps({**planned, "data": [story.data.name], "recipes": entries})
    return f"fittingroom compare study.toml{far if looked else ''}{asked}{suffix}", study
