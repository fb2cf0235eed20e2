"""One run, one folder; many runs, one runs folder that counts every reading of a test set."""

from __future__ import annotations

import contextlib
import datetime
import functools
import io
import json
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import filelock
import numpy as np
import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as tensors_to_bytes

from fittingroom.spec.changes import told_apart
from fittingroom.spec.design import Design
from fittingroom.spec.errors import FittingroomError, NotFree, unknown
from fittingroom.spec.parse import toml_of
from fittingroom.spec.printable import printable
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import Cost, DataFacts, Environment, Epoch, Metrics, Structure
from fittingroom.store.atomic import append_line, atomic, explained, write
from fittingroom.store.bundles import BundleFolder
from fittingroom.store.seal import (
    Damaged,
    FileSeal,
    Seal,
    arrays_with_seal,
    first_line,
    json_with_seal,
    plain_bytes,
    read_seal,
    sealed_arrays,
    sealed_json,
    sealed_record,
    sealed_tensors,
    tensors_with_seal,
    written_seal,
)

T = TypeVar("T", bound=BaseModel)
Arrays = Mapping[str, np.ndarray]
Say = Callable[[str], None]


CHECKPOINT, BEFORE, OLD_BEST = "checkpoint.safetensors", "checkpoint-before.safetensors", "best.safetensors"
READS = "test_reads.jsonl"
MOST_TEXT = 256 << 20  # of a file of text
MOST_BYTES = 64 << 30  # of a file of a run; a network of sixteen billion parameters
HEAD = ("recipe.toml", "run.json", "env.json", "data.json", "structure.json")  # written before the first step
LOST = {
    "recipe.toml": "what was trained",
    "run.json": "its seed and digest",
    "env.json": "the machine it was trained on",
    "data.json": "what it was trained on",
    "structure.json": "its layers",
    "epochs.jsonl": "its curves",
    "weights.safetensors": "the trained network",
    "predictions.npz": "its answers",
    "samples.npz": "the sample pictures of its report",
    "metrics.json": "its scores",
}
UNSEALED = ("DONE", CHECKPOINT, BEFORE, OLD_BEST)
MADE_BY = {"stress.npz": "stress", "explain.npz": "explain", "features.npz": "explain", "deletion.json": "explain"}


@dataclass(frozen=True)
class Checkpoint:
    """A training after a whole epoch: all that it goes on with."""

    state: dict[str, np.ndarray]
    best: dict[str, np.ndarray]  # the weights to keep so far, where validation chooses them
    epochs: str  # the lines of `epochs.jsonl`


class RunFolder:
    """The plain files of one run. Readers trust nothing without `DONE`, which is written last, and seals all others.

    `recipe.toml run.json env.json data.json structure.json epochs.jsonl checkpoint.safetensors weights.safetensors
    predictions.npz samples.npz metrics.json DONE`. What is read of a finished run is what was written, or `Damaged` is raised.

    >>> RunFolder(Path("runs/none")).done
    False
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    # ------------------------------------------------------------ what a reader asks

    @property
    def done(self) -> bool:
        return (self.path / "DONE").exists()

    @property
    def seal(self) -> Seal | None:
        """What its files were when it ended; None while it trains, and for one of before there were seals."""
        path = f"{self.path}/DONE"  # looked at for every file that is read
        try:
            stamp = os.stat(path)  # noqa: PTH116 (Path.stat takes three times as long)
            return _seal(path, (stamp.st_mtime_ns, stamp.st_size, stamp.st_ino))
        except FileNotFoundError:
            return None
        except Damaged as error:
            raise self._damaged("DONE", error) from None

    def refuse_damaged(self) -> None:
        """Raises `Damaged` unless every file of a finished run is what it was."""
        seal = self.seal
        for name in dict.fromkeys([*seal.files, *MADE_BY, "cost.json"]) if seal else ():
            self._refuse_changed(name, self._content(name))

    def refuse_another(self, digest: str = "") -> None:
        """Raises `Damaged` if this folder holds the run of another digest; by default, than the one that it is named after."""
        own = str(self.seal.digest if self.seal else self.identity.get("digest"))
        named = re.search(r"_s\d+_([0-9a-f]{10})$", self.name)
        wanted = digest or (named[1] if named else "")
        if not own.startswith(wanted):
            held = f"{self.identity.get('recipe')}, seed {self.identity.get('seed')}, digest {own[:10]}"
            raise Damaged(
                f"{self.path} holds another run ({printable(held)}) than its name says; rename it, or train with --fresh"
            )

    def refuse_unfinished(self) -> None:
        """Raises `FittingroomError` unless the run is done, and the one that its folder is named after."""
        if self.done:
            self.refuse_another()
        else:
            raise FittingroomError(f"{self.path} is not finished; give the command that began it once more, it goes on")

    def refuse_held_out(self, command: str) -> None:
        """Raises `FittingroomError` for one part of a cross-validation, whose test images are training images."""
        part = self.recipe.data
        if part.folds and part.fold_is == "test":
            raise FittingroomError(
                f"{self.name} is part {part.fold + 1} of {part.folds} of a cross-validation and never saw the test set; "
                f"{command} takes a run of fittingroom train or compare"
            )

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def home(self) -> Runs:
        """The runs folder that it lies in."""
        return Runs(self.path.resolve().parent)

    @property
    def bundle(self) -> BundleFolder:
        """The run's model, ready for use, where `fittingroom export` was run."""
        return BundleFolder(self.path / "bundle")

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe, without claims and measured scores: those belong to a source, not to a run."""
        return recipe_of(self._bytes("recipe.toml"), self.path / "recipe.toml")

    @property
    def toml(self) -> str:
        """The recipe's file as text."""
        return self._bytes("recipe.toml").decode("utf-8", "replace")

    @property
    def identity(self) -> dict[str, Any]:
        """Seed, digest and the rest of `run.json`; `score_test` says whether it was begun to meet the test set."""
        return dict(self._json("run.json"))

    @property
    def part(self) -> str:
        """Which part of a study it is ("fold 2 of 5"), and means nothing by itself; "" for a run that stands alone."""
        recorded = self.identity.get("part")
        return self.recipe.data.fold_title if recorded is None else str(recorded)  # older runs do not say

    @property
    def seed(self) -> int:
        return int(self.identity["seed"])

    @property
    def environment(self) -> Environment:
        return self._record(Environment, "env.json")

    @property
    def data(self) -> DataFacts:
        return self._record(DataFacts, "data.json")

    @property
    def structure(self) -> Structure:
        return self._record(Structure, "structure.json")

    @property
    def metrics(self) -> Metrics:
        return self._record(Metrics, "metrics.json")

    @property
    def epochs(self) -> list[Epoch]:
        """The epochs so far, oldest first. A line cut off by a kill is not an epoch."""
        if not self.done and not (self.path / "epochs.jsonl").exists():
            return []
        try:
            return [Epoch.model_validate_json(line) for line in self._bytes("epochs.jsonl").split(b"\n")[:-1]]
        except ValidationError as error:
            raise self._damaged("epochs.jsonl", f"is damaged ({first_line(error)})") from None

    @property
    def saved_epochs(self) -> int:
        """After how many epochs an unfinished training goes on."""
        for name in (CHECKPOINT, BEFORE):  # none yet; a damaged one is told where it is read
            with contextlib.suppress(OSError, SafetensorError), safe_open(self.path / name, "numpy") as file:
                return int(file.get_tensor("epoch"))
        return 0

    def predictions(self, split: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Stored logits (N,K) float32 and labels (N,) int64 of "val", "test" or "test_averaged"; None if not scored."""
        wanted = f"{split}_logits", f"{split}_labels"
        found = self._npz("predictions.npz", wanted)
        if len(found) < 2:
            return None
        logits_NK, labels_N = found[wanted[0]], found[wanted[1]]
        k = len(self.data.classes)
        if not (
            logits_NK.dtype.kind == "f"
            and labels_N.dtype.kind in "iu"
            and logits_NK.shape == (*labels_N.shape, k)
            and labels_N.ndim == 1
            and np.isfinite(logits_NK).all()
            and bool(((labels_N >= 0) & (labels_N < k)).all())
        ):
            raise self._damaged(
                "predictions.npz",
                f"holds no answers to {split} images: {logits_NK.dtype} {logits_NK.shape} and {labels_N.shape}",
            )
        return logits_NK, labels_N

    def design(self, split: str = "test") -> Design:
        """What the images of "test" or "val" share: their groups, where some belong together (older runs keep test's only)."""
        return Design(self._npz("predictions.npz", (f"{split}_groups",)).get(f"{split}_groups"))

    def stressed(self) -> dict[str, np.ndarray] | None:
        """What `fittingroom stress` found: `version`, `kinds` (C,), `said` (C,S,N) and `labels` (N,); None if it was not run."""
        return self._npz("stress.npz") if (self.path / "stress.npz").exists() else None

    def explained(self) -> dict[str, np.ndarray]:
        """The arrays that `fittingroom explain` wrote. Raises `FittingroomError` if it was not run."""
        return self._npz("explain.npz")

    def features(self) -> np.ndarray | None:
        """What the network sees in its training images (N,D) float16; None if `fittingroom explain` was not run."""
        return self._npz("features.npz", ["train"])["train"] if (self.path / "features.npz").exists() else None

    def deletion(self) -> dict[str, Any] | None:
        """The deletion curve that `fittingroom explain` wrote; None if it was not run."""
        return dict(self._json("deletion.json")) if (self.path / "deletion.json").exists() else None

    def samples(self) -> dict[str, np.ndarray]:
        """Images of each class as they are (`plain`) and as training saw them (`augmented`), (R,C,H,W) uint8."""
        return self._npz("samples.npz")

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The trained network's tensors."""
        content = self._bytes("weights.safetensors")
        try:
            return sealed_tensors(content)
        except Damaged as error:
            raise self._damaged("weights.safetensors", error) from None

    def checkpoint(self, say: Say = lambda line: None) -> Checkpoint | None:
        """What an unfinished training goes on with: its last state that is whole; None where there is none (yet).

        `say` hears of a state that is not whole; it is forgotten.
        """
        for name in (CHECKPOINT, BEFORE):
            path = self.path / name
            try:
                arrays = sealed_tensors(plain_bytes(path, MOST_BYTES))
                about = json.loads(arrays.pop("about").tobytes()) if "about" in arrays else {}
                if about.pop("digest", None) not in (None, self.identity.get("digest")):
                    raise Damaged("is of another run")
                for head, was in about.items():
                    content = self._content(head)
                    if content is None or FileSeal.of(content).sha256 != was:
                        how = "is missing" if content is None else "is not what it was when its last state was written"
                        raise self._damaged(head, how)
                epochs = (
                    arrays.pop("epochs").tobytes().decode()
                    if "epochs" in arrays
                    else "".join(f"{epoch.model_dump_json()}\n" for epoch in self.epochs[: int(arrays["epoch"])])
                )
            except FileNotFoundError:
                continue
            except Damaged as error:
                if str(self.path) in str(error):
                    raise
                say(f"{path} {error}; going on from the state before it")
                self.forget(name)  # or it would become the state before the next
                continue
            best = {k.removeprefix("best/"): v for k, v in arrays.items() if k.startswith("best/")}
            if not best and (self.path / OLD_BEST).exists():  # begun by a fittingroom that kept them by themselves
                best = sealed_tensors((self.path / OLD_BEST).read_bytes())
            return Checkpoint({k: v for k, v in arrays.items() if not k.startswith("best/")}, best, epochs)
        return None

    # ------------------------------------------------------------ what a writer does

    def begin(
        self, recipe: Recipe, identity: Mapping[str, Any], env: Environment, data: DataFacts, structure: Structure
    ) -> None:
        """Write what is known before the first step. The recipe is the resolved one."""
        write(self.path / "recipe.toml", recipe_toml(recipe))
        write(self.path / "run.json", json.dumps(dict(identity), indent=2) + "\n")
        for name, record in {"env": env, "data": data, "structure": structure}.items():
            write(self.path / f"{name}.json", record.model_dump_json(indent=2) + "\n")

    def append(self, epoch: Epoch, *, lasting: bool = True) -> None:
        """Add an epoch's line; with `lasting` it, and those before it, survive a power cut."""
        append_line(self.path / "epochs.jsonl", epoch.model_dump_json(), lasting=lasting)

    def keep_epochs(self, lines: str) -> None:
        """Have these lines alone: a kill can come between an epoch's line and its checkpoint."""
        write(self.path / "epochs.jsonl", lines)

    def write_checkpoint(self, state: Arrays, best: Arrays) -> None:
        """Write all that the training goes on with, sealed; the state before it stays until the next one."""
        path = self.path / CHECKPOINT
        lines = (self.path / "epochs.jsonl").read_bytes()
        about = {name: FileSeal.of(self._content(name) or b"").sha256 for name in HEAD} | {
            "digest": self.identity["digest"]
        }
        content = tensors_with_seal(
            dict(state)
            | {f"best/{name}": value for name, value in best.items()}
            | {"epochs": np.frombuffer(lines, np.uint8), "about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
        )
        self.keep_before()
        write(path, content)

    def keep_before(self) -> None:
        """Make room for a new state of the training: the last one becomes the one before."""
        with explained(self.path), contextlib.suppress(FileNotFoundError):
            (self.path / CHECKPOINT).replace(self.path / BEFORE)

    def write_weights(self, weights: Arrays) -> None:
        """Write the trained network's tensors."""
        self._put("weights.safetensors", tensors_to_bytes({k: np.asarray(v, order="C") for k, v in weights.items()}))

    def write_npz(self, name: str, arrays: Arrays) -> None:
        """Write `name`.npz."""
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **arrays)
        self._put(f"{name}.npz", file.getvalue())

    def forget(self, name: str) -> None:
        """Remove a file that can be made again."""
        path = self.path / name
        with explained(path):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)

    def write_deletion(self, told: Mapping[str, Any]) -> None:
        """Write the deletion curve."""
        self._put("deletion.json", json.dumps(told).encode())

    @property
    def cost(self) -> Cost | None:
        """What the recipe costs, on the machine where that was measured last."""
        return self._record(Cost, "cost.json") if (self.path / "cost.json").exists() else None

    def write_cost(self, cost: Cost) -> None:
        self._put("cost.json", (cost.model_dump_json(indent=2) + "\n").encode())

    def write_metrics(self, metrics: Metrics) -> None:
        self._put("metrics.json", (metrics.model_dump_json(indent=2) + "\n").encode())

    def finish(self) -> None:
        """Declare the run done, seal it, and drop what only a resume needs."""
        seal = self.seal
        if seal:  # scored later
            self._write_seal(replace(seal, images=self._images()))
        else:
            self.seal_files()
        for name in (CHECKPOINT, BEFORE, OLD_BEST):
            (self.path / name).unlink(missing_ok=True)

    def seal_files(self) -> None:
        """Seal the files as they are now. Whoever asks for it has looked whether they agree."""
        metrics, identity = self.metrics, self.identity
        names = sorted(
            f.name for f in self.path.glob("*") if f.is_file() and f.name[0] != "." and f.name not in UNSEALED
        )
        self._write_seal(
            Seal(
                finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                digest=str(identity["digest"]),
                seed=int(identity["seed"]),
                epochs=metrics.epochs,
                images=self._images(),
                files={name: [FileSeal.of((self.path / name).read_bytes())] for name in names},
            )
        )

    def _images(self) -> dict[str, int]:
        scored = {"train": self.metrics.train, "val": self.metrics.val, "test": self.metrics.test}
        return {split: found.n for split, found in scored.items() if found}

    def clear(self) -> None:
        """Forget all that is there, so that training starts from nothing. `DONE` goes first."""
        (self.path / "DONE").unlink(missing_ok=True)
        for file in self.path.glob("*"):
            if file.name != ".lock" and file.is_file():
                file.unlink()
        for bundle in self.path.glob(f"{self.bundle.path.name}*/"):  # the quantized one, too
            shutil.rmtree(bundle, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Held while training, so that no two processes write one run."""
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / ".lock", timeout=0)
            try:
                lock.acquire()
            except filelock.Timeout:
                raise NotFree(f"another process is training {self.path}; wait for it, or stop it first") from None
        try:
            yield
        finally:
            lock.release()

    # ------------------------------------------------------------

    def _content(self, name: str) -> bytes | None:
        """What is in a file of this folder; None for none. Pipes, devices and folders are no files of ours."""
        try:
            return plain_bytes(self.path / name, MOST_BYTES)
        except FileNotFoundError:
            return None
        except Damaged as error:
            raise self._damaged(name, error) from None

    def _bytes(self, name: str) -> bytes:
        """What is in a file. Raises `Damaged` if that is not what was sealed, `FittingroomError` if it is not there."""
        content = self._content(name)
        self._refuse_changed(name, content)
        if content is None:
            raise FittingroomError(f"{self.path} has no {name}; is it a run folder? see: fittingroom runs")
        return content

    def _refuse_changed(self, name: str, content: bytes | None) -> None:
        seal, spare = self.seal, name in MADE_BY or name == "cost.json"  # which a person may delete
        try:
            if seal and not (content is None and spare):
                seal.refuse_changed(name, content)
        except Damaged as error:
            raise self._damaged(name, error) from None

    def _damaged(self, name: str, how: Exception | str) -> Damaged:
        """What is wrong with a file, what is lost with it, and how to have it again."""
        lost = f"; {LOST[name]} cannot be believed" if name in LOST else ""
        again = f"fittingroom runs {self.name} --delete --all, then the command that trained it (or with --fresh)"
        if name in MADE_BY:
            again = f"fittingroom {MADE_BY[name]} {self.name}"
        if name == "cost.json":
            again = "delete it, and ask with --costs"
        return Damaged(f"{self.path / name} {how}{lost}; to have it again: {again}")

    def _put(self, name: str, content: bytes) -> None:
        """Write a file; of a finished run its new seal, too, so that a kill at any moment leaves what is whole."""
        if not self.seal:
            write(self.path / name, content)
            return
        with explained(self.path), filelock.FileLock(self.path / ".seal.lock"):
            seal = self.seal  # as it is now that nobody else writes
            assert seal is not None
            old, new = seal.files.get(name, [None])[-1], FileSeal.of(content)
            self._write_seal(replace(seal, files={**seal.files, name: [old, new]}))
            write(self.path / name, content)
            self._write_seal(replace(seal, files={**seal.files, name: [new]}))

    def _write_seal(self, seal: Seal) -> None:
        write(self.path / "DONE", written_seal(seal))

    def _npz(self, name: str, wanted: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        content = self._bytes(name)
        try:
            return arrays_of(content, wanted)
        except Damaged as error:
            raise self._damaged(name, error) from None

    def _json(self, name: str) -> Any:
        content = self._bytes(name)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._damaged(name, f"is damaged ({first_line(error)})") from None
        if not isinstance(found, dict):
            raise self._damaged(name, "is damaged (it is no JSON object)")
        return found

    def _record(self, kind: type[T], name: str) -> T:
        tree = self._json(name)
        try:
            return kind.model_validate(tree)
        except ValidationError as error:
            raise self._damaged(name, f"is damaged ({first_line(error)})") from None


class Study(BaseModel):
    """Which runs answer which question: what `RUNS/studies/NAME.json` holds, so that it can be answered again."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)
    name: str = ""  # as its file is called; "": of before it was written down
    question: str = "compare"
    runs: tuple[str, ...]
    settings: dict[str, Any] = {}  # what the answer hangs on besides: the parts of an ablation, the steps of a transfer
    asked: dict[str, Any] = {}  # what decides, where somebody said so: the metric, an operating point
    plan: str = ""  # a digest of all that decides which runs these are, where it can be known without planning them


def _met_a_test_set(run: RunFolder) -> bool:
    """Whether a finished run was scored on the real test set; a damaged one is told of elsewhere."""
    try:
        return (
            run.done
            and run.metrics.test is not None
            and not (run.recipe.data.folds and run.recipe.data.fold_is == "test")
        )
    except FittingroomError:
        return False


class Runs:
    """A folder of run folders, with its log of test readings (`test_reads.jsonl`) and thumbnails of what was scored.

    >>> len(Runs(Path("no such folder")).list())
    0
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def list(self, parts: bool = True) -> list[RunFolder]:
        """Every run folder, finished or not, by name; without `parts`, none that is but a part of a study."""
        try:
            with os.scandir(self.path) as entries:
                found = sorted(entry.path for entry in entries if _is_run(entry.path))
        except (FileNotFoundError, NotADirectoryError):  # none yet
            found = []
        runs = (RunFolder(Path(folder)) for folder in found)
        return [run for run in runs if parts or not is_part(run)]

    def find(self, name: str, studies: Sequence[str] = ()) -> RunFolder:
        """A run by folder name, an unambiguous beginning of one, or a path; `FittingroomError` otherwise.

        A beginning means no part of a study. `studies`: names that could have been meant, too.
        """
        if (Path(name) / "run.json").exists():
            return RunFolder(Path(name))
        runs = self.list()
        matches = [r for r in runs if r.name == name] or [r for r in runs if r.name.startswith(name) and not is_part(r)]
        if len(matches) > 1:
            some = matches[:4]
            lines = [f"  {r.name}" for r in some]
            with contextlib.suppress(FittingroomError):  # a damaged one is told where it is read
                lines = [
                    f"  {r.name}  {words}".rstrip()
                    for r, words in zip(some, told_apart(r.recipe for r in some), strict=True)
                ]
            more = "\n  …" if len(matches) > 4 else ""
            raise FittingroomError(f'"{name}" could be {len(matches)} runs; name one:\n' + "\n".join(lines) + more)
        if not matches:
            kind, known = "run or study" if studies else "run", [*(r.name for r in runs), *studies]
            raise unknown(kind, name, known, f"fittingroom runs --runs {self.path}")
        return matches[0]

    def select(self, words: Sequence[str], unfinished: bool = False) -> tuple[Sequence[RunFolder], Runs]:
        """The runs that `words` name (studies by name or file, run folders, beginnings of names), each once.

        A beginning names finished and scored runs, with `unfinished` all. With them the runs folder that they lie in: it
        knows their test readings and pictures. Raises `FittingroomError`.
        """
        chosen: dict[str, RunFolder] = {}
        for word in words:
            study = self.study(word)
            begun = [
                r
                for r in ([] if study else self.list())
                if r.name.startswith(word) and not is_part(r) and (unfinished or (r.done and r.metrics.test))
            ]
            found = self.runs_of(study) if study else begun or [self.find(word, self.studies())]
            chosen |= {str(r.path.resolve()): r for r in found}
        homes = {r.path.resolve().parent for r in chosen.values()}
        return list(chosen.values()), Runs(homes.pop()) if len(homes) == 1 else self

    def delete(self, run: RunFolder) -> None:
        """Remove a run folder. `DONE` goes first, so that a deletion cut short leaves nothing that looks finished.

        Raises `FittingroomError` for a link, which leads to somebody else's folder.
        """
        if run.path.is_symlink():
            raise FittingroomError(
                f"{run.path} is a link to {run.path.resolve()}; remove the link, or delete the run there"
            )
        with run.lock():
            (run.path / "DONE").unlink(missing_ok=True)
        shutil.rmtree(run.path)

    # ------------------------------------------------------------ studies

    def write_study(self, name: str, study: Study, arrays: Arrays | None = None) -> None:
        """Remember which runs answer a question, and `arrays` that the answer needs besides them."""
        if arrays:
            with atomic(self._study_file(name, ".npz")) as file:
                np.savez_compressed(file, **arrays_with_seal(arrays, safe_name(name)))  # type: ignore[arg-type]
        named = study.model_copy(update={"name": safe_name(name)})
        write(self._study_file(name), json_with_seal(named.model_dump(mode="json")))

    def studies(self) -> Sequence[str]:
        """The names of the studies that are remembered here."""
        return sorted(file.stem for file in (self.path / "studies").glob("*.json"))

    def study(self, name: str) -> Study | None:
        """The study of this name (or of its TOML file), or None. Raises `Damaged`."""
        path = self._study_file(Path(name).stem if name.endswith(".toml") else name)
        try:
            found = sealed_record(Study, path, MOST_TEXT)
            if found.name not in ("", path.stem):
                raise Damaged(f"holds the study {found.name}")
            return found
        except FileNotFoundError:
            return None
        except Damaged as error:
            raise Damaged(
                f"{path} {error}; its runs are untouched: ask the same question once more, or delete this file"
            ) from None

    def whole_studies(self, say: Say = lambda line: None) -> dict[str, Study]:
        """The studies by name; `say` hears of those that are damaged."""
        found: dict[str, Study] = {}
        for name in self.studies():
            try:
                if study := self.study(name):
                    found[name] = study
            except Damaged as error:
                say(str(error))
        return found

    def study_arrays(self, name: str) -> dict[str, np.ndarray]:
        """What was written beside the study of this name. Raises `Damaged`."""
        path = self._study_file(name, ".npz")
        try:
            return sealed_arrays(arrays_at(path), safe_name(name))
        except Damaged as error:
            raise Damaged(f"{path} {error}; its runs are untouched: ask the same question once more") from None

    def runs_of(self, study: Study) -> Sequence[RunFolder]:
        """Its run folders, in the order in which it was asked."""
        return [RunFolder(self.path / name) for name in study.runs]

    def _study_file(self, name: str, suffix: str = ".json") -> Path:
        return self.path / "studies" / f"{safe_name(name)}{suffix}"

    # ------------------------------------------------------------ what was found out about the data

    def audit_file(self, dataset: str, split: str) -> Path:
        """Where `fittingroom audit` leaves its record of one split."""
        return self.path / "audits" / f"{safe_name(dataset)}-{split}.json"

    def decisions_file(self, dataset: str) -> Path:
        """Where a person's decisions about single images are kept."""
        return self.path / "decisions" / f"{safe_name(dataset)}.csv"

    # ------------------------------------------------------------ the test set's log and pictures

    def log_test_read(self, run: str, dataset: str, digest: str) -> None:
        """Note that `run` is about to read the test set. Written before the reading, and never taken back."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line = {"time": now, "run": run, "dataset": dataset, "digest": digest}
        append_line(self.path / READS, json.dumps(json.loads(json_with_seal(line))))

    def test_reads(self) -> dict[str, int]:
        """How often each data set's test part was read for scoring in this runs folder."""
        counts: dict[str, int] = {}
        for name, wrong in self._reads():
            if not wrong:
                counts[name] = counts.get(name, 0) + 1
        return counts

    def unlogged(self, runs: Sequence[RunFolder]) -> Sequence[str]:
        """Which of these runs met a test set without a line in the log: it was cut, or they came from another folder."""
        path = self.path / READS
        logged = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        return [run.name for run in runs if f'"{run.name}"' not in logged and _met_a_test_set(run)]

    def unsure_reads(self, runs: Sequence[RunFolder]) -> Sequence[str]:
        """Why the test sets may have been read more often than `test_reads` says, as far as these runs and the log tell."""
        damaged, missing = self.damaged_reads(), self.unlogged(runs)
        if not missing:
            return damaged
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        why = "it was cut off, or the run came from another folder"
        return [*damaged, f"{self.path / READS} does not know that {missing[0]}{others} met a test set: {why}"]

    def damaged_reads(self) -> Sequence[str]:
        """What is wrong with lines of the log of test readings: readings that cannot be told whose they were."""
        return [wrong for _, wrong in self._reads() if wrong]

    def _reads(self) -> Iterator[tuple[str, str]]:
        """The data set of each reading, and what is wrong with its line."""
        path = self.path / READS
        try:
            lines = plain_bytes(path, MOST_TEXT).splitlines()
        except FileNotFoundError:
            return
        except Damaged as error:
            yield "", f"{path} {error}"
            return
        for number, line in enumerate(lines, 1):
            try:
                yield str(sealed_json(line)["dataset"]), ""
            except (ValueError, KeyError, Damaged) as error:
                how = str(error) if isinstance(error, Damaged) else "is damaged"
                yield "", f"line {number} of {path} {how}: a test set was read, and which one is not known any more"

    def thumbnails_file(self, digest: str) -> Path:
        return self.path / "thumbnails" / f"{digest[:16]}.npz"

    def write_thumbnails(self, digest: str, images_NCHW: np.ndarray, names_N: np.ndarray | None = None) -> None:
        """Keep the scored test images for the reports' galleries, and what they are called, once a data set."""
        path = self.thumbnails_file(digest)
        if not path.exists():
            named = {} if names_N is None else {"names": names_N}
            with atomic(path) as file:
                np.savez_compressed(file, **arrays_with_seal({"images": images_NCHW, **named}, path.stem))  # type: ignore[arg-type]

    def thumbnails(self, digest: str) -> np.ndarray | None:
        """The test images (N,C,H,W) uint8 that runs on this data were scored on, or None."""
        return self.kept_pictures(digest)[0]

    def kept_pictures(self, digest: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        """What `write_thumbnails` kept: images (N,C,H,W) uint8, and what they are called (N,), where they are one's own.

        Raises `Damaged`.
        """
        path = self.thumbnails_file(digest)
        if not path.exists():
            return None, None
        try:
            found = sealed_arrays(arrays_at(path), path.stem)
            return found.get("images"), found.get("names")
        except Damaged as error:
            raise Damaged(
                f"{path} {error}; scores do not hang on it: delete it, and the next run that is scored keeps the pictures again"
            ) from None


def _is_run(folder: str) -> bool:
    """Whether a run was begun there, or finished; a thousand are looked at for every list."""
    return os.path.exists(f"{folder}/run.json") or os.path.exists(f"{folder}/DONE")  # noqa: PTH110 (Path takes three times as long)


def is_part(run: RunFolder) -> bool:
    """Whether a run belongs to a study; a damaged one is told where it is read."""
    try:
        return bool(run.part)
    except FittingroomError:
        return False


def recipe_toml(recipe: Recipe) -> str:
    """A recipe as a file's text, every value written out; without what belongs to its source and not to a run."""
    tree = recipe.model_dump(mode="json", exclude_none=True, exclude={"claims", "measured", "space"})
    if not recipe.model.sources:
        del tree["model"]["sources"]
    return tomli_w.dumps(tree, multiline_strings=True)


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file that can be made again; nothing is unpickled. Raises `Damaged`."""
    try:
        return arrays_at(path)
    except Damaged as error:
        raise Damaged(f"{path} {error}; delete it, and it is made again") from None


def arrays_at(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; nothing is unpickled. Raises `Damaged`, which doesn't name the file."""
    try:
        return arrays_of(plain_bytes(path, MOST_BYTES))
    except FileNotFoundError:
        raise Damaged("is missing") from None


def arrays_of(content: bytes, wanted: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays in an .npz file's content (only those `wanted` that it has). Raises `Damaged`."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise Damaged("is no archive of arrays")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if isinstance(file, np.ndarray):
                raise ValueError("one array and no archive of them")
            return {key: file[key] for key in file if wanted is None or key in wanted}
    except (
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        KeyError,
        NotImplementedError,
        MemoryError,
    ) as error:
        raise Damaged(f"is damaged ({first_line(error)})") from None


def recipe_of(content: bytes, where: Path) -> Recipe:
    """A run's recipe. The runs of one recipe have the same text, which is read once; faults name the file that is asked for."""
    try:
        return _recipe_of(content)
    except FittingroomError:
        return parse_recipe(toml_of(content, where), where=str(where))


@functools.lru_cache(maxsize=256)
def _recipe_of(content: bytes) -> Recipe:
    tree = toml_of(content, Path("recipe.toml"))
    return parse_recipe({key: value for key, value in tree.items() if key not in ("claims", "measured", "space")})


@functools.lru_cache(maxsize=4096)
def _seal(path: str, stamp: tuple[int, ...]) -> Seal | None:
    """The seal in a run's `DONE`, read once as long as it is the same file."""
    return read_seal(plain_bytes(Path(path), MOST_TEXT))


def run_name(recipe: str, dataset: str, seed: int, digest: str) -> str:
    """What the folder of a run of this identity is called."""
    return f"{safe_name(recipe)}_{safe_name(dataset)}_s{seed}_{digest[:10]}"


def safe_name(name: str) -> str:
    """A name as one path component: letters, digits, `-` and `.` stay. The digest keeps two such names apart.

    >>> safe_name("T-shirt/top ../é")
    'T-shirt-top-é'
    """
    return re.sub(r"([^\w.-]|\.{2,})+", "-", name).strip("-.")[:60] or "unnamed"
