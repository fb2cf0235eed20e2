"""A bundle's folder: written whole or not at all, read without running anything that is in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from fittingroom.spec.bundle import FORMAT, BundleFacts, Parity
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.printable import printable
from fittingroom.store.atomic import UMASK, explained, write
from fittingroom.store.litter import OLD, locked, scratch
from fittingroom.store.seal import Damaged, first_line, plain_bytes, sealed_json, sealed_record

MOST_FACTS, MOST_BYTES = 16 << 20, 2 << 30  # of bundle.json, of a graph: ONNX allows no more
FACTS = "bundle.json"
GRAPH = "model.onnx"
FILES = (FACTS, GRAPH, "README.md", "parity.json", "recipe.toml", "weights.safetensors")


class BundleFolder:
    """The plain files of a model that is ready for use.

    `README.md bundle.json model.onnx weights.safetensors recipe.toml parity.json`

    >>> BundleFolder(Path("no such bundle")).there
    False
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"BundleFolder({str(self.path)!r})"

    @property
    def there(self) -> bool:
        return (self.path / FACTS).is_file()

    @cached_property
    def facts(self) -> BundleFacts:
        """`bundle.json`. Raises `FittingroomError` for none, a damaged one, or one of a later fittingroom."""
        path = self.path / FACTS
        try:
            tree = sealed_json(plain_bytes(path, MOST_FACTS))
            if isinstance(tree.get("format"), int) and tree["format"] > FORMAT:
                raise FittingroomError(
                    f"{path} was made by a later fittingroom (format {tree['format']}); update this one"
                )
            return BundleFacts.model_validate_json(json.dumps(tree))
        except FileNotFoundError:
            raise FittingroomError(
                f"{self.path} is no bundle: it has no {FACTS}; make one with: fittingroom export RUN"
            ) from None
        except Damaged as error:
            raise Damaged(f"{path} {error}; export the run again") from None
        except ValueError as error:
            raise Damaged(f"{path} is damaged ({first_line(error)}); export the run again") from None

    @property
    def parity(self) -> Parity:
        path = self.path / "parity.json"
        if path.name in self.facts.sha256:
            return Parity.model_validate_json(json.dumps(sealed_json(self._checked(path.name))))
        try:  # of before bundle.json named it
            return sealed_record(Parity, path, MOST_FACTS)
        except (OSError, Damaged) as error:
            raise Damaged(f"{path} {first_line(error)}; export the run again") from None

    def refuse_another(self, run_digest: str) -> None:
        """Raises `Damaged` if it was made of another run than the one of this digest."""
        if self.facts.run_digest != run_digest:
            raise Damaged(
                f"{self.path} is the bundle of another run, {printable(self.facts.run)}; export the run again"
            )

    def refuse_changed(self) -> None:
        """Raises `Damaged` unless every file that decides what it says is what it was. The model card is a person's to change."""
        for name in self.facts.sha256:
            self._checked(name)

    def graph(self) -> bytes:
        """The ONNX file, checked against the hash that `bundle.json` gives. Raises `FittingroomError`."""
        return self._checked(GRAPH)

    def _checked(self, name: str) -> bytes:
        path = self.path / name
        try:
            content = plain_bytes(path, MOST_BYTES)
        except FileNotFoundError:
            raise FittingroomError(f"cannot read {path}: it is not there; export the run again") from None
        except Damaged as error:
            raise Damaged(f"{path} {error}; export the run again") from None
        if sha256(content) != self.facts.sha256.get(name):
            raise Damaged(f"{path} is not the file that {FACTS} names (its SHA-256 differs); export the run again")
        return content


def sha256(content: bytes) -> str:
    """The hash of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def write_folder(path: Path, files: Mapping[str, str | bytes | Path], mark: str) -> None:
    """Write `files` (names, with `/` for folders in it; content, or a file to copy) as the folder `path`, all or nothing.

    A folder that is there is replaced only if it holds `mark`, the file by which we know our own, and nothing but `files`.
    Raises `FittingroomError`, and what was there is there.
    """
    refuse_strange(path, mark, files)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch(path.name, path.parent) as fresh:
            for name, content in files.items():
                if isinstance(content, Path):
                    (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(content, fresh / name)
                else:
                    write(fresh / name, content)
            fresh.chmod(0o777 & ~UMASK)
            _put(fresh, path)


def _put(fresh: Path, path: Path) -> None:
    """Give a folder its name; the folder that has it goes, but only then."""
    if not path.exists():
        fresh.rename(path)
        return
    old = fresh.with_suffix(OLD)
    with locked(path):
        path.rename(old)
        try:
            fresh.rename(path)
        except BaseException:
            old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)


def refuse_strange(path: Path, mark: str, files: Iterable[str]) -> None:
    """Raises `FittingroomError` if `path` cannot become a folder of these files: asked before the work, not after.

    So it is where something is that is not ours, and where a folder cannot be replaced.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if not path.is_dir() and path.exists():
            raise FittingroomError(f"{path} is a file; name a folder")
        ours = {name.partition("/")[0] for name in files} if (path / mark).is_file() else set()
        strange = sorted(entry.name for entry in path.iterdir() if entry.name not in ours)
        if strange:
            more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
            raise FittingroomError(f"{path} holds other things ({strange[0]}{more}); name an empty or a new folder")
        if path.is_mount() or path.samefile(Path.cwd()):
            raise FittingroomError(f"{path} is in use as it is and cannot be replaced; name a folder in it")
