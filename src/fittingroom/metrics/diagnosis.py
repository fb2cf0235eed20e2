"""What the curves of a training say: each finding with its measured numbers and what to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fittingroom.metrics.intervals import mean_interval
from fittingroom.metrics.statistic import (
    FEWEST_EPOCHS,
    SETTLED,
    fluctuation,
    gaps,
    late,
    slope,
    val_accuracies,
    val_losses,
)
from fittingroom.spec.records import Epoch

# Where a trait begins to matter. Chosen by looking at the curves of the shipped recipes, not derived: assumption
RISE = 0.05  # of the lowest validation loss: how far above it the end must stand to call it a turn
WIDE_GAP = 0.02  # between training and validation accuracy
JUMPY = 0.01  # fluctuation of the validation accuracy
SLOW = 0.5  # of the way from chance to the end, after the first epoch
STILL = 0.01  # of the validation loss an epoch: still falling
RUNAWAY = 1.5  # times its lowest value, of a training loss that ends above its first
HELPLESS = 0.02  # of the way from chance to certainty: who gets no further has learned nothing
LEARNED = 0.995  # of the training images right: who gets them all has nothing left to fit


@dataclass(frozen=True)
class Finding:
    """One trait of a recipe's curves: what it is called, the figures, and what to try (empty where nothing is wrong)."""

    kind: str  # overfitting, underfitting, instability, slow start, divergence, healthy, or too short
    words: str
    advice: str = ""


def diagnose(seeds: Sequence[Sequence[Epoch]], classes: int, n_val: int) -> list[Finding]:
    """The findings about one recipe from the epochs of each of its seeds; always at least one.

    Figures are means over the seeds. A trend counts where its 95 % interval over seeds excludes zero; with one seed,
    where it is there at all, and the words say "one seed". A gap and a fluctuation count where they also exceed what
    `n_val` validation images make by themselves (two binomial standard errors, one for a fluctuation).

    >>> def epoch(i: int, loss: float) -> Epoch:
    ...     return Epoch(epoch=i, lr=1, train_loss=0.1, train_accuracy=1, clean_loss=0.1, clean_accuracy=1, clean_n=9,
    ...                  val_loss=loss, val_accuracy=0.8, train_s=1, eval_s=1)
    >>> turned = [[epoch(i, 1 / i + 0.05 * i) for i in range(1, 13)]] * 2
    >>> [f.kind for f in diagnose(turned, 10, 6000)]
    ['overfitting']
    """
    n = min(map(len, seeds))  # early stopping: seeds may end at different epochs
    if n < FEWEST_EPOCHS or any(e.val_loss is None for epochs in seeds for e in epochs):
        why = f"{n} epoch{'s' * (n != 1)}" if n < FEWEST_EPOCHS else "no validation part"
        return [
            Finding("too short", f"{why}: curves say something from {FEWEST_EPOCHS} epochs on, with a validation part")
        ]
    of = [list(epochs)[:n] for epochs in seeds]
    loss_SE = np.stack([val_losses(epochs) for epochs in of])
    accuracy_SE = np.stack([val_accuracies(epochs) for epochs in of])
    gap_SE = np.stack([gaps(epochs) for epochs in of])
    end = accuracy_SE[:, -1].mean()
    noise = 2 * float(np.sqrt(end * (1 - end) / n_val))  # of an accuracy on so few images
    train_SE = np.array([[e.train_loss for e in epochs] for epochs in of])
    clean = float(np.mean([epochs[-1].clean_accuracy for epochs in of]))
    found = [
        f
        for f in (
            _divergence(train_SE, accuracy_SE, classes, noise),
            _overfitting(loss_SE, gap_SE, noise),
            _underfitting(loss_SE, gap_SE, clean),
            _instability(accuracy_SE, noise),
            _slow_start(accuracy_SE, classes),
        )
        if f
    ]
    if found and found[0].kind == "divergence":
        found = found[:1]  # the rest follows from it
    if found and found[0].kind == "overfitting":  # who learned too much was not too slow
        found = [f for f in found if f.kind != "slow start"]
    if not found:
        few = f"; with {n_val} validation images nothing under {100 * noise:.1f} points shows" if noise > JUMPY else ""
        found = [Finding("healthy", _healthy(loss_SE, accuracy_SE, gap_SE) + few)]
    return found if len(seeds) > 1 else [replace(f, words=f"{f.words} (one seed)") for f in found]


def _healthy(loss_SE: np.ndarray, accuracy_SE: np.ndarray, gap_SE: np.ndarray) -> str:
    return (
        f"nothing is wrong: the gap over the last third is {100 * late(gap_SE.mean(0)).mean():.1f} points, validation loss "
        f"ends at {loss_SE[:, -1].mean():.3f} with its lowest mean at {loss_SE.mean(0).min():.3f}, and validation "
        f"accuracy fluctuates by {100 * _jumps(accuracy_SE):.2f} points"
    )


def turn(loss_SE: np.ndarray) -> int:
    """The epoch (from 1) after which the mean validation loss of S seeds is never as low again."""
    return int(loss_SE.mean(0).argmin()) + 1


def _rises(values_S: Sequence[float]) -> bool:
    return (mean_interval(values_S)[0] if len(values_S) > 1 else values_S[0]) > 0


def _overfitting(loss_SE: np.ndarray, gap_SE: np.ndarray, noise: float) -> Finding | None:
    curve, at, n = loss_SE.mean(0), turn(loss_SE), loss_SE.shape[1]
    gap = float(np.mean([late(g).mean() for g in gap_SE]))
    turned = curve[-1] > (1 + RISE) * curve.min() and _rises([slope(late(row)) for row in loss_SE])
    advice = (
        f"train.epochs={at}, or keep the best epoch: train.select=best_val; more dropout, weight decay or augmentation"
    )
    if turned:
        return Finding(
            "overfitting",
            f"validation loss is lowest after epoch {at} ({curve.min():.3f}) and rises to {curve[-1]:.3f} at epoch {n}; "
            f"training accuracy is {100 * gap:.1f} points above validation accuracy over the last third",
            advice,
        )
    if gap > max(WIDE_GAP, noise):
        return Finding(
            "overfitting",
            f"training accuracy is {100 * gap:.1f} points above validation accuracy over the last third, though validation loss "
            f"({curve[-1]:.3f} at the end, lowest {curve.min():.3f}) does not turn up clearly",
            "more dropout, weight decay or augmentation; more epochs would widen it",
        )
    return None


def _underfitting(loss_SE: np.ndarray, gap_SE: np.ndarray, clean: float) -> Finding | None:
    if clean >= LEARNED:
        return None
    falls = [-slope(late(row)) for row in loss_SE]
    end = float(loss_SE[:, -1].mean())
    if not (_rises(falls) and np.mean(falls) > STILL * end and late(gap_SE.mean(0)).mean() < WIDE_GAP):
        return None
    return Finding(
        "underfitting",
        f"still learning when it stopped: validation loss falls by {np.mean(falls):.4f} nats an epoch over the last third "
        f"({100 * np.mean(falls) / end:.1f} % of it), and the gap is only {100 * late(gap_SE.mean(0)).mean():.1f} points",
        "more epochs, a higher learning rate, a larger model, or less dropout and augmentation",
    )


def _jumps(accuracy_SE: np.ndarray) -> float:
    return float(np.mean([fluctuation(late(row, SETTLED)) for row in accuracy_SE]))


def _instability(accuracy_SE: np.ndarray, noise: float) -> Finding | None:
    jumps = _jumps(accuracy_SE)
    if jumps <= max(JUMPY, noise / 2):  # every epoch sees the same images
        return None
    steps = np.diff(accuracy_SE, axis=1)
    return Finding(
        "instability",
        f"validation accuracy fluctuates by {100 * jumps:.2f} points from epoch to epoch; "
        f"the largest fall is {100 * -steps.min():.1f} points, into epoch {int(steps.min(0).argmin()) + 2}",
        "a lower optimizer.lr, a schedule (cosine, triangular), a larger batch, train.ema=0.99, or BatchNorm",
    )


def _slow_start(accuracy_SE: np.ndarray, classes: int) -> Finding | None:
    first, last, chance = accuracy_SE[:, 0].mean(), accuracy_SE[:, -1].mean(), 1 / classes
    if last <= chance or (first - chance) / (last - chance) >= SLOW:
        return None
    return Finding(
        "slow start",
        f"{100 * first:.1f} % validation accuracy after the first epoch, of {100 * last:.1f} % at the end",
        "a higher optimizer.lr, a shorter warm-up, BatchNorm, or a smaller batch",
    )


def _divergence(train_SE: np.ndarray, accuracy_SE: np.ndarray, classes: int, noise: float) -> Finding | None:
    """What was learned is lost again, the loss ran away, or nothing is learned and the loss does not fall: in any seed."""
    chance = 1 / classes
    end_S, best_S, least_S = accuracy_SE[:, -1], accuracy_SE.max(1), train_SE.min(1)
    little = HELPLESS * (1 - chance)
    # few validation images fall by luck, and what they lose is theirs
    lost_S = (end_S - chance < 0.5 * (best_S - chance) - little) & (best_S - end_S > 2 * noise)
    ran_away_S = train_SE[:, -1] > np.maximum(RUNAWAY * least_S, train_SE[:, 0])
    dead_S = (best_S < chance + little) & (train_SE[:, -1] > 0.99 * train_SE[:, 0])
    gone = np.flatnonzero(lost_S | ran_away_S | dead_S)
    if not len(gone):
        return None
    first, at = train_SE[gone[0]], int(accuracy_SE[gone[0]].argmax())
    told = (
        f"training loss was {first.min():.3g} after epoch {int(first.argmin()) + 1} and is {first[-1]:.3g} at the end"
    )
    if not (ran_away_S | dead_S)[gone[0]]:  # the loss may never have shown it
        told = f"validation accuracy was {100 * best_S[gone[0]]:.1f} % after epoch {at + 1} and was lost again"
    which = f" in {len(gone)} of {len(end_S)} seeds" if len(gone) < len(end_S) else ""
    return Finding(
        "divergence",
        f"{told}{which}; "
        f"validation accuracy ends at {100 * end_S[gone].mean():.1f} %, where guessing gives {100 / classes:.1f} %",
        "optimizer.lr ten times lower, train.clip_norm=1, a warm-up (schedule.warmup_epochs=1)",
    )
