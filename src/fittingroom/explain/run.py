"""One finished run explained: everything is computed here once and written as arrays beside the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import softmax

from fittingroom.data import prepare, reload
from fittingroom.data.framing import Unreadable, read_framed
from fittingroom.explain.attributions import attributions, deletion
from fittingroom.explain.features import feature_maps, filters, last_features
from fittingroom.explain.neighbours import embedding, nearest, prototypes
from fittingroom.spec.errors import FittingroomError, need
from fittingroom.spec.framing import Framing
from fittingroom.store import RunFolder, Runs
from fittingroom.store.fetch import Say
from fittingroom.training import predict, prepare_process
from fittingroom.training.rebuild import rebuild

WRONG = 12  # confidently wrong test images that are explained
# of the deletion curve: the first so many test images, of large ones as many as have so many pixels, but not fewer than this
DELETION_IMAGES, DELETION_PIXELS, FEWEST_DELETED = 500, 500 * 64 * 64, 50


def explain(
    run: RunFolder,
    runs: Runs,
    chosen: Sequence[int] = (),
    own: Sequence[Path] = (),
    *,
    threads: int = 1,
    home_dir: Path | None = None,
    say: Say = lambda line: None,
) -> None:
    """Write `explain.npz`, `features.npz` and `deletion.json` into the run's folder.

    Explained are the `chosen` test images (0-based), pictures of one's `own` (brought to the form
    of the training images), and the most confidently wrong
    ones (the least sure ones, if none is wrong). Test images come from the runs folder's copy of what was scored, so the
    test set is not read again.
    Raises `FittingroomError` for a run that is not finished and scored, a row that does not exist, or a bad picture.
    """
    for module in ("captum", "openTSNE"):
        need(module, "explain", "explain")
    run.refuse_held_out("explain")
    predictions = run.predictions("test") if run.done else None
    tests_NCHW = runs.thumbnails(run.data.digest)
    if predictions is None:
        raise FittingroomError(f"{run.path} is not finished, or was not scored on test; see: fittingroom runs")
    if tests_NCHW is None:
        raise FittingroomError(
            f"{runs.thumbnails_file(run.data.digest)} is not there, which has the test pictures of {run.data.name}; the next run "
            "that is scored on them keeps them again (fittingroom train with another --seed)"
        )
    if tests_NCHW.shape[1:] != run.data.shape:
        raise FittingroomError(
            f"the test images of {run.data.name} are too many to be kept at full size, which explain needs"
        )
    prepare_process(threads)
    data = reload(run.data.name, run.data.digest, home_dir)
    mine = [_mine(path, data.framing)[None] for path in own]
    train, _ = prepare(data, run.recipe.data)
    model = rebuild(run, train)
    p_NK, labels_N = softmax(predictions[0].astype(np.float64), axis=1), predictions[1]
    beyond = [row for row in chosen if not 0 <= row < len(labels_N)]
    if beyond:
        raise FittingroomError(f"there is no test image {beyond[0]}; they are 0 … {len(labels_N) - 1}")
    wrong_N = p_NK.argmax(1) != labels_N
    surest = np.lexsort((-p_NK.max(1) if wrong_N.any() else p_NK.max(1), ~wrong_N))[
        : min(WRONG, wrong_N.sum() or WRONG)
    ]
    rows = np.array([*chosen, *(r for r in surest if r not in set(chosen))], np.int64)
    images = np.concatenate([*mine, tests_NCHW[rows]])

    say("attributions")
    p_images = softmax(predict(model, images).astype(np.float64), axis=1)
    maps = attributions(model, images, p_images.argmax(1))
    say("features of the training and test images")
    train_features = last_features(model, train.images_NCHW)
    run.write_npz("features", {"train": train_features.astype(np.float16)})  # for neighbours of pictures to come
    test_features = last_features(model, tests_NCHW)
    near = nearest(last_features(model, images), train_features)
    typical = prototypes(train_features, train.labels_N, len(train.classes))
    say("a map of the test set")
    points = embedding(test_features, jobs=threads)
    layer, weights = filters(model, train.shape)
    say("the deletion curve")
    n = max(FEWEST_DELETED, min(DELETION_IMAGES, DELETION_PIXELS // (run.data.shape[1] * run.data.shape[2])))
    curve = deletion(model, tests_NCHW[:n])
    run.write_npz(
        "explain",
        {
            "images": images,
            "rows": np.array([*[-1] * len(own), *rows]),
            "asked": np.array(len(own) + len(chosen)),  # so many of the first were asked for
            "true": np.array([*[-1] * len(own), *labels_N[rows]]),
            "p": p_images.astype(np.float32),
            "filters": weights,
            "filters_layer": np.array(layer),
            "near": train.images_NCHW[near],
            "near_labels": train.labels_N[near],
            "prototypes": np.where((typical >= 0)[..., None, None, None], train.images_NCHW[typical], 0),
            "points": points,
            **{f"map {name}": value for name, value in maps.items()},
            **{f"layer {name}": value for name, value in feature_maps(model, images[0]).items()},
        },
    )
    told = {name: values.tolist() for name, values in curve.items()}
    run.write_deletion(told | {"images": min(n, len(tests_NCHW))})


def _mine(path: Path, framing: Framing) -> np.ndarray:
    try:
        return read_framed(path, framing)
    except Unreadable as reason:
        raise FittingroomError(f"{path} {reason}") from None
