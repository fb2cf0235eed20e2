"""The notebook's door: `import fittingroom as fr`, then `fr.load_data`, `fr.train`, `fr.compare`, `fr.Run`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fittingroom.data import Dataset, load
from fittingroom.metrics.verdict import Comparison, Question
from fittingroom.metrics.words import percent
from fittingroom.spec.errors import FittingroomError, need
from fittingroom.spec.read import read_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import Epoch, Metrics
from fittingroom.store import RunFolder, Runs

RecipeLike = str | Path | Recipe


class Run:
    """A finished run, for reading.

    >>> path = train("readme-004-mlp", "train.epochs=1", "data.limit=2000").path
    >>> run = Run(path)
    >>> run.metrics.epochs, run.logits("test")[0].shape
    (1, (10000, 10))
    """

    def __init__(self, path: str | Path) -> None:
        """Raises `FittingroomError` if there is no finished run at `path`."""
        self.folder = RunFolder(Path(path))
        if not self.folder.done:
            raise FittingroomError(f"{path} is not a finished run; see: fittingroom runs")

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def recipe(self) -> Recipe:
        return self.folder.recipe

    @property
    def metrics(self) -> Metrics:
        return self.folder.metrics

    @property
    def epochs(self) -> list[Epoch]:
        return self.folder.epochs

    @property
    def test_accuracy(self) -> float | None:
        """A fraction; None if the test set was not read."""
        return self.metrics.test.accuracy if self.metrics.test else None

    def logits(self, split: str = "test") -> tuple[np.ndarray, np.ndarray]:
        """Logits (N,K) float32 and labels (N,) int64 of "test" or "val". Raises `FittingroomError` if not scored."""
        found = self.folder.predictions(split)
        if found is None:
            raise FittingroomError(f"{self.path} has no predictions on {split}")
        return found

    def predict(self, images_NCHW: np.ndarray) -> np.ndarray:
        """Class probabilities (N,K) of uint8 images (N,C,H,W), shaped like those it was trained on. Needs torch.

        Raises `FittingroomError` for another shape or type.
        """
        need("torch", "Run.predict", "train")
        shape = self.folder.data.shape
        if images_NCHW.dtype != np.uint8 or images_NCHW.shape[1:] != shape:
            found = f"{images_NCHW.dtype} {images_NCHW.shape}"
            raise FittingroomError(
                f"{self.path.name} takes uint8 images of shape (N, {', '.join(map(str, shape))}); got {found}"
            )
        from scipy.special import softmax

        from fittingroom.data import Images
        from fittingroom.training import predict
        from fittingroom.training.rebuild import rebuild

        labels = np.zeros(len(images_NCHW), np.int64)
        like = Images(images_NCHW, labels, self.folder.data.classes)
        model = rebuild(self.folder, like)
        return np.asarray(softmax(predict(model, like), axis=1))

    def __repr__(self) -> str:
        return f"<Run {self.path.name}: test {percent(self.test_accuracy)} %>"

    def _repr_html_(self) -> str:
        from html import escape

        m = self.metrics
        rows = [
            ("test accuracy", f"{percent(self.test_accuracy)} %"),
            ("validation accuracy", f"{percent(m.val.accuracy if m.val else None)} %"),
            ("training accuracy (clean)", f"{percent(m.train.accuracy)} %"),
            ("epochs", str(m.epochs)),
            ("training", f"{m.train_s:.1f} s"),
        ]
        cells = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in rows)
        return f"<b>{escape(self.path.name)}</b><table>{cells}</table>"


def load_data(name: str = "fashion-mnist", home: str | Path | None = None) -> Dataset:
    """A verified data set: `.train.images_NCHW` (N,C,H,W) uint8 and `.train.labels_N`; its test set stays locked.

    Raises `FittingroomError` for an unknown name or when no source delivers.

    >>> load_data().train.images_NCHW.shape
    (60000, 1, 28, 28)
    """
    return load(name, home)


def train(
    recipe: RecipeLike,
    *overrides: str,
    data: str | None = None,
    seed: int = 0,
    device: str = "auto",
    runs: str | Path = "runs",
    test: bool = True,
    home: str | Path | None = None,
) -> Run:
    """Train one recipe ("key=value" overrides follow it) and give its run; a finished one is not trained again.

    Raises `FittingroomError` for a wrong recipe, unknown data, or a loss that is not finite.

    >>> run = train("readme-004-mlp", "train.epochs=1", "data.limit=2000")
    >>> 0.5 < run.test_accuracy < 1
    True
    """
    need("torch", "fittingroom.train", "train")
    from fittingroom.study.execute import execute
    from fittingroom.study.plan import cautions, plan, threads_each
    from fittingroom.training import choose_device

    read = _recipe(recipe, overrides)
    loaded = load(data or read.data.name, home, shape=read.data)
    _warn(cautions(read, loaded))
    folder = Runs(Path(runs))
    job = plan(read, loaded, seed, choose_device(device), threads_each(), test, folder)
    return Run(execute(job, folder).path)


def compare(
    recipes: RecipeLike | Sequence[RecipeLike],
    *overrides: str,
    data: str | Sequence[str] | None = None,
    seeds: int | Sequence[int] = 3,
    metric: str = "accuracy",
    effect: float | None = None,
    device: str = "auto",
    at_once: int | None = None,
    runs: str | Path = "runs",
    home: str | Path | None = None,
) -> Comparison | list[Comparison]:
    """Train what is missing of recipes × data sets × seeds and judge it; a list for several data sets.

    `metric` decides (see `fittingroom.metrics.metric.METRICS`); `effect` is the difference you care about, in its size;
    `at_once` runs share the machine (None: one a core; on a GPU one).
    The result shows itself in a notebook: the verdict in words, then the table. Raises `FittingroomError`.

    >>> c = compare(["readme-004-mlp"], "train.epochs=1", "data.limit=2000", seeds=2)
    >>> c.rows[0].seeds
    (0, 1)
    """
    need("torch", "fittingroom.compare", "train")
    from fittingroom.report.gather import gather
    from fittingroom.study.run import plan_study, run_study

    question = Question(metric, effect)
    recipes = [recipes] if isinstance(recipes, RecipeLike) else list(recipes)
    if not recipes:
        raise FittingroomError("name at least one recipe; see: fittingroom recipes")
    folder = Runs(Path(runs))
    names = [data] if isinstance(data, str) else list(data or ())
    chosen = range(seeds) if isinstance(seeds, int) else seeds
    if not chosen or min(chosen) < 0:
        raise FittingroomError(f"seeds: got {seeds!r}; give a number of at least 1, or a list of numbers ≥ 0")
    home_dir = Path(home) if home else None
    study = plan_study(
        [_recipe(r, overrides) for r in recipes], names, chosen, folder,
        device=device, at_once=at_once, home_dir=home_dir,
    )  # fmt: skip
    _warn(study.cautions)
    stories = gather(run_study(study, folder, lambda job, progress: None), folder, question)
    comparisons = [story.comparison for story in stories]
    return comparisons[0] if len(comparisons) == 1 else comparisons


def _recipe(recipe: RecipeLike, overrides: Sequence[str]) -> Recipe:
    wrong = [word for word in overrides if not isinstance(word, str)]
    if wrong:
        raise FittingroomError(f'{wrong[0]!r} is no override; write strings: "train.epochs=5", "optimizer.lr=3e-3"')
    if isinstance(recipe, Recipe):
        if overrides:
            raise FittingroomError(
                "overrides go with a recipe's name or file; a Recipe object is changed with model_copy"
            )
        return recipe
    return read_recipe(recipe, list(overrides))


def _warn(lines: Sequence[str]) -> None:
    for line in lines:
        warnings.warn(line, stacklevel=3)


__all__ = ["Comparison", "Run", "compare", "load_data", "train"]
