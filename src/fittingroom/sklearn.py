"""The scikit-learn estimator: any recipe in pipelines, cross-validation and grid searches.

from fittingroom.sklearn import ImageClassifier
cross_val_score(ImageClassifier("readme-004-cnn", epochs=3), images, labels)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.data import Images, carve
from fittingroom.questions.recipes import read
from fittingroom.spec.errors import FittingroomError, need
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Runs

need("sklearn", "fittingroom.sklearn", "sklearn")
need("torch", "fittingroom.sklearn", "train")

from sklearn.base import BaseEstimator, ClassifierMixin  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets, unique_labels  # noqa: E402
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data  # noqa: E402


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A recipe as a scikit-learn classifier.

    `X` is 4-D, (N,C,H,W) or (N,H,W,C) with C = 1 or 3; 3-D, (N,H,W); or 2-D, (N,features): rows of square images, or of
    `image_shape` (C,H,W), else images of one row. Arrays of uint8 are taken as they are, anything else is brought to 256
    steps between the least and the largest value that `fit` saw (values beyond are clipped).

    `recipe` is a name, a file or a `Recipe`; `changes` are "key=value" overrides; `epochs`, `lr` and `batch_size` override
    once more, for grids. A recipe that selects on validation holds out its `data.val_fraction` of the given images, stratified.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.integers(0, 255, (60, 28, 28), np.uint8); X[::2, :14] //= 8
    >>> classifier = ImageClassifier("readme-004-mlp", epochs=3).fit(X, ["dark", "bright"] * 30)
    >>> classifier.score(X, ["dark", "bright"] * 30)
    1.0
    """

    def __init__(
        self,
        recipe: str | Path | Recipe = "readme-004-mlp",
        changes: Sequence[str] = (),
        epochs: int | None = None,
        lr: float | None = None,
        batch_size: int | None = None,
        image_shape: tuple[int, int, int] | None = None,
        random_state: int = 0,
        device: str = "auto",
    ) -> None:
        self.recipe = recipe
        self.changes = changes
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.image_shape = image_shape
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any, groups: Any = None) -> ImageClassifier:
        """Train. `groups` (N,) say which images belong together (a patient's): none is divided between training and validation.

        Sets `classes_`, `recipe_` (resolved), `weights_`, `shape_` (C,H,W), `low_`, `high_` and `epochs_` (records).

        Raises `ValueError` for data that are no images, `FittingroomError` (a `ValueError` here) for a recipe that does not fit.
        """
        from fittingroom.models import with_sources
        from fittingroom.store.fetch import home
        from fittingroom.study.initial import initial
        from fittingroom.study.sharing import threads_each
        from fittingroom.training import choose_device, choose_precision, fit, prepare_process
        from fittingroom.training.select import refuse_choice, selected

        X, y = validate_data(self, _channels_first(X), y, allow_nd=True, ensure_min_samples=2)
        check_consistent_length(X, groups)
        check_classification_targets(y)
        self.classes_ = unique_labels(y)
        if len(self.classes_) < 2:
            raise ValueError(f"there is one class only ({self.classes_[0]!r}); a classifier needs two")
        images_NCHW = self._images(X, fitting=True)
        labels_N = np.searchsorted(self.classes_, y)
        try:
            device = choose_device(self.device)
            recipe = self._recipe()
            train_spec = recipe.train.model_copy(update={"precision": choose_precision(recipe.train.precision, device)})
            first = initial(recipe.model.init, Runs(Path("runs")), home())
            spec = first.network(recipe.model) if first else recipe.model
            model = with_sources(spec, images_NCHW.shape[1:], len(self.classes_))
            self.recipe_ = recipe.model_copy(update={"train": train_spec, "model": model})
            group_N = None if groups is None else np.unique(groups, return_inverse=True)[1]
            whole = Images(images_NCHW, labels_N, tuple(map(str, self.classes_)), groups_N=group_N)
            train, val = carve(whole, recipe.data.val_fraction if train_spec.by_validation else 0.0, self.random_state)
            refuse_choice(train_spec, train, val)
            prepare_process(threads_each())
            epochs: list[Any] = []
            start = first.read() if first else None
            snapshots = fit(self.recipe_, train, val, seed=self.random_state, device=device, start=start)
            for snapshot, keep in selected(snapshots, train_spec):
                epochs.append(snapshot.epoch)
                if keep:
                    self.weights_ = snapshot.weights()
        except FittingroomError as error:
            raise ValueError(str(error)) from error
        self.epochs_ = epochs
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities (N,K), columns in the order of `classes_`."""
        from scipy.special import softmax

        from fittingroom.models import build
        from fittingroom.training import choose_device, predict
        from fittingroom.training.arrays import load_arrays

        check_is_fitted(self)
        X = validate_data(self, _channels_first(X), allow_nd=True, reset=False)
        images_NCHW = self._images(X, fitting=False)
        device = choose_device(self.device)
        model = build(self.recipe_.model, self.shape_, len(self.classes_)).to(device)
        load_arrays(model, self.weights_)
        return np.asarray(softmax(predict(model, images_NCHW, device).astype(np.float64), axis=1))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class (N,) of each image."""
        p_NK = self.predict_proba(X)
        return np.asarray(self.classes_[p_NK.argmax(1)])

    def _recipe(self) -> Recipe:
        named = {"train.epochs": self.epochs, "optimizer.lr": self.lr, "train.batch_size": self.batch_size}
        changes = [*self.changes, *(f"{key}={value}" for key, value in named.items() if value is not None)]
        return read(self.recipe, changes)

    def _images(self, X: np.ndarray, fitting: bool) -> np.ndarray:
        """X as (N,C,H,W) uint8; while fitting, what is needed to do the same again is remembered."""
        shaped = self._shaped(X)
        if fitting:
            self.shape_ = shaped.shape[1:]
            low, high = (0.0, 255.0) if X.dtype == np.uint8 else (float(X.min()), float(X.max()))
            self.low_, self.high_ = low, high if high > low else low + 1.0
        elif shaped.shape[1:] != self.shape_:
            raise ValueError(
                f"X has images of shape {shaped.shape[1:]}, but {type(self).__name__} was fitted on {self.shape_}"
            )
        if X.dtype == np.uint8 and (self.low_, self.high_) == (0.0, 255.0):
            return shaped
        scaled = (shaped.astype(np.float64) - self.low_) / (self.high_ - self.low_)
        return np.asarray(np.rint(255 * scaled.clip(0, 1)), np.uint8)

    def _shaped(self, X: np.ndarray) -> np.ndarray:
        n = len(X)
        if X.ndim == 4:
            return X
        if self.image_shape is not None:
            if math.prod(self.image_shape) != X.shape[1]:
                raise ValueError(
                    f"image_shape {self.image_shape} has {math.prod(self.image_shape)} values, a row of X {X.shape[1]}"
                )
            return X.reshape(n, *self.image_shape)
        side = math.isqrt(X.shape[1])
        return X.reshape(n, 1, side, side) if side * side == X.shape[1] else X.reshape(n, 1, 1, -1)


def _channels_first(X: Any) -> Any:
    """Images with their channels in front, (N,C,H,W); rows (N,features), and whatever is no array, as they are."""
    if not isinstance(X, np.ndarray) or X.ndim <= 2:
        return X
    if X.ndim == 3:
        return X[:, None]
    if X.ndim == 4 and X.shape[1] not in (1, 3) and X.shape[3] in (1, 3):
        X = X.transpose(0, 3, 1, 2)
    if X.ndim != 4 or X.shape[1] not in (1, 3):
        raise ValueError(f"X has shape {X.shape}; give (N,features), (N,H,W), (N,C,H,W) or (N,H,W,C), with C = 1 or 3")
    return np.ascontiguousarray(X)


__all__ = ["ImageClassifier"]
