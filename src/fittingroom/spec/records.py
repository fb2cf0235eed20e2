"""Facts that cross rooms: what an epoch, a run and a machine were. Plain, frozen, written as JSON."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Frozen facts. Unknown keys of a newer version are kept out of the way rather than refused."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class Epoch(Record):
    """One pass over the training images. Accuracies are fractions, losses mean cross-entropy in nats.

    `train_*` are running figures, measured while the weights move, under augmentation and dropout. `clean_*` are measured
    after the epoch, in evaluation mode, without augmentation, on a fixed sample of `clean_n` training images: only these
    make the gap to `val_*` mean something. `val_*` are None where nothing is held out.
    """

    epoch: int  # from 1
    lr: float  # at the last step
    train_loss: float
    train_accuracy: float
    clean_loss: float
    clean_accuracy: float
    clean_n: int
    val_loss: float | None
    val_accuracy: float | None
    train_s: float
    eval_s: float


TIMINGS = ("train_s", "eval_s")  # the fields of Epoch that may differ between two runs of the same bytes


class Environment(Record):
    """The machine and the versions that a run was made with."""

    fittingroom: str
    python: str
    torch: str
    platform: str
    cpu: str
    cores: int
    device: str
    device_name: str
    threads: int
    at_once: int  # how many runs shared the machine, this one counted: seconds of more than one are marked
    workers: int = 1  # processes that shared this training, `threads` threads each
    started: str  # ISO 8601, UTC


class DataFacts(Record):
    """What a run was trained and scored on."""

    name: str
    title: str
    digest: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]  # channels, height, width
    n_train: int
    n_val: int
    n_test: int
    may_flip: bool
    split: str  # in words
    acquired: str  # from where, in words
    group: str = ""  # the rule that says which images belong together; "" where each is alone
    n_test_groups: int = 0  # groups among the test images


class LayerFacts(Record):
    """One layer as built: `shape` is its output for one image."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


class Structure(Record):
    """A built model."""

    layers: tuple[LayerFacts, ...]
    parameters: int
    flops: int  # of one image's prediction, a multiply-add counted as two


class TrialFacts(Record):
    """One trial of a search that has ended."""

    number: int
    state: str  # complete, pruned, failed
    values: tuple[float, ...]  # of the objectives, in their order; () unless complete
    params: dict[str, Any]  # path → value
    epochs: int  # trained
    train_s: float | None
    run: str  # the run folder's name; "" if there is none
    error: str  # why it failed
    crashed: bool  # whether it had to be tried a second time
    earlier: str  # the search and trial that it was taken over from


class Scores(Record):
    """Accuracy (fraction), mean cross-entropy (nats) and expected calibration error (fraction) on one split."""

    n: int
    accuracy: float
    loss: float
    ece: float


class Share(Record):
    """A fraction, and its 95 % interval."""

    value: float
    low: float
    high: float


class Finding(Record):
    """What a recipe finds of the class that is looked for (of several, means over each against the rest), mean over seeds."""

    sensitivity: Share  # of the class's images, how many are taken for it
    specificity: Share  # of the others, how many are not
    precision: Share  # of those taken for it, how many are of it
    threshold: float | None  # log odds from which on an image is taken for it, where there is one such number


class Metrics(Record):
    """The end of a run. `test` is None after `--no-test`, `val` where nothing was held out."""

    train: Scores
    val: Scores | None
    test: Scores | None
    test_averaged: Scores | None  # over the views of recipe.score.average
    epochs: int  # trained
    selected_epoch: int  # whose weights were scored
    train_s: float  # optimisation only, without evaluation
    eval_s: float  # evaluation after each epoch

    @property
    def val_accuracy(self) -> float | None:
        """A fraction; None where nothing was held out."""
        return self.val.accuracy if self.val else None

    @property
    def test_accuracy(self) -> float | None:
        """A fraction; None if the test set was not read."""
        return self.test.accuracy if self.test else None


class Cost(Record):
    """Measured alone on a machine, in a short calibration in a process of its own."""

    train_images_per_s: float | None  # None where the training is a single step
    latency_1_s: float  # median prediction of one image
    latency_250_s: float  # median prediction of a batch of 250
    peak_memory_bytes: int | None  # in training: the process's, Python, PyTorch and images counted; on CUDA the GPU's
    threads: int
    device: str
    machine: str  # processor, cores, torch
