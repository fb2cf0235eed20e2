"""A folder of class folders, with train/ val/ test/ above them or without."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from fittingroom.data.own.decode import FORMATS, begins_like_one
from fittingroom.data.own.listing import Fault, Listing, clean, natural, shown, split_of
from fittingroom.spec.errors import FittingroomError

READ = tuple(
    suffix
    for kind, suffixes in {
        "PNG": ".png", "JPEG": ".jpg .jpeg .jpe .jfif .mpo", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif .tiff",
        "PPM": ".ppm .pgm .pbm .pnm", "JPEG2000": ".jp2 .j2k", "AVIF": ".avif",
    }.items()
    if kind in FORMATS
    for suffix in suffixes.split()
)  # fmt: skip
NOT_READ = (".heic", ".heif", ".avif", ".svg", ".psd", ".jp2", ".jxl", ".dng", ".cr2", ".nef", ".arw", ".raw", ".ico")
# what systems leave behind; hidden ones begin with a dot
NOT_CLASSES = (
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "lost+found",
)


def list_folder(path: Path) -> Listing:
    """The pictures of a folder. A class is a folder; pictures may lie deeper inside it. Links are followed, once each.

    Raises `FittingroomError` where it is no folder of class folders.
    """
    walk = _Walk(path)
    tops = [child for child in walk.children(path) if child.is_dir()]
    loose = [c for c in walk.children(path) if not c.is_dir() and c.suffix.casefold() in READ]
    split_dirs = {
        split: [_inner(walk, d) for d in tops if split_of(d.name) == split] for split in ("train", "val", "test")
    }
    above = bool(split_dirs["train"]) and any(c.is_dir() for d in split_dirs["train"] for c in walk.children(d))
    class_dirs: list[tuple[str, Path, Path]] = []  # split, the folder that is the class, the one with its pictures
    if above:
        twice = [dirs for dirs in split_dirs.values() if len(dirs) > 1]
        if twice:
            raise FittingroomError(f"{path} has {shown(d.name for d in twice[0])}, which mean the same; keep one")
        beside = [d.name for d in tops if split_of(d.name) is None and any(True for _ in walk.pictures(d))]
        if beside:
            raise FittingroomError(
                f"{path} has train/ and beside it other folders with pictures: {shown(map(clean, beside))}; "
                "move them into train/, or out of the way"
            )
        for split, dirs in split_dirs.items():
            for folder in dirs:
                class_dirs += [(split, child, child) for child in walk.children(folder) if child.is_dir()]
                loose += [c for c in walk.children(folder) if not c.is_dir() and c.suffix.casefold() in READ]
    else:
        lone = [d.name for d in tops if split_of(d.name) and any(c.is_dir() for c in walk.children(d))]
        if lone:
            raise FittingroomError(f"{path} has {shown(lone)} with folders inside, but no train/ with class folders")
        _refuse_strange_tops(walk, path, tops)
        class_dirs = _class_first(walk, tops) or [("", child, child) for child in tops]
        if tops and all(split_of(d.name) for d in tops) and any(any(True for _ in walk.pictures(d)) for d in tops):
            raise FittingroomError(
                f"{path} has pictures right inside {shown(d.name + '/' for d in tops)}: put those of each class into a folder "
                "of its own there, or give a CSV of path, label and split"
            )
    if not class_dirs:
        found = f"{len(loose):,} pictures but no class folders" if loose else "no class folders"
        raise FittingroomError(
            f"{path} has {found}; put the pictures of each class into a folder of its own, or give a CSV of path and label"
        )
    walk.start_over()
    walk.own(path, *(d for _, _, d in class_dirs), *(d.parent for _, _, d in class_dirs))
    twins = Counter(clean(d.name) for d in {unicodedata.normalize("NFC", d.name): d for _, d, _ in class_dirs}.values())
    alike = [name for name, n in twins.items() if n > 1]
    if alike:
        raise FittingroomError(
            f"{path} has class folders whose names cannot be told apart: {shown(alike)}; rename them"
        )
    labels, splits, files, empty = [], [], [], []
    for split, of_class, folder in class_dirs:
        mine = list(walk.pictures(folder))
        if not mine:
            empty.append(str(folder.relative_to(path)))
        labels += [clean(of_class.name)] * len(mine)
        splits += [split] * len(mine)
        files += mine
    faults = [*walk.faults, *(Fault(clean(str(f.relative_to(path))), "lies in no class folder") for f in loose)]
    remarks = []
    if any(of_class != folder for _, of_class, folder in class_dirs):
        remarks.append("each class folder has its splits inside (class/train/…): taken so")
    if empty:
        remarks.append(f"without a picture, so no class: {shown(map(clean, empty))}")
    if walk.others:
        kinds = ", ".join(f"{n:,} {clean(suffix) or 'without a suffix'}" for suffix, n in walk.others.most_common(5))
        remarks.append(f"files that are no pictures are passed over: {kinds}")
    return Listing(
        name=clean(path.name),
        labels=labels,
        splits=splits,
        names=[clean(str(f.relative_to(path))) for f in files],
        pictures=lambda: iter(files),
        files=files,
        faults=faults,
        remarks=remarks,
    )


def _inner(walk: _Walk, folder: Path) -> Path:
    """The split folder itself, or the one of the same meaning that is all there is inside: seg_train/seg_train."""
    children = walk.children(folder)
    if len(children) == 1 and children[0].is_dir() and split_of(children[0].name) == split_of(folder.name):
        return children[0]
    return folder


def _class_first(walk: _Walk, tops: Sequence[Path]) -> list[tuple[str, Path, Path]]:
    """The splits, classes and folders of cat/train, cat/test, dog/train …; [] where folders are not so."""
    found = [(split_of(c.name) or "", top, c) for top in tops for c in walk.children(top) if c.is_dir()]
    all_so = len(tops) > 1 and {top for _, top, _ in found} == set(tops) and all(split for split, _, _ in found)
    return found if all_so else []


def _refuse_strange_tops(walk: _Walk, path: Path, tops: Sequence[Path]) -> None:
    """What would become classes in silence, and is none: parts of a cross-validation, one folder too high."""
    parts = [top.name for top in tops if re.fullmatch(r"(?:fold|part|cv)[-_ ]?[0-9]+", top.name.casefold())]
    if len(parts) > 1 and len(parts) == len(tops):
        raise FittingroomError(
            f"{path} has {shown(parts)}, which look like parts of a cross-validation and not like classes; "
            "give one folder a class: fittingroom cv makes parts itself"
        )
    if len(tops) == 1:
        inner = [child for child in walk.children(tops[0]) if child.is_dir()]
        if len(inner) > 1 and all(any(True for _ in walk.pictures(child)) for child in inner):
            walk.start_over()
            raise FittingroomError(
                f"{path} has one folder only, and inside it {shown(clean(c.name) for c in inner)}, which look like the classes; "
                f"give {tops[0]}"
            )
        walk.start_over()


def pictures_below(path: Path) -> tuple[list[Path], list[Fault]]:
    """Every picture file in a folder and below, in natural order, each folder once; and what could not be looked at."""
    walk = _Walk(path)
    return list(walk.pictures(path)), walk.faults


def has_pictures(path: Path) -> bool:
    """Whether any picture file lies in `path` or below, as far as its name tells."""
    return any(p.suffix.casefold() in READ and not p.name.startswith(".") for p in path.rglob("*"))


class _Walk:
    """A walk that enters each real folder once, so that no loop of links can hold it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.start_over()

    def start_over(self) -> None:
        self.entered: set[tuple[int, int]] = set()
        self.faults: list[Fault] = []
        self.others: Counter[str] = Counter()
        self.owned: dict[tuple[int, int], Path] = {}

    def own(self, *folders: Path) -> None:
        for f in sorted(folders, key=Path.is_symlink):
            place = f.stat()
            self.owned.setdefault((place.st_dev, place.st_ino), f)
        self.entered |= set(self.owned)

    def children(self, folder: Path) -> list[Path]:
        """What is visible in `folder`, in natural order."""
        try:
            found = [Path(entry.path) for entry in os.scandir(folder)]
        except OSError as error:
            self._fault(folder, error.strerror or "cannot be read")
            return []
        seen = [p for p in found if not p.name.startswith(".") and p.name.casefold() not in NOT_CLASSES]
        return sorted(seen, key=lambda p: natural(clean(p.name)))

    def pictures(self, folder: Path) -> Iterator[Path]:
        """The picture files in `folder` and below."""
        place = folder.stat()
        key = (place.st_dev, place.st_ino)
        if self.owned.get(key) == folder:
            del self.owned[key]
            self.entered.discard(key)
        if key in self.entered:
            self._fault(folder, "a link to a folder that is read already")
            return
        self.entered.add((place.st_dev, place.st_ino))
        for child in self.children(folder):
            suffix = child.suffix.casefold()
            try:
                mode = child.stat().st_mode
            except OSError as error:
                self._fault(child, "a broken link" if child.is_symlink() else error.strerror or "cannot be read")
                continue
            if stat.S_ISDIR(mode):
                yield from self.pictures(child)
            elif not stat.S_ISREG(mode):
                self._fault(child, "a pipe" if stat.S_ISFIFO(mode) else "no plain file")
            elif suffix in READ or (not suffix and begins_like_one(child)):
                yield child
            elif suffix in NOT_READ:
                self._fault(child, f"{suffix} is not read; convert it to PNG or JPEG")
            else:
                self.others[suffix] += 1

    def _fault(self, path: Path, reason: str) -> None:
        fault = Fault(clean(str(path.relative_to(self.root))), reason)
        if fault not in self.faults:
            self.faults.append(fault)
