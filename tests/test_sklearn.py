"""The scikit-learn estimator: by scikit-learn's own checks, and on real images.

None of its checks is expected to fail. One is skipped by scikit-learn itself: `check_array_api_input` runs only where
SCIPY_ARRAY_API is set before SciPy is imported; the estimator takes NumPy arrays and claims no array API.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from fittingroom.data import Dataset, Images
from fittingroom.sklearn import ImageClassifier
from fittingroom.spec.read import parse_recipe

pytestmark = pytest.mark.slow

TINY = parse_recipe(
    {
        "name": "tiny",
        "model": {"kind": "sequential", "layers": [{"flatten": True}, {"dense": 32}, {"act": "relu"}]},
        "optimizer": {"kind": "adam", "lr": 0.01},
        "train": {"epochs": 20, "batch_size": 16, "precision": "fp32"},
    }
)


@parametrize_with_checks([ImageClassifier(TINY)])
def test_scikit_learns_own_checks(estimator: ImageClassifier, check: Callable[[ImageClassifier], None]) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def digits(fashion: Dataset) -> tuple[np.ndarray, np.ndarray]:
    part = fashion.train.take(np.arange(400))
    assert isinstance(part.images_NCHW, np.ndarray)
    return part.images_NCHW, np.array(fashion.classes)[part.labels_N]


def test_two_three_and_four_dimensions_are_the_same_images(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    shapes = [X, X[:, 0], X.reshape(len(X), -1), X.transpose(0, 2, 3, 1)]
    said = [ImageClassifier("readme-004-mlp", epochs=2).fit(x, y).predict_proba(x) for x in shapes]
    for other in said[1:]:
        np.testing.assert_array_equal(said[0], other)
    np.testing.assert_allclose(said[0].sum(1), 1)


def test_it_gives_what_the_training_room_gives(few: tuple[Images, Images]) -> None:
    from fittingroom.spec.read import read_recipe
    from fittingroom.training import fit, predict

    train, other = few
    assert isinstance(train.images_NCHW, np.ndarray) and isinstance(other.images_NCHW, np.ndarray)
    mine = ImageClassifier("readme-004-mlp", ["train.precision=fp32"], epochs=2, random_state=7, device="cpu")
    said = mine.fit(train.images_NCHW, train.labels_N).predict(other.images_NCHW)
    recipe = read_recipe("readme-004-mlp", ["train.epochs=2", "train.precision=fp32"])
    *_, last = fit(recipe, train, None, seed=7)
    assert (said == predict(last.model, other).argmax(1)).all()
    assert mine.score(other.images_NCHW, other.labels_N) == (said == other.labels_N).mean()


def test_a_recipe_that_selects_on_validation_keeps_its_best_epoch(few: tuple[Images, Images]) -> None:
    train, _ = few
    mine = ImageClassifier("readme-004-mlp", ["train.select=best_val", "train.patience=2"], epochs=12, lr=0.05)
    mine.fit(train.images_NCHW, train.labels_N)
    accuracies = [e.val_accuracy for e in mine.epochs_]
    assert all(a is not None for a in accuracies) and len(accuracies) <= 12


def test_clone_pickle_pipeline_cross_validation_and_grid_search(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    plain = ImageClassifier("readme-004-mlp", epochs=2)
    fitted = clone(plain).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    pipeline = make_pipeline(FunctionTransformer(lambda x: 255 - x), clone(plain))
    assert len(cross_val_score(pipeline, X, y, cv=2)) == 2
    search = GridSearchCV(plain, {"lr": [1e-5, 3e-3], "changes": [(), ("train.batch_size=32",)]}, cv=2).fit(X, y)
    assert search.best_params_["lr"] == 3e-3 and set(search.classes_) == set(y)


def test_colour_images_of_either_order_and_wrong_shapes(few: tuple[Images, Images]) -> None:
    X = np.repeat(few[0].images_NCHW[:80], 3, axis=1)
    y = few[0].labels_N[:80]
    mine = ImageClassifier(TINY, epochs=1).fit(X, y)
    np.testing.assert_array_equal(mine.predict(X), mine.predict(X.transpose(0, 2, 3, 1)))
    for wrong, words in ((X[:, :2], "C = 1 or 3"), (X[..., :20], "fitted on"), (X[None], "C = 1 or 3")):
        with pytest.raises(ValueError, match=words):
            clone(mine).fit(wrong, y) if words != "fitted on" else mine.predict(wrong)
    with pytest.raises(ValueError, match="unknown recipe"):
        ImageClassifier("readme-004-mpl").fit(X, y)
    with pytest.raises(ValueError, match="image_shape"):
        ImageClassifier(TINY, image_shape=(1, 2, 2)).fit(X.reshape(80, -1), y)
