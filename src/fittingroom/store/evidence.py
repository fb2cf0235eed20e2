"""A finished run packed to a few kilobytes: what it was, its curves, and what it answered; enough for every verdict and claim.

A folder of evidence holds a file for each run (`NAME.json.xz`: sealed JSON, compressed), and one for each data set's test labels.
There are no weights and no logits in it: it says what came out, and can be checked by training the same again.
"""

from __future__ import annotations

import base64
import json
import lzma
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from fittingroom.spec.design import Design
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.records import Cost, DataFacts, Environment, Epoch, Metrics, Structure
from fittingroom.store.atomic import atomic, write
from fittingroom.store.loaded import LoadedRun, load_run
from fittingroom.store.runs import RunFolder, arrays_at, recipe_of, recipe_toml
from fittingroom.store.seal import (
    Damaged,
    arrays_with_seal,
    first_line,
    json_with_seal,
    plain_bytes,
    sealed_arrays,
    sealed_json,
)

ENDING = ".json.xz"
MOST_BYTES = 64 << 20  # of a packed run
MOST_CLASSES = 256  # an answer is a byte


class Packed(BaseModel):
    """What a file of evidence holds."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)
    recipe: str  # TOML
    identity: dict[str, Any]  # its seed and digest, as in `run.json`
    data: DataFacts
    environment: Environment
    structure: Structure
    metrics: Metrics
    epochs: tuple[Epoch, ...]
    cost: Cost | None = None
    # how far each answer is from the true class, modulo the number of classes: bytes, base64
    beside: str


class Evidence:
    """A folder of packed runs.

    >>> len([*Evidence(Path("no such folder")).runs()])
    0
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def runs(self) -> Iterator[LoadedRun]:
        """Every run in it, by name. Raises `Damaged` for one that is not what was packed."""
        for file in sorted(self.path.glob(f"*{ENDING}")):
            yield self.load(file)

    def load(self, file: Path) -> LoadedRun:
        """A packed run. Its logits are 1 for the answer and 0 for the rest: they say which class, and not how sure it was.

        Raises `Damaged`.
        """
        try:
            tree = sealed_json(_unpacked(plain_bytes(file, MOST_BYTES)), demanded=True)
            packed = Packed.model_validate_json(json.dumps(tree))
            beside_N = np.frombuffer(base64.b64decode(packed.beside, validate=True), np.uint8)
        except (Damaged, ValueError, FileNotFoundError) as error:
            how = str(error) if isinstance(error, Damaged) else f"is damaged ({first_line(error)})"
            raise Damaged(f"{file} {how}; delete it, and train the same again with --evidence") from None
        labels_N, design = self._truth(packed.data)
        if len(beside_N) != len(labels_N):
            raise Damaged(
                f"{file} has {len(beside_N):,} answers, and there are {len(labels_N):,} test images; delete it"
            )
        k = len(packed.data.classes)
        answers_N = (labels_N + beside_N) % k
        return LoadedRun(
            folder=RunFolder(self.path / file.name.removesuffix(ENDING)),
            recipe=recipe_of(packed.recipe.encode(), file),
            seed=int(packed.identity["seed"]),
            data=packed.data,
            metrics=packed.metrics,
            environment=packed.environment,
            structure=packed.structure,
            epochs=packed.epochs,
            logits_NK=np.eye(k, dtype=np.float32)[answers_N],
            labels_N=labels_N,
            val_logits_NK=None,
            val_labels_N=None,
            cost=packed.cost,
            design=design,
            identity=packed.identity,
            packed=True,
        )

    def pack(self, folder: RunFolder) -> Path:
        """Add a finished run; its file. Raises `FittingroomError` for one that is not finished, or met no test images, and where
        another machine's run of the same name is packed already.
        """
        folder.refuse_held_out("fittingroom pack")
        run = load_run(folder)
        k = len(run.data.classes)
        if k > MOST_CLASSES:
            raise FittingroomError(
                f"{folder.path} has {k} classes; evidence keeps an answer in one byte ({MOST_CLASSES})"
            )
        self._keep_truth(run)
        beside_N = ((run.logits_NK.argmax(1) - run.labels_N) % k).astype(np.uint8)
        packed = Packed(
            recipe=recipe_toml(run.recipe),
            identity=dict(run.identity),
            data=run.data,
            environment=run.environment,
            structure=run.structure,
            metrics=run.metrics,
            epochs=run.epochs,
            cost=run.cost,
            beside=base64.b64encode(beside_N.tobytes()).decode(),
        )
        file = self.path / f"{folder.name}{ENDING}"
        content = lzma.compress(json_with_seal(packed.model_dump(mode="json")).encode(), preset=9)
        if (
            file.exists()
            and (there := self.load(file))
            and (there.logits_NK.argmax(1) != run.logits_NK.argmax(1)).any()
        ):
            raise FittingroomError(
                f"{file} is another training of the same recipe and seed, with other answers, since another machine, number of "
                "threads or torch rounds differently; one of them is enough (delete it to have the other)"
            )
        write(file, content)
        return file

    def _truth_file(self, data: DataFacts) -> Path:
        return self.path / f"truth-{data.digest[:16]}.npz"

    def _keep_truth(self, run: LoadedRun) -> None:
        path = self._truth_file(run.data)
        if path.exists() and not np.array_equal(self._truth(run.data)[0], run.labels_N):
            raise FittingroomError(
                f"{path} holds other labels than the test images of {run.folder.path}; use another folder"
            )
        if not path.exists():
            groups = {} if run.design.groups_N is None else {"groups": run.design.groups_N}
            with atomic(path) as file:
                arrays = {"labels": run.labels_N.astype(np.uint8), **groups}
                np.savez_compressed(file, **arrays_with_seal(arrays, path.stem))  # type: ignore[arg-type]

    def _truth(self, data: DataFacts) -> tuple[np.ndarray, Design]:
        if data.digest not in self._truths:
            path = self._truth_file(data)
            try:
                found = sealed_arrays(arrays_at(path), path.stem, demanded=True)
                self._truths[data.digest] = found["labels"].astype(np.int64), Design(found.get("groups"))
            except (Damaged, KeyError) as error:
                remedy = "delete it, and pack" if path.exists() else "pack"
                raise Damaged(f"{path} {error}; {remedy} a run on these data again") from None
        return self._truths[data.digest]

    @cached_property
    def _truths(self) -> dict[str, tuple[np.ndarray, Design]]:
        """Test labels, and what the images share, by the data's digest."""
        return {}


def is_evidence(path: Path) -> bool:
    """Whether this is a folder of packed runs, or one of its files.

    >>> is_evidence(Path("no such folder"))
    False
    """
    return (path.is_dir() and any(path.glob(f"*{ENDING}"))) or (path.name.endswith(ENDING) and path.is_file())


def packed_runs(path: Path) -> list[LoadedRun]:
    """The runs of a folder of evidence, or the one in a file of it. Raises `Damaged`."""
    return [*Evidence(path).runs()] if path.is_dir() else [Evidence(path.parent).load(path)]


def _unpacked(content: bytes) -> bytes:
    """What was compressed, of which there is no more than a run ever has. Raises `Damaged`."""
    try:
        unpacker = lzma.LZMADecompressor(memlimit=MOST_BYTES * 2)
        found = unpacker.decompress(content, MOST_BYTES)
    except lzma.LZMAError as error:
        raise Damaged(f"is damaged ({first_line(error)})") from None
    if not unpacker.eof or unpacker.unused_data:
        raise Damaged("is damaged (it does not end where it should)")
    return found
