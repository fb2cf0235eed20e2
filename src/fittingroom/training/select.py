"""When a training stops, and which epoch's weights it keeps: by validation alone, in one place for all who iterate over `fit`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from fittingroom.data import Images
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import TrainSpec
from fittingroom.spec.records import Epoch
from fittingroom.training.fit import Snapshot

FEWEST = 10  # validation images that may choose: with fewer one image is worth ten points and more


def selected(
    snapshots: Iterable[Snapshot], spec: TrainSpec, epochs: Sequence[Epoch] = ()
) -> Iterator[tuple[Snapshot, bool]]:
    """The snapshots of a training until it should stop, each with whether its weights are the ones to keep so far.

    `epochs` are those of before, where a training is resumed.
    """
    seen = list(epochs)
    if stops_early(spec, seen):  # it was interrupted after its last epoch
        return
    for snapshot in snapshots:
        seen.append(snapshot.epoch)
        yield snapshot, selected_epoch(spec, seen) == snapshot.epoch.epoch
        if stops_early(spec, seen):
            return


def refuse_choice(spec: TrainSpec, train: Images, val: Images | None, carved: bool = True) -> None:
    """Raise `FittingroomError` if `spec` chooses an epoch, or stops, by validation images that can choose nothing."""
    if spec.by_validation:
        chooser = 'train.select = "best_val"' if spec.select == "best_val" else f"train.patience = {spec.patience}"
        refuse_too_few(
            train,
            val,
            carved,
            chooser,
            "use train.select=last and train.patience=0, or hold out more (data.val_fraction)",
        )


def refuse_too_few(train: Images, val: Images | None, carved: bool, chooser: str, remedy: str) -> None:
    """Raise `FittingroomError` for fewer than `FEWEST` validation images, or carved ones without a class that is due one.

    A class so rare that its share of the validation images is less than one may be missing there.
    """
    n = len(val) if val else 0
    missing = []
    if val is not None and carved:
        held_K = np.bincount(val.labels_N, minlength=len(val.classes))
        due_K = (np.bincount(train.labels_N, minlength=len(val.classes)) + held_K) * n / (len(train) + n)
        missing = [val.classes[label] for label in np.flatnonzero((held_K == 0) & (due_K >= 1))]
    if n >= FEWEST and not missing:
        return
    few = f"{n} validation image{'' if n == 1 else 's'}" if n else "no validation image"
    without = f", none of: {', '.join(missing[:6])}{' …' if len(missing) > 6 else ''}" if missing and n else ""
    raise FittingroomError(
        f"{chooser} chooses by validation, and there {'is' if n < 2 else 'are'} {few}{without}; {remedy}"
    )


def selected_epoch(spec: TrainSpec, epochs: Sequence[Epoch]) -> int:
    """The epoch whose weights are scored: the last, or with `best_val` the one with the best validation accuracy.

    Of several with the same, the one with the lowest validation loss, then the first.
    """
    if spec.select == "last":
        return epochs[-1].epoch
    return max(epochs, key=lambda e: (e.val_accuracy or 0.0, -(e.val_loss or 0.0), -e.epoch)).epoch


def stops_early(spec: TrainSpec, epochs: Sequence[Epoch]) -> bool:
    """Whether the validation loss has not improved for `patience` epochs."""
    losses = [e.val_loss for e in epochs if e.val_loss is not None]
    return bool(spec.patience and losses) and len(losses) - 1 - int(np.argmin(losses)) >= spec.patience
