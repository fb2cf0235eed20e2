"""Several processes that share a training agree with each other bit for bit, and with one that does it alone in its digits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from waiting import PATIENCE_S

from fittingroom.data import Images
from fittingroom.spec.read import read_recipe
from fittingroom.training import fit
from fittingroom.training.fit import network, shuffled
from fittingroom.training.predict import to_float
from fittingroom.training.team import Team, normalisations

pytestmark = pytest.mark.slow  # three processes that train together
CASES = {  # 600 images: the last batches have 44, 12 and 3
    "dense": ["readme-004-mlp", "model.layers.3.dropout=0"],
    "with everything": [
        "readme-004-mlp", "model.layers.3.dropout=0", "train.batch_size=98", "train.label_smoothing=0.1", "train.ema=0.9",
        "train.clip_norm=1", "train.balance=loss", 'augment=[{kind="hflip"}, {kind="shift", pixels=2}, {kind="mixup"}]',
    ],
    "a tiny last batch": ["readme-004-mlp", "model.layers.3.dropout=0", "train.batch_size=199", "train.balance=sampling"],
    "dropout": ["readme-004-mlp"],
    "one step": [
        "readme-004-mlp", "train.batch_size=600", "train.epochs=1", "train.precision=fp32",
        'model={kind="sequential", layers=[{flatten=true}, {dense=16}, {norm="batch"}, {act="relu"}]}',
    ],
    "BatchNorm": ["fast-fashion", "train.batch_size=96", "train.ema=0.9"],
}  # fmt: skip
EXACT = ["dense", "with everything", "a tiny last batch"]  # what one process alone would compute, but for rounding
SIZE = 3
RANK = """
import sys
import numpy as np, torch
from fittingroom.data import Images
from fittingroom.spec.read import read_recipe
from fittingroom.training import fit
from fittingroom.training.team import Team
rank, size = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method="file://" + sys.argv[3], rank=rank, world_size=size)
given = np.load("images.npz")
train, val = (Images(given[p + "_images"], given[p + "_labels"], tuple("0123456789")) for p in ("train", "val"))
for case in {CASES!r}.items():
    name, words = case
    recipe = read_recipe(words[0], ["train.epochs=2", "train.precision=fp32", *words[1:]])
    states = []
    for snapshot in fit(recipe, train, val, seed=5, team=Team(rank, size)):
        states.append({{key: value.copy() for key, value in snapshot.state().items()}})
    if len(states) > 1:  # cut after an epoch and gone on with, it is the same
        *_, again = fit(recipe, train, val, seed=5, team=Team(rank, size), start=states[-2])
        for key, value in again.state().items():
            assert value.tobytes() == states[-1][key].tobytes(), key
    facts = [getattr(snapshot.epoch, fact) for fact in {FACTS!r}]
    np.savez(f"{{name}} {{rank}}.npz", facts=facts, **snapshot.state())
"""
FACTS = ["train_loss", "train_accuracy", "clean_loss", "clean_accuracy", "val_loss", "val_accuracy"]


@pytest.fixture(scope="module")
def shared(few: tuple[Images, Images], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what each of `SIZE` processes had at the end of every case."""
    folder = tmp_path_factory.mktemp("team")
    train, val = few
    np.savez(
        folder / "images.npz", train_images=train.images_NCHW, train_labels=train.labels_N,
        val_images=val.images_NCHW, val_labels=val.labels_N,
    )  # fmt: skip
    script = RANK.format(CASES=CASES, FACTS=FACTS)
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(rank), str(SIZE), str(folder / "meeting")], cwd=folder,
            env=environment, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(SIZE)
    ]  # fmt: skip
    said = [process.communicate()[1] for process in processes]
    assert not any(process.returncode for process in processes), said
    return folder


def at_the_end(folder: Path, case: str, rank: int) -> dict[str, np.ndarray]:
    return dict(np.load(folder / f"{case} {rank}.npz"))


@pytest.mark.parametrize("case", CASES)
def test_all_have_the_same_network_and_the_same_facts(case: str, shared: Path) -> None:
    first = at_the_end(shared, case, 0)
    for rank in range(1, SIZE):
        other = at_the_end(shared, case, rank)
        assert first.keys() == other.keys()
        for name, value in first.items():
            assert value.tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_one_alone_computes(case: str, shared: Path, few: tuple[Images, Images]) -> None:
    words = CASES[case]
    recipe = read_recipe(words[0], ["train.epochs=2", "train.precision=fp32", *words[1:]])
    *_, last = fit(recipe, *few, seed=5)
    together, alone = at_the_end(shared, case, 0), last.state()
    facts = together.pop("facts")
    near = all(
        np.allclose(value, together[name], rtol=1e-3, atol=1e-4)
        for name, value in alone.items()
        if name.startswith("model/")
    )
    assert near == (case in EXACT)  # other dropout masks, and other statistics of the batch, give other weights
    tolerance = 1e-3 if case in EXACT else 0.5
    np.testing.assert_allclose(facts[0], last.epoch.train_loss, rtol=tolerance)
    np.testing.assert_allclose(facts[4], last.epoch.val_loss, rtol=tolerance)
    if case in EXACT:
        np.testing.assert_allclose(facts[[1, 3, 5]], [getattr(last.epoch, f) for f in FACTS[1::2]], atol=0.006)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_the_parts_of_a_batch_are_the_batch(size: int) -> None:
    for n in range(1, 40):
        parts = [Team(rank, size).part(n) for rank in range(size)]
        counted = np.zeros(n)
        for images, counts in parts:
            counted[images] += counts
        np.testing.assert_allclose(counted, 1.0)
        assert all(len(range(*images.indices(n))) >= min(2, n) for images, _ in parts)  # BatchNorm needs two


def test_batch_norm_keeps_the_mean_of_all_workers_statistics(shared: Path, few: tuple[Images, Images]) -> None:
    """One step, so that the statistics are those of the first network, worker by worker."""
    train = few[0]
    recipe = read_recipe(CASES["one step"][0], CASES["one step"][1:])
    order = shuffled(len(train), 5, 1, torch.Generator())
    seen = []
    for rank in range(SIZE):
        model = network(recipe, train, 5).train()
        images, _ = Team(rank, SIZE).part(len(train))
        model(to_float(torch.from_numpy(train.images_NCHW)[order[images]]))
        (layer,) = normalisations(model)
        seen.append(torch.stack([layer.running_mean, layer.running_var]))
    state = at_the_end(shared, "one step", 0)
    kept = np.stack([next(v for k, v in state.items() if k.endswith(f"running_{what}")) for what in ("mean", "var")])
    np.testing.assert_allclose(kept, torch.stack(seen).mean(0).numpy(), rtol=1e-5)
    assert not np.allclose(kept, seen[0].numpy(), rtol=1e-3)  # the first worker's alone


def test_a_process_that_fails_does_not_leave_the_others_waiting(few: tuple[Images, Images], tmp_path: Path) -> None:
    train, val = few
    np.savez(
        tmp_path / "images.npz", train_images=train.images_NCHW, train_labels=train.labels_N,
        val_images=val.images_NCHW, val_labels=val.labels_N,
    )  # fmt: skip
    script = RANK.format(CASES={"dense": CASES["dense"]}, FACTS=FACTS).replace(
        "        states.append", "        if rank == 1: raise OSError('no space left')\n        states.append"
    )
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    both = [
        subprocess.Popen([*command, rank, "2", str(tmp_path / "meeting")], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
        for rank in "01"
    ]  # fmt: skip
    said = [process.communicate(timeout=PATIENCE_S)[1] for process in both]
    assert "PeerLost" in said[0] and "no space left" in said[1]
