"""One run, one folder; many runs, one runs folder that counts every reading of a test set."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import filelock
import numpy as np
import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as tensors_to_bytes

from fittingroom.spec.changes import told_apart
from fittingroom.spec.design import Design
from fittingroom.spec.errors import FittingroomError, NotFree, unknown
from fittingroom.spec.parse import read_toml
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import Cost, DataFacts, Environment, Epoch, Metrics, Structure
from fittingroom.store.atomic import append_line, atomic, explained, write
from fittingroom.store.bundles import BundleFolder

T = TypeVar("T", bound=BaseModel)
Arrays = Mapping[str, np.ndarray]


class RunFolder:
    """The plain files of one run. Readers trust nothing without `DONE`, which is written last.

    `recipe.toml run.json env.json data.json structure.json epochs.jsonl checkpoint.safetensors best.safetensors
    weights.safetensors predictions.npz samples.npz metrics.json DONE`

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

    def refuse_unfinished(self) -> None:
        """Raises `FittingroomError` unless the run is done."""
        if not self.done:
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
        tree = {
            key: value
            for key, value in read_toml(self.path / "recipe.toml").items()
            if key not in ("claims", "measured", "space")
        }
        return parse_recipe(tree, where=str(self.path / "recipe.toml"))

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
        path = self.path / "epochs.jsonl"
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        try:
            return [Epoch.model_validate_json(line) for line in lines]
        except ValidationError as error:
            raise FittingroomError(f"{path} is damaged: {error.errors()[0]['msg']}; --fresh starts over") from None

    @property
    def saved_epochs(self) -> int:
        """After how many epochs an unfinished training goes on."""
        try:
            with safe_open(self.path / "checkpoint.safetensors", "numpy") as file:
                return int(file.get_tensor("epoch"))
        except (OSError, SafetensorError):  # none yet; a damaged one is told where it is read
            return 0

    def predictions(self, split: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Stored logits (N,K) float32 and labels (N,) int64 of "val", "test" or "test_averaged"; None if not scored."""
        wanted = f"{split}_logits", f"{split}_labels"
        found = load_npz(self._present("predictions.npz"), wanted)
        return (found[wanted[0]], found[wanted[1]]) if len(found) == 2 else None

    def design(self, split: str = "test") -> Design:
        """What the images of "test" or "val" share: their groups, where some belong together (older runs keep test's only)."""
        return Design(load_npz(self._present("predictions.npz"), (f"{split}_groups",)).get(f"{split}_groups"))

    def stressed(self) -> dict[str, np.ndarray] | None:
        """What `fittingroom stress` found: `version`, `kinds` (C,), `said` (C,S,N) and `labels` (N,); None if it was not run."""
        path = self.path / "stress.npz"
        return load_npz(path) if path.exists() else None

    def explained(self) -> dict[str, np.ndarray]:
        """The arrays that `fittingroom explain` wrote. Raises `FittingroomError` if it was not run."""
        return load_npz(self._present("explain.npz"))

    def deletion(self) -> dict[str, Any] | None:
        """The deletion curve that `fittingroom explain` wrote; None if it was not run."""
        return dict(self._json("deletion.json")) if (self.path / "deletion.json").exists() else None

    def samples(self) -> dict[str, np.ndarray]:
        """Images of each class as they are (`plain`) and as training saw them (`augmented`), (R,C,H,W) uint8."""
        return load_npz(self._present("samples.npz"))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The tensors of `name`.safetensors; empty if the file is not there."""
        path = self.path / f"{name}.safetensors"
        if not path.exists():
            return {}
        try:
            return load_file(path)
        except Exception as error:  # safetensors raises its own, undocumented kinds
            raise FittingroomError(f"{path} is not readable ({error}); delete {self.path} and train again") from None

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

    def keep_epochs(self, n: int) -> None:
        """Drop the lines after epoch `n`: a kill can come between an epoch's line and its checkpoint."""
        kept = [epoch.model_dump_json() + "\n" for epoch in self.epochs[:n]]
        write(self.path / "epochs.jsonl", "".join(kept))

    def write_arrays(self, name: str, arrays: Arrays) -> None:
        """Write `name`.safetensors atomically."""
        content = tensors_to_bytes({key: np.asarray(value, order="C") for key, value in arrays.items()})
        write(self.path / f"{name}.safetensors", content)

    def write_npz(self, name: str, arrays: Arrays) -> None:
        with atomic(self.path / f"{name}.npz") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @property
    def cost(self) -> Cost | None:
        """What the recipe costs, on the machine where that was measured last."""
        path = self.path / "cost.json"
        try:
            return Cost.model_validate_json(path.read_bytes()) if path.exists() else None
        except ValidationError:
            return None  # it will be measured again

    def write_cost(self, cost: Cost) -> None:
        write(self.path / "cost.json", cost.model_dump_json(indent=2) + "\n")

    def write_metrics(self, metrics: Metrics) -> None:
        write(self.path / "metrics.json", metrics.model_dump_json(indent=2) + "\n")

    def finish(self) -> None:
        """Declare the run done and drop what only a resume needs."""
        write(self.path / "DONE", datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds") + "\n")
        for name in ("checkpoint", "best"):
            (self.path / f"{name}.safetensors").unlink(missing_ok=True)

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

    def _present(self, name: str) -> Path:
        path = self.path / name
        if not path.exists():
            raise FittingroomError(f"{self.path} has no {name}; is it a run folder? see: fittingroom runs")
        return path

    def _json(self, name: str) -> Any:
        path = self._present(name)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise FittingroomError(f"{path} is damaged ({error}); delete the run and train again") from None

    def _record(self, kind: type[T], name: str) -> T:
        try:
            return kind.model_validate(self._json(name))
        except ValidationError as error:
            raise FittingroomError(f"{self.path / name} is damaged: {error.errors()[0]['msg']}") from None


class Study(BaseModel):
    """Which runs answer which question: what `RUNS/studies/NAME.json` holds, so that it can be answered again."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    question: str = "compare"
    runs: tuple[str, ...]
    settings: dict[str, Any] = {}  # what the answer hangs on besides: the parts of an ablation, the steps of a transfer
    asked: dict[str, Any] = {}  # what decides, where somebody said so: the metric, an operating point


class Runs:
    """A folder of run folders, with its log of test readings (`test_reads.jsonl`) and thumbnails of what was scored.

    >>> len(Runs(Path("no such folder")).list())
    0
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def list(self, parts: bool = True) -> list[RunFolder]:
        """Every run folder, finished or not, by name; without `parts`, none that is but a part of a study."""
        found = self.path.glob("*/run.json") if self.path.is_dir() else ()
        runs = (RunFolder(file.parent) for file in sorted(found))
        return [run for run in runs if parts or not _is_part(run)]

    def find(self, name: str, studies: Sequence[str] = ()) -> RunFolder:
        """A run by folder name, an unambiguous beginning of one, or a path; `FittingroomError` otherwise.

        A beginning means no part of a study. `studies`: names that could have been meant, too.
        """
        if (Path(name) / "run.json").exists():
            return RunFolder(Path(name))
        runs = self.list()
        matches = [r for r in runs if r.name == name] or [
            r for r in runs if r.name.startswith(name) and not _is_part(r)
        ]
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
                if r.name.startswith(word) and not _is_part(r) and (unfinished or (r.done and r.metrics.test))
            ]
            found = self.runs_of(study) if study else begun or [self.find(word, self.studies())]
            chosen |= {str(r.path.resolve()): r for r in found}
        homes = {r.path.resolve().parent for r in chosen.values()}
        return list(chosen.values()), Runs(homes.pop()) if len(homes) == 1 else self

    def delete(self, run: RunFolder) -> None:
        """Remove a run folder. `DONE` goes first, so that a deletion cut short leaves nothing that looks finished."""
        with run.lock():
            (run.path / "DONE").unlink(missing_ok=True)
        shutil.rmtree(run.path)

    # ------------------------------------------------------------ studies

    def write_study(self, name: str, study: Study, arrays: Arrays | None = None) -> None:
        """Remember which runs answer a question, and `arrays` that the answer needs besides them."""
        if arrays:
            with atomic(self._study_file(name, ".npz")) as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)
        write(self._study_file(name), study.model_dump_json(indent=2) + "\n")

    def studies(self) -> Sequence[str]:
        """The names of the studies that are remembered here."""
        return sorted(file.stem for file in (self.path / "studies").glob("*.json"))

    def study(self, name: str) -> Study | None:
        """The study of this name (or of its TOML file), or None."""
        path = self._study_file(Path(name).stem if name.endswith(".toml") else name)
        return Study.model_validate_json(path.read_bytes()) if path.exists() else None

    def study_arrays(self, name: str) -> dict[str, np.ndarray]:
        """What was written beside the study of this name."""
        return load_npz(self._study_file(name, ".npz"))

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
        append_line(
            self.path / "test_reads.jsonl",
            json.dumps({"time": now, "run": run, "dataset": dataset, "digest": digest}),
        )

    def test_reads(self) -> dict[str, int]:
        """How often each data set's test part was read for scoring in this runs folder."""
        path = self.path / "test_reads.jsonl"
        counts: dict[str, int] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            with contextlib.suppress(json.JSONDecodeError, KeyError):
                name = str(json.loads(line)["dataset"])
                counts[name] = counts.get(name, 0) + 1
        return counts

    def thumbnails_file(self, digest: str) -> Path:
        return self.path / "thumbnails" / f"{digest[:16]}.npz"

    def write_thumbnails(self, digest: str, images_NCHW: np.ndarray, names_N: np.ndarray | None = None) -> None:
        """Keep the scored test images for the reports' galleries, and what they are called, once a data set."""
        path = self.thumbnails_file(digest)
        if not path.exists():
            named = {} if names_N is None else {"names": names_N}
            with atomic(path) as file:
                np.savez_compressed(file, images=images_NCHW, **named)  # type: ignore[arg-type]

    def thumbnails(self, digest: str) -> np.ndarray | None:
        """The test images (N,C,H,W) uint8 that runs on this data were scored on, or None."""
        path = self.thumbnails_file(digest)
        return load_npz(path)["images"] if path.exists() else None

    def test_names(self, digest: str) -> np.ndarray | None:
        """What these images are called (N,), where they are one's own; else None."""
        path = self.thumbnails_file(digest)
        return load_npz(path, ("names",)).get("names") if path.exists() else None


def _is_part(run: RunFolder) -> bool:
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


def load_npz(path: Path, wanted: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an .npz file (only those `wanted` that it has); nothing is unpickled.

    Raises `FittingroomError` for a damaged one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file if wanted is None or key in wanted}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, OSError) as error:
        raise FittingroomError(f"{path} is damaged ({error}); delete it and make it again") from None


def run_name(recipe: str, dataset: str, seed: int, digest: str) -> str:
    """What the folder of a run of this identity is called."""
    return f"{safe_name(recipe)}_{safe_name(dataset)}_s{seed}_{digest[:10]}"


def safe_name(name: str) -> str:
    """A name as one path component: letters, digits, `-` and `.` stay. The digest keeps two such names apart.

    >>> safe_name("T-shirt/top ../é")
    'T-shirt-top-é'
    """
    return re.sub(r"([^\w.-]|\.{2,})+", "-", name).strip("-.")[:60] or "unnamed"
