"""The training loop. It yields facts, and hands out its state as plain arrays when asked.

No disk, no logger, no progress bar, no test set: who wants those iterates over `fit` and stops when it likes.

    for snapshot in fit(recipe, train, val, seed=0):
        print(snapshot.epoch.val_accuracy)
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fittingroom.augment import AUGMENTATIONS, pipeline
from fittingroom.data import Images
from fittingroom.data.pixels import Rows, chunks, take
from fittingroom.metrics.metric import ACCURACY, LOG_LOSS
from fittingroom.models import build
from fittingroom.models.neighbours import apart, learn_by_heart
from fittingroom.spec.errors import FittingroomError, NotFinite
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import Epoch
from fittingroom.spec.registry import is_ours
from fittingroom.training.arrays import load_arrays, to_arrays
from fittingroom.training.graph import Graphed
from fittingroom.training.optim import Optimizer
from fittingroom.training.predict import batches, predict, to_float
from fittingroom.training.schedule import lr_factor
from fittingroom.training.start import Start, depths, frozen, head_first, kept_norms, start_from
from fittingroom.training.team import ALONE, Alone
from fittingroom.training.trunk import Predictor, predict_rest, trunk_of, view_of, views_of

# training images on which the clean accuracy of an epoch is taken: its standard error is under 0.7 points
CLEAN_N = 5_000
State = Mapping[str, np.ndarray]  # of a training, by name: networks, optimizer, epoch
Tick = Callable[[int, Tensor], None]  # images done in this epoch, loss sum so far (still on the device)


@dataclass(frozen=True)
class Snapshot:
    """The end of an epoch: its facts, and the training's state, valid until the next epoch begins."""

    epoch: Epoch
    model: nn.Module  # the one to score: with averaged weights where the recipe averages
    logits: Mapping[str, np.ndarray]  # what it says (N,K) of "clean", a sample of what it learned from, and of "val"
    state: Callable[[], State]  # everything that a resume needs

    def weights(self) -> dict[str, np.ndarray]:
        """The scored model's parameters and buffers by name."""
        return to_arrays(self.model)


def fit(
    recipe: Recipe,
    train: Images,
    val: Images | None,
    *,
    seed: int,
    device: str = "cpu",
    start: Start | State | None = None,
    tick: Tick = lambda images, loss_sum: None,
    team: Alone = ALONE,
) -> Iterator[Snapshot]:
    """Train `recipe` (resolved: its precision is not "auto") and yield a `Snapshot` after each epoch.

    `start` is what it begins with: trained weights (for a recipe with `model.init`), or the `Snapshot.state()` of a training
    that was interrupted. `team` are the processes that share the training: each calls `fit` with the same arguments and
    yields the same snapshots.

    An epoch's randomness (order, augmentation, dropout) is a function of `seed` and the epoch's number, so a training
    resumed from `Snapshot.state()` gives the same bytes as one that was never interrupted.

    Raises `NotFinite` when the loss is NaN or infinite: on a CPU before that step's update, on other devices
    at the end of the epoch (one look a step would stall them); the state handed out before stays good.

    >>> from fittingroom.spec.read import read_recipe
    >>> rng = np.random.default_rng(0)
    >>> images = Images(rng.integers(0, 255, (64, 1, 28, 28), np.uint8), rng.integers(0, 10, 64), tuple("0123456789"))
    >>> recipe = read_recipe("readme-004-mlp", ["train.epochs=2", "train.precision=fp32"])
    >>> [s.epoch.epoch for s in fit(recipe, images, None, seed=0)]
    [1, 2]
    """
    assert recipe.train.precision != "auto"
    if recipe.model.init and start is None:
        raise FittingroomError(f"model.init = {recipe.model.init}: no weights were handed over to start from")
    spec, n, k = recipe.train, len(train), len(train.classes)
    model = network(recipe, train, seed)
    if isinstance(start, Start):
        if recipe.model.head_epochs:
            *_, last = fit(head_first(recipe), train, None, seed=seed, device=device, start=start, team=team)
            start = Start(last.weights(), train.classes)
        start_from(model, start.weights, start.classes == train.classes)
    model = model.to(device)
    still = [*frozen(model, recipe.model), *kept_norms(model, recipe.model)]
    if start is None or isinstance(start, Start):
        learn_by_heart(model, lambda: Predictor(recipe, model, device)(train), torch.from_numpy(train.labels_N))
    averaged = copy.deepcopy(model) if spec.ema else None
    scored = averaged or model
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = Optimizer(recipe.optimizer, parameters, depths(model))
    augment = pipeline(recipe.augment)
    labels = torch.from_numpy(train.labels_N).to(device)
    clean = clean_sample(train)
    weight_K = class_weights(labels, k, spec.balance_power)
    even = spec.balance != "loss"
    weight_N = weight_K[labels] if spec.balance == "sampling" else None
    steps_per_epoch = math.ceil(n / spec.batch_size)
    first_epoch = 1
    if start is not None and not isinstance(start, Start):
        first_epoch = int(start["epoch"]) + 1
        _load(start, model, averaged, optimizer)
    # now that the weights are those that the training goes on with
    views = views_of(recipe) if team is ALONE else None
    trunk = trunk_of(model, still, train.shape, n, device) if views else None
    batch_of = batches(train.images_NCHW, device) if trunk is None else lambda rows: rows
    given = trunk.given(train, views) if trunk and views else None  # (V,N,…)
    # once, not at each epoch; the clean sample is a part of what is given already
    plain: dict[int, tuple[Tensor, Tensor | None]] = {id(val): (trunk.given(val)[0], None)} if trunk and val else {}
    if given is not None:
        plain[id(clean)] = given[0], torch.from_numpy(clean_rows(train)).to(device)
    learner, scorer = (trunk.rest(model), trunk.rest(scored)) if trunk else (model, scored)

    def state() -> State:
        parts = {"model": to_arrays(model), "optimizer": optimizer.arrays()}
        if averaged is not None:
            parts["averaged"] = to_arrays(averaged)
        flat = {f"{part}/{name}": value for part, arrays in parts.items() for name, value in arrays.items()}
        return flat | {"epoch": np.array(number)}

    def score(some: Images) -> np.ndarray:
        if trunk:
            return predict_rest(scorer, *plain[id(some)])
        return team.each(len(some), lambda part: predict(scored, take(some.images_NCHW, part), device))

    def look(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A batch as it is learned from: augmented; where frozen layers come first, what they give of such a view."""
        if given is None:
            return augment(to_float(images), targets, generator)
        view, targets = view_of(recipe, len(images), targets, generator)
        return given[view, images], targets

    def learn(images: Tensor, target_N: Tensor, factor: float | Tensor, decay: float | Tensor) -> None:
        """One step on a batch of bytes; what it brings is added to `totals`."""
        batch, targets = look(images, F.one_hot(target_N, k).float())
        mine, counts = team.part(len(images))
        batch, targets, target_N = batch[mine], targets[mine], target_N[mine]
        with torch.autocast(device, torch.bfloat16, enabled=spec.precision == "bf16"):
            logits = learner(batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch)
        loss = F.cross_entropy(
            logits.float(), targets, label_smoothing=spec.label_smoothing, reduction="mean" if even else "none"
        )
        if not even:  # by image: torch's class weights would pull every smoothed target to the rare classes
            loss = (loss * (targets @ weight_K)).mean()
        share = counts * len(batch) / len(images)
        (loss if share == 1 else loss * share).backward()
        with torch.no_grad():
            facts = torch.stack([loss * len(batch), (logits.argmax(1) == target_N).sum().float()]) * counts
        facts = team.add_up(parameters, facts)
        if device == "cpu" and not math.isfinite(facts[0].item()):
            raise _not_finite(number, i + 1, recipe)
        if spec.clip_norm:
            nn.utils.clip_grad_norm_(parameters, spec.clip_norm)
        optimizer.step(factor)
        for parameter in parameters:
            parameter.grad = None
        if averaged is not None:
            _average(averaged, model, decay)
        totals.add_(facts)  # on the device: the host does not wait

    generator = torch.Generator(device)
    totals = torch.zeros(2, device=device)  # summed loss, images recognised
    graphed = device == "cuda" and team is ALONE and trunk is None and recordable(recipe, train)
    take_step = Graphed(learn, generator) if graphed else learn
    for number in range(first_epoch, spec.epochs + 1):
        started = time.perf_counter()
        learner.train()
        for module in still:
            module.training = False  # not eval(), which would reach the modules inside it, too
        order = shuffled(n, seed, number, generator, weight_N, team.rank)
        totals.zero_()
        steps = range((number - 1) * steps_per_epoch, number * steps_per_epoch)
        factors = [lr_factor(recipe.schedule, step, spec.epochs * steps_per_epoch, steps_per_epoch) for step in steps]
        decays = [min(spec.ema, (1 + step) / (10 + step)) for step in steps]  # young averages forget faster
        pace = torch.tensor([factors, decays], device=device) if graphed else (factors, decays)
        for i, (rows, *at) in enumerate(zip(order.split(spec.batch_size), *pace, strict=True)):
            if len(rows) == 1 < min(n, spec.batch_size):
                break  # a last image alone has no variance for BatchNorm
            take_step(batch_of(rows), labels[rows], *at)
            tick(min((i + 1) * spec.batch_size, n), totals[0])
        team.agree(model)
        if averaged is not None:
            team.agree(averaged)
        train_loss, train_accuracy = (total / n for total in totals.tolist())
        trained = time.perf_counter()
        with apart(scored):
            clean_logits = score(clean)
        # the last step's update can be the bad one
        if not (math.isfinite(train_loss) and np.isfinite(clean_logits).all()):
            raise _not_finite(number, None, recipe)
        val_logits = score(val) if val else None
        yield Snapshot(
            Epoch(
                epoch=number,
                lr=recipe.optimizer.lr * factors[i],
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                clean_loss=LOG_LOSS.score(clean_logits, clean.labels_N),
                clean_accuracy=ACCURACY.score(clean_logits, clean.labels_N),
                clean_n=len(clean),
                val_loss=LOG_LOSS.score(val_logits, val.labels_N) if val and val_logits is not None else None,
                val_accuracy=ACCURACY.score(val_logits, val.labels_N) if val and val_logits is not None else None,
                train_s=trained - started,
                eval_s=time.perf_counter() - trained,
            ),
            scored,
            {"clean": clean_logits} | ({} if val_logits is None else {"val": val_logits}),
            state,
        )


def class_weights(labels_N: Tensor, k: int, power: float) -> Tensor:
    """What an image of each of `k` classes counts (K,) float32: the less, the more images its class has; 1 on average.

    With `power` 1 all classes count the same as a whole; with less, the rare ones count less than that.

    >>> class_weights(torch.tensor([0, 0, 0, 1]), 2, 1.0).tolist()
    [0.6666666865348816, 2.0]
    """
    raw_K = torch.bincount(labels_N, minlength=k).clamp(min=1).float() ** -power
    return raw_K / raw_K[labels_N].mean()


def shuffled(
    n: int, seed: int, epoch: int, generator: torch.Generator, weight_N: Tensor | None = None, rank: int = 0
) -> Tensor:
    """The order of an epoch's `n` images; seeds `generator`, which the epoch's augmentation goes on with, and torch's own.

    With weights, `n` images are drawn with replacement, each with a chance in proportion to its weight.

    The two numbers are mixed as in SplitMix, so that neighbours don't share streams. Those who share a training differ
    (`rank`) in dropout alone.
    """
    mixed = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9) % (1 << 62)
    generator.manual_seed(mixed)
    # torch's own function looks for accelerators each time, which takes longer than a small epoch
    (torch.default_generator if generator.device.type == "cpu" else torch).manual_seed(mixed + 1 + rank)
    if weight_N is not None:
        return torch.multinomial(weight_N, n, replacement=True, generator=generator)
    return torch.randperm(n, generator=generator, device=generator.device)


def recordable(recipe: Recipe, train: Images) -> bool:
    """Whether a step of this training may be recorded as a CUDA graph and replayed.

    Not with a network or an augmentation of one's own, which may decide something in Python at every step, nor with images
    that are read from disk as they are needed.
    """
    own = recipe.model.kind == "python" or not all(is_ours(AUGMENTATIONS[spec.kind]) for spec in recipe.augment)
    return not own and not isinstance(train.images_NCHW, Rows)


def network(recipe: Recipe, train: Images, seed: int) -> nn.Module:
    """The untrained network of a recipe, with the training images' mean and deviation inside."""
    channels, height, width = train.shape
    if recipe.model.init:  # whose weights bring theirs
        return build(recipe.model, train.shape, len(train.classes), seed=seed)
    each = len(train) * height * width
    # of whole numbers below 2**53, so without rounding
    sum_C, sum_of_squares_C = np.zeros(channels), np.zeros(channels)
    for part in chunks(train.images_NCHW):
        values = part.reshape(len(part), channels, -1)
        sum_C += values.sum((0, 2), dtype=np.float64)
        sum_of_squares_C += np.einsum("nci,nci->c", values, values, dtype=np.float64)
    mean_C = sum_C / each / 255
    square_C = sum_of_squares_C / (255.0**2 * each)
    sd_C = np.sqrt(np.maximum(square_C - mean_C**2, 0))
    sd_C[sd_C < 1e-3] = 1.0  # a constant channel is left as it is
    return build(recipe.model, train.shape, len(train.classes), seed=seed, mean_C=mean_C, sd_C=sd_C)


def clean_sample(train: Images) -> Images:
    """The fixed sample of training images on which the clean accuracy is taken."""
    return train.take(clean_rows(train))


def clean_rows(train: Images) -> np.ndarray:
    """Which training images these are."""
    return np.random.default_rng(0).permutation(len(train))[:CLEAN_N]


def restore(recipe: Recipe, weights: dict[str, np.ndarray], like: Images, device: str = "cpu") -> nn.Module:
    """A trained network from stored weights, for images and classes like those of `like`, in evaluation mode."""
    model = build(recipe.model, like.shape, len(like.classes)).to(device)
    load_arrays(model, weights)
    model.eval()
    return model


def scored_weights(state: State) -> dict[str, np.ndarray]:
    """The weights to score out of `Snapshot.state()`: the averaged ones where there are any."""
    return _part(state, "averaged") or _part(state, "model")


def _load(state: State, model: nn.Module, averaged: nn.Module | None, optimizer: Optimizer) -> None:
    load_arrays(model, _part(state, "model"))
    if averaged is not None:
        load_arrays(averaged, _part(state, "averaged"))
    optimizer.load(_part(state, "optimizer"))


def _part(state: State, name: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{name}/"): value for key, value in state.items() if key.startswith(f"{name}/")}


@torch.no_grad()
def _average(averaged: nn.Module, model: nn.Module, decay: float | Tensor) -> None:
    """Exponential moving average of parameters; buffers (BatchNorm's statistics) are averages already and are copied."""
    old: list[Tensor] = list(averaged.parameters())
    new: list[Tensor] = list(model.parameters())
    if isinstance(decay, Tensor):
        torch._foreach_lerp_(old, new, [1 - decay] * len(old))
    else:
        torch._foreach_lerp_(old, new, 1 - decay)
    for statistic, latest in zip(averaged.buffers(), model.buffers(), strict=True):
        statistic.copy_(latest)


def _not_finite(epoch: int, step: int | None, recipe: Recipe) -> NotFinite:
    place = f"epoch {epoch}" + (f", step {step}" if step else "")
    lower = recipe.optimizer.lr / 10
    return NotFinite(
        f"the loss became NaN or infinite in {place}; the weights of the epoch before are untouched; "
        f"try: optimizer.lr={lower:g}, or train.clip_norm=1, or train.precision=fp32"
    )
