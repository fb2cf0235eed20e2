"""What is searched: a recipe, its space, what counts; and the recipe of each point of the space."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fittingroom.data import Dataset
from fittingroom.metrics.metric import METRICS
from fittingroom.metrics.operating import decided_by
from fittingroom.spec.digest import digest
from fittingroom.spec.errors import FittingroomError, unknown
from fittingroom.spec.overrides import apply_overrides
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.space import Choice, Dimension, Range, as_words
from fittingroom.store import RunFolder
from fittingroom.study.clock import median_s
from fittingroom.study.job import Job

PRUNERS = ("none", "median", "asha", "hyperband")
COSTS = ("train_s", "parameters", "flops", "latency_s")  # objectives that are better when smaller, whatever the metric


@dataclass(frozen=True)
class Search:
    """What is searched. `objectives`: a metric on validation images first, then costs; their values in that order."""

    recipe: Recipe
    space: dict[str, Dimension]
    data: Dataset
    objectives: tuple[str, ...] = ("accuracy",)
    pruner: str = "none"
    batch: int = 8
    seed: int = 0
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        first, *others = self.objectives
        object.__setattr__(self, "objectives", (decided_by(first, ""), *others))  # by its own name; a wrong one is told
        for name in others:
            if name not in COSTS:
                raise unknown("objective", name, COSTS, "a metric first, then any of: " + ", ".join(COSTS))
        if self.pruner not in PRUNERS:
            raise unknown("pruner", self.pruner, PRUNERS, ", ".join(PRUNERS))
        if others and self.pruner != "none":
            raise FittingroomError("a trial is pruned by one objective; with several, leave --pruner away")
        if not self.space:
            raise FittingroomError(
                f'{self.recipe.name} has no search space; give one, for example "optimizer.lr=log(1e-4,1e-1)", or --space FILE'
            )
        part = self.recipe.data
        if not part.folds and part.val_fraction == 0 and self.data.val is None:
            raise FittingroomError("a search selects on validation images; hold some out: data.val_fraction=0.1")
        self.recipe_of({path: _first(dimension) for path, dimension in self.space.items()})  # paths that lead nowhere

    @property
    def identity(self) -> str:
        """What must agree for two searches to be one."""
        return digest(
            {
                "recipe": self.recipe.deciding(),
                "data": self.data.digest,
                "space": {path: repr(dimension) for path, dimension in self.space.items()},
                "objectives": self.objectives,
                "pruner": self.pruner,
                "batch": self.batch,
                "seed": self.seed,
            }
        )

    @property
    def larger_is_better(self) -> bool:
        """Whether the first objective is."""
        return METRICS[self.objectives[0]].larger_is_better

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """Of the objectives: costs are better when smaller."""
        return ["maximize" if self.larger_is_better else "minimize", *["minimize" for _ in self.objectives[1:]]]  # type: ignore[list-item]

    @property
    def most_epochs(self) -> int:
        """The longest training that the space allows."""
        dimension = self.space.get("train.epochs")
        if dimension is None:
            return self.recipe.train.epochs
        return int(max(dimension.values) if isinstance(dimension, Choice) else dimension.high)

    def recipe_of(self, values: dict[str, Any]) -> Recipe:
        """The recipe with these values of its space. Raises `FittingroomError` for one that is none."""
        tree = self.recipe.model_dump(mode="json", exclude_none=True, exclude={"claims", "measured", "space"})
        words = [word for path, value in values.items() for word in as_words(path, value)]
        return parse_recipe(apply_overrides(tree, words), self.recipe.name)

    def value(self, run: RunFolder, job: Job) -> list[float]:
        """The objectives of a finished run."""
        costs: dict[str, Callable[[], float]] = {
            "train_s": lambda: run.metrics.train_s,
            "parameters": lambda: float(run.structure.parameters),
            "flops": lambda: float(run.structure.flops),
            "latency_s": lambda: _latency_s(run, self.data, job.device),
        }
        return [score(run, self.objectives[0]), *(costs[name]() for name in self.objectives[1:])]


def score(run: RunFolder, metric: str) -> float:
    """A finished run's score on its validation images."""
    held_out = run.predictions("val")
    assert held_out is not None
    return METRICS[metric].score(*held_out)


def start(search: Search) -> dict[str, Any] | None:
    """The starting recipe as a point of the space, or None if it is outside: each value, put in, must change nothing."""
    as_it_is = search.recipe.deciding()
    found: dict[str, Any] = {}
    for path, dimension in search.space.items():
        if isinstance(dimension, Choice):
            points = list(zip(dimension.values, dimension.labels(), strict=True))
        else:
            points = [(value, value) for value in [_at(search.recipe, path)] if dimension.holds(value)]
        for value, kept in points:
            with contextlib.suppress(FittingroomError):
                if search.recipe_of({path: value}).deciding() == as_it_is:
                    found[path] = kept
                    break
        else:
            return None
    return found


def values(search: Search, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a trial, in which choices are kept as text, as values of the recipe."""
    return {
        path: json.loads(value) if isinstance(search.space.get(path), Choice) else value
        for path, value in params.items()
    }


def _at(recipe: Recipe, path: str) -> Any:
    """What a recipe says at the first place of a space's path; None if nothing."""
    node: Any = recipe.model_dump(mode="json")
    with contextlib.suppress(KeyError, IndexError, ValueError, TypeError):
        for key in path.split("&")[0].strip().split("."):
            node = node[int(key)] if isinstance(node, list) else node[key]
        return node
    return None


def _first(dimension: Dimension) -> Any:
    if isinstance(dimension, Range):
        return int(dimension.low) if dimension.whole else float(dimension.low)
    return dimension.values[0]


def _latency_s(run: RunFolder, data: Dataset, device: str) -> float:
    """Seconds for one image, in this process, while no trial runs."""
    from fittingroom.training import predict
    from fittingroom.training.rebuild import rebuild

    model = rebuild(run, data.train, device)
    one = data.train.images_NCHW[:1]
    return median_s(lambda: predict(model, one, device))
