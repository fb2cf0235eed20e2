"""One job from start to DONE, resumable at every moment. Scores the test set once, at the end."""

from __future__ import annotations

import contextlib
import datetime
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor

from fittingroom.augment import pipeline
from fittingroom.data import Dataset, Images, fold_of, prepare, reload
from fittingroom.data.pixels import shrunk
from fittingroom.metrics.scores import scores
from fittingroom.models.neighbours import apart
from fittingroom.spec.machine import cores
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import DataFacts, Environment, Epoch, Metrics
from fittingroom.store import RunFolder, Runs
from fittingroom.study.job import Job
from fittingroom.study.sharing import cpu_name
from fittingroom.training import fit, predict, prepare_process
from fittingroom.training.device import device_name
from fittingroom.training.fit import Tick, clean_sample, restore, scored_weights
from fittingroom.training.predict import to_float
from fittingroom.training.select import selected, selected_epoch
from fittingroom.training.start import Start
from fittingroom.training.team import ALONE, Alone
from fittingroom.training.trunk import KEPT, Predictor

TICK_S = 0.1  # between two signs of life inside an epoch
THUMBNAIL_BYTES = 512 << 20  # of test images that are kept beside the runs; more are kept smaller
VIEWS = 5  # augmented views of each sample image


class _Pace:
    """When a training's state is written: after its first epoch, then as often as takes a tenth of the time.

    Small networks train faster than they are written; what a kill loses is made again, to the same bytes.
    """

    def __init__(self) -> None:
        self.ended, self.took_s = -math.inf, 0.0

    @contextlib.contextmanager
    def due(self) -> Iterator[bool]:
        """Whether to write now, inside."""
        started = time.monotonic()
        due = started - self.ended >= 9 * self.took_s
        yield due
        if due:
            self.ended = time.monotonic()
            self.took_s = self.ended - started


@dataclass(frozen=True)
class Update:
    """A sign of life of one run: `images` of `of` are done in epoch `epoch`; `record` comes with a finished epoch."""

    epoch: int
    images: int
    of: int
    loss: float | None
    record: Epoch | None = None
    said: str = ""  # what a person has to know


Listen = Callable[[Update], None]


def execute(job: Job, runs: Runs, *, at_once: int = 1, listen: Listen = lambda update: None) -> RunFolder:
    """Train and score `job`, going on after its last whole epoch if it was interrupted; the finished run.

    A finished run is given back as it is (but scored on test now, if it was not and `job` asks for it).
    Raises `NotFree` if another process trains it, `NotFinite` if the loss does not stay finite.
    """
    run = job.folder(runs)
    if is_finished(run, job):
        return run
    with run.lock():
        if not is_finished(run, job):  # another process may have been faster
            KEPT.folder = job.home_dir / "features"
            prepare_process(run.environment.threads if run.epochs else job.threads)
            whole = reload(job.recipe.data.name, job.data_digest, job.home_dir)
            if job.recipe.model.freeze:
                _ = whole.train.prints_N  # once, not in each part of it
            data = fold_of(whole, job.recipe.data)
            if not run.done:
                train_run(job, run, material(job, data), start_of(job, run), at_once, listen)
            if needs_test(job, run):
                test = unlock_test(job, run, runs, data)
                record_test(run, runs, data.digest, test, test_logits(job, run.weights, test))
            run.finish()
    return run


def is_finished(run: RunFolder, job: Job) -> bool:
    """Whether `run` holds all that `job` asks for. Raises `Damaged` if it holds what another one asked for."""
    if not run.done:
        return False
    run.refuse_another(job.identity["digest"])
    return not needs_test(job, run)


def needs_test(job: Job, run: RunFolder) -> bool:
    """Whether a trained run still has to meet the test set."""
    return job.score_test and run.metrics.test is None


@dataclass(frozen=True)
class Material:
    """What a training may see: no test image."""

    train: Images
    val: Images | None
    facts: DataFacts


def material(job: Job, data: Dataset) -> Material:
    """What `job` trains and validates on, out of its data set."""
    train, val = prepare(data, job.recipe.data)
    facts = data_facts(data, job.recipe, train, val)
    return Material(train, val, facts)


def start_of(job: Job, run: RunFolder) -> Start | None:
    """The trained weights that a run of `job` begins with; None where it begins with none, or has begun."""
    return job.initial.read() if job.initial and not run.saved_epochs else None


def train_run(
    job: Job, run: RunFolder, given: Material, start: Start | None, at_once: int, listen: Listen, team: Alone = ALONE
) -> None:
    """All of a run but its test score: epochs, checkpoints, chosen weights, predictions on validation, metrics.

    Of a `team`, each process does this in a folder of its own, to the same end.
    """
    recipe, train, val = job.recipe, given.train, given.val
    begun = bool(run.saved_epochs or run.epochs)
    if begun and (run.path / "run.json").exists():  # a missing one is told of by the state that is gone on with
        run.refuse_another(job.identity["digest"])
    checkpoint = run.checkpoint(lambda line: listen(_said(line, len(train))))
    if not checkpoint:
        if begun:
            listen(_said(f"{run.path} has no state that is whole; it starts over", len(train)))
        run.clear()
        asked = job.identity | {"score_test": job.score_test}  # no part of the digest: who resumes has to know
        run.begin(recipe, asked, environment(job.device, job.threads, at_once, team.size), given.facts, job.structure)
        run.write_npz("samples", samples(recipe, train))
    run.keep_epochs(checkpoint.epochs if checkpoint else "")
    epochs = run.epochs
    tick = _ticker(listen, epochs, len(train))
    snapshots = fit(
        recipe,
        train,
        val,
        seed=job.seed,
        device=job.device,
        start=checkpoint.state if checkpoint else start,
        tick=tick,
        team=team,
    )
    best = recipe.train.select == "best_val"
    weights = {} if not checkpoint else checkpoint.best if best else scored_weights(checkpoint.state)
    last, pace = None, _Pace()
    said: Mapping[str, np.ndarray] = {}  # what these weights say, where this process has heard it
    for snapshot, keep in selected(snapshots, recipe.train, tuple(epochs)):
        epochs.append(snapshot.epoch)
        last = snapshot
        if best and keep:
            weights = snapshot.weights()
        if keep:
            # another batch may round otherwise: of a team each scores a part, of frozen layers a resumed training has the outputs
            said = snapshot.logits if team is ALONE and not recipe.model.freeze else {}
        with pace.due() as due:
            run.append(snapshot.epoch, lasting=due)
            if due:  # last: what comes before it is made again if this is missing
                run.write_checkpoint(snapshot.state(), weights if best else {})
        listen(Update(snapshot.epoch.epoch, len(train), len(train), snapshot.epoch.train_loss, snapshot.epoch))
    if last and not best:
        weights = last.weights()
    run.write_weights(weights)
    clean = clean_sample(train)
    if not said:
        say = Predictor(recipe, restore(recipe, weights, train, job.device), job.device)
        with apart(say.model):
            said = {"clean": say(clean)}
        said |= {"val": say(val)} if val else {}
    predictions = {"val_logits": said["val"], "val_labels": val.labels_N} if val else {}
    if val and val.groups_N is not None:
        predictions["val_groups"] = val.groups_N
    run.write_npz("predictions", predictions)
    run.write_metrics(
        Metrics(
            train=scores(said["clean"], clean.labels_N),
            val=scores(predictions["val_logits"], predictions["val_labels"]) if val else None,
            test=None,
            test_averaged=None,
            epochs=len(epochs),
            selected_epoch=selected_epoch(recipe.train, epochs),
            train_s=sum(e.train_s for e in epochs),
            eval_s=sum(e.eval_s for e in epochs),
        )
    )


def unlock_test(job: Job, run: RunFolder, runs: Runs, data: Dataset) -> Images:
    """The test images, for scoring the run's chosen weights, once: the reading is logged before it happens."""
    held_out = job.recipe.data.folds and job.recipe.data.fold_is == "test"  # training images stand in for the test set
    announce = partial(runs.log_test_read, run.name, data.name, data.digest)
    return data.test.unlock((lambda: None) if held_out else announce)


def test_logits(job: Job, weights: dict[str, np.ndarray], test: Images) -> dict[str, np.ndarray]:
    """What the weights say of the test images, plain and, where the recipe asks for it, averaged over views."""
    model = restore(job.recipe, weights, test, job.device)
    logits = {"test": Predictor(job.recipe, model, job.device)(test)}
    if job.recipe.score.average != "none":
        logits["test_averaged"] = predict(model, test, job.device, job.recipe.score)
    return logits


def record_test(run: RunFolder, runs: Runs, digest: str, test: Images, logits: dict[str, np.ndarray]) -> None:
    """Write what the test images brought, and keep small copies of them for reports."""
    kept, groups_N = run.predictions("val"), run.design("val").groups_N
    arrays = {"val_logits": kept[0], "val_labels": kept[1]} if kept else {}
    arrays |= {"val_groups": groups_N} if groups_N is not None else {}
    for split, values in logits.items():
        arrays |= {f"{split}_logits": values, f"{split}_labels": test.labels_N}
    if test.groups_N is not None:
        arrays["test_groups"] = test.groups_N
    run.write_npz("predictions", arrays)
    if not runs.thumbnails_file(digest).exists():
        runs.write_thumbnails(digest, shrunk(test.images_NCHW, THUMBNAIL_BYTES), test.names_N)
    run.write_metrics(
        run.metrics.model_copy(update={name: scores(values, test.labels_N) for name, values in logits.items()})
    )


def samples(recipe: Recipe, train: Images) -> dict[str, np.ndarray]:
    """One image of each class (K,C,H,W), and `VIEWS` views of each as training sees them (K·VIEWS,C,H,W), all uint8."""
    _, first = np.unique(train.labels_N, return_index=True)
    plain = train.take(first).images_NCHW[:]
    views = to_float(torch.from_numpy(np.repeat(plain, VIEWS, axis=0)))
    targets = torch.nn.functional.one_hot(torch.from_numpy(np.repeat(train.labels_N[first], VIEWS))).float()
    augmented, _ = pipeline(recipe.augment)(views, targets, torch.Generator().manual_seed(0))
    return {"plain": plain, "augmented": (augmented * 255).round().clamp(0, 255).to(torch.uint8).numpy()}


def environment(device: str, threads: int, at_once: int, workers: int = 1) -> Environment:
    """This machine and these versions. No host name, no user name: run folders are shared."""
    return Environment(
        fittingroom=version("fittingroom"),
        python=platform.python_version(),
        torch=torch.__version__,
        platform=platform.platform(),
        cpu=cpu_name(),
        cores=cores(),
        device=device,
        device_name=device_name(device),
        threads=threads,
        at_once=at_once,
        workers=workers,
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def data_facts(data: Dataset, recipe: Recipe, train: Images, val: Images | None) -> DataFacts:
    """What `recipe` trains, validates and is scored on, out of `data`."""
    n_train, n_val = len(train), len(val) if val else 0
    by_fold = recipe.data.folds and recipe.data.fold_is == "val"
    part = f"part {recipe.data.fold + 1} of {recipe.data.folds}, " if by_fold else ""
    held_out = (
        f"{n_val:,} of train held out for validation, {part}stratified, near duplicates on one side, "
        f"split seed {recipe.data.split_seed}"
    )
    if val and val.groups_N is not None and train.groups_N is not None:
        whole = len(np.unique(np.concatenate([train.groups_N, val.groups_N])))
        held_out += f"; {len(np.unique(val.groups_N)):,} of {whole:,} groups ({recipe.data.group}), none divided"
    left_out = len(recipe.data.exclude)
    return DataFacts(
        name=data.name,
        title=data.title,
        digest=data.digest,
        classes=data.classes,
        shape=data.train.shape,
        n_train=n_train,
        n_val=n_val,
        n_test=data.test.n,
        may_flip=data.may_flip,
        split=(held_out if n_val else "no validation part") + (f"; {left_out:,} images left out" if left_out else ""),
        acquired=data.acquired,
        group=recipe.data.group or "",
        n_test_groups=data.test.n_groups,
    )


def _said(line: str, of: int) -> Update:
    return Update(0, 0, of, None, said=line)


def _ticker(listen: Listen, epochs: list[Epoch], of: int) -> Tick:
    """Passes on what `fit` ticks, a few times a second: reading the loss makes an accelerator wait."""
    last = time.monotonic()

    def tick(images: int, loss_sum: Tensor) -> None:
        nonlocal last
        if time.monotonic() - last >= TICK_S:
            listen(Update(len(epochs) + 1, images, of, loss_sum.item() / images))
            last = time.monotonic()

    return tick
