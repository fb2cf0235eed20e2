"""Brings pictures into the cache: decoded once by all cores, into one tensor file that is named by its content.

HOME/images/DIGEST/  images.npy (N,C,H,W) uint8   labels.npy   splits.npz (rows of train, val, test)   about.json
HOME/images/index/   which digest a source had, when its files had these sizes and times
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import warnings
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

import filelock
import numpy as np
from pydantic import Field

from fittingroom.data.duplicates import groups, joined_groups, near_links
from fittingroom.data.own.decode import Range, Unreadable, decode, is_grey, values_of
from fittingroom.data.own.grouping import group_names, numbers, suspected
from fittingroom.data.own.listing import Fault, Listing, Picture, shown
from fittingroom.data.own.shape import Look, Target, choose
from fittingroom.data.pixels import Pixels, Rows, chunks
from fittingroom.data.strata import draw, draw_groups
from fittingroom.spec.digest import digest
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.machine import cores
from fittingroom.spec.recipe import ShapeSpec
from fittingroom.spec.records import Record
from fittingroom.store.atomic import explained, write
from fittingroom.store.fetch import Say, Tick
from fittingroom.store.litter import scratch
from fittingroom.store.seal import Damaged, json_with_seal, plain_bytes, sealed_json, sealed_record

VERSION = 3  # raised when the same pictures become other tensors
TEST_FRACTION = 0.2  # carved where a source brings no test split
SAMPLED = 400  # pictures that are looked at to choose a shape, spread over all
CHUNK = 32  # pictures that a core decodes in one go
RESIDENT_BYTES = 1 << 29  # a larger tensor file is mapped instead of read
HASHED_BYTES = 2 << 30  # a larger one is not hashed anew each time
BESIDE = ("names.npy", "files.json")  # what belongs to the pictures, and is no part of their digest
MOST_ABOUT = 1 << 28  # bytes; of an entry of the index, or of about.json
MOST_ALONE = 10  # pictures that may each be a class of their own
IMBALANCED = 3.0  # times as many images in the largest class as in the smallest are told

T = TypeVar("T")
R = TypeVar("R")


class Own(Record):
    """`about.json`: what was made of a source."""

    name: str
    digest: str
    sha256: str  # of images.npy
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    resize: Literal["pad", "crop", "stretch"]
    counts: dict[str, tuple[int, ...]]  # split → images of each class
    carved: bool  # whether the test split is ours
    remarks: tuple[str, ...]
    faults: tuple[tuple[str, str], ...]  # what was left out: where, why
    range: tuple[float, float] | None = None  # of pictures with more than eight bits: what became black and white
    group: str = ""  # the rule that says what belongs together
    groups: dict[str, int] = Field(default={})  # split → how many groups it has
    test_fraction: float | None = None  # of a carved test split, where somebody said how much
    suspected: str = ""  # a rule by which pictures look as if they belonged together, where none was given
    # SHA-256 of what the digest is not of: what pictures are called, their files
    beside: dict[str, str] = Field(default={})


def bring(path: Path, listing: Listing, spec: ShapeSpec, home_dir: Path, *, say: Say, tick: Tick, strict: bool) -> Own:
    """Turn the `listing` of what is at `path` into a tensor file, unless the cache has it; what was made of it.

    Raises `FittingroomError` for a source that cannot be used; with `strict`, for any picture that cannot.
    """
    _refuse_too_little(listing, path)
    index = home_dir / "images" / "index" / f"{_stamp(path, listing, spec)[:24]}.json"
    about = _indexed(index, home_dir)
    if about is None:
        with explained(index):
            index.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(index.with_suffix(".lock"))
            lock.acquire()
        try:
            about = _indexed(index, home_dir)  # another process may have been faster
            if about is None:
                with warnings.catch_warnings():  # once, around all threads: it is no thread's own
                    warnings.simplefilter("ignore")
                    about = _make(path, listing, spec, home_dir, tick)
                write(index, json_with_seal({"path": str(path), "about": about.model_dump(mode="json")}))
        finally:
            lock.release()
    listed = tuple((fault.where, fault.reason) for fault in listing.faults)
    about = about.model_copy(update={"faults": listed + about.faults, "remarks": (*listing.remarks, *about.remarks)})
    _tell(about, say)
    if strict and about.faults:
        raise FittingroomError(
            f"{path}: {len(about.faults):,} pictures cannot be used (--strict):\n"
            + "\n".join(f"  {where}: {reason}" for where, reason in about.faults)
        )
    return about


def known(home_dir: Path) -> list[tuple[Own, str]]:
    """What the cache holds, with the path that each came from, the latest last."""
    files = sorted((home_dir / "images" / "index").glob("*.json"), key=lambda f: f.stat().st_mtime)
    entries = [found for f in files if (found := _entry(f, home_dir))]
    return list({(about.digest, path): (about, path) for about, path in entries}.values())


def reopen(content: str, home_dir: Path) -> Own | None:
    """What the cache holds under this digest, or None."""
    file = home_dir / "images" / content[:16] / "about.json"
    try:
        return sealed_record(Own, file, MOST_ABOUT)
    except FileNotFoundError:
        return None
    except Damaged as error:
        raise FittingroomError(
            f"{file.parent} is damaged (about.json {error}); delete it and give the pictures' path again"
        ) from None


@dataclass(frozen=True)
class Brought:
    """What the cache holds of a source."""

    images: Rows  # mapped
    labels_N: np.ndarray
    splits: dict[str, np.ndarray]  # the rows of each
    names_N: np.ndarray | None  # what each picture was called when it was decoded; None in caches of before
    groups_N: np.ndarray | None  # the number of each image's group, where a rule says what belongs together


def pixels(about: Own, home_dir: Path) -> Brought:
    """The images, labels and splits of `about`. Raises `FittingroomError` for a damaged file."""
    folder = home_dir / "images" / about.digest[:16]
    for name, sha256 in about.beside.items():
        if not (folder / name).is_file() or _sha256(folder / name) != sha256:
            raise FittingroomError(f"{folder / name} has changed; delete {folder} and give the pictures' path again")
    try:
        images = np.load(folder / "images.npy", mmap_mode="c")  # copy on write: torch takes no read-only memory
        labels = np.load(folder / "labels.npy")
        group_N = np.load(folder / "groups.npy") if about.group else None
        names_N = np.load(folder / "names.npy") if (folder / "names.npy").exists() else None
        with (folder / "splits.npz").open("rb") as raw, np.load(raw) as file:
            splits = {key: file[key] for key in file}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FittingroomError(f"{folder} is damaged ({error}); delete it and give the pictures' path again") from None
    if images.nbytes <= HASHED_BYTES and _sha256(folder / "images.npy") != about.sha256:
        raise FittingroomError(
            f"{folder / 'images.npy'} has changed; delete {folder} and give the pictures' path again"
        )
    if _content(about.sha256, labels, splits, about.classes, group_N) != about.digest:
        raise FittingroomError(f"{folder}: labels, groups or splits have changed; delete it and give the path again")
    return Brought(Rows(images, np.arange(len(images))), labels, splits, names_N, group_N)


def _content(
    sha256: str, labels_N: np.ndarray, rows: dict[str, np.ndarray], classes: tuple[str, ...], group_N: np.ndarray | None
) -> str:
    """What names a tensor file, its labels, groups and splits."""
    prints = {split: hashlib.sha256(r.tobytes()).hexdigest() for split, r in rows.items()}
    labels = hashlib.sha256(labels_N.tobytes()).hexdigest()
    grouped = {} if group_N is None else {"groups": hashlib.sha256(group_N.tobytes()).hexdigest()}
    return digest({"images": sha256, "labels": labels, "splits": prints, "classes": classes} | grouped)


def _share(test_fraction: float | None) -> float:
    return TEST_FRACTION if test_fraction is None else test_fraction


def source_words(about: Own) -> str:
    """How the splits came about, in words."""
    if not about.carved:
        return "train and test as they came" + (", validation too" if "val" in about.counts else "")
    if about.test_fraction == 0:
        return "no test part was carved (data.test_fraction = 0)"
    undivided = f"near duplicates{f' and what belongs together ({about.group})' if about.group else ''} on one side"
    return f"test ({_share(about.test_fraction):.0%}) carved by fittingroom: stratified, {undivided}"


# ---------------------------------------------------------------- making it


def _refuse_too_little(listing: Listing, path: Path) -> None:
    if not listing.labels:
        reasons = "\n".join(f"  {why}" for why in [*listing.faults[:5], *listing.remarks])
        raise FittingroomError(
            f"{path} has no picture with a label that can be read" + (f":\n{reasons}" if reasons else "")
        )
    if len(set(listing.labels)) < 2:
        raise FittingroomError(
            f'{path} has one class only ("{listing.labels[0]}"); a classifier needs two: a folder for each class'
        )
    if len(set(listing.labels)) == len(listing.labels) > MOST_ALONE:
        raise FittingroomError(
            f"{path}: each of {len(listing.labels):,} pictures has a label of its own ({shown(listing.labels, 3)}); "
            "a class needs several pictures. Are these names of pictures, or numbers to be estimated, which is not done here?"
        )
    if set(listing.splits) - {""} and "train" not in listing.splits:
        raise FittingroomError(f"{path} has {shown(sorted(set(listing.splits)))} but no train")


def _stamp(path: Path, listing: Listing, spec: ShapeSpec) -> str:
    """Changes whenever a file's name, size or time does, or what it is to become."""
    facts = [file.stat() for file in listing.files]
    files = [(str(file), f.st_size, f.st_mtime_ns) for file, f in zip(listing.files, facts, strict=True)]
    shape = {key: getattr(spec, key) for key in ShapeSpec.model_fields}
    text = digest(
        {"version": VERSION, "root": os.fsencode(path).hex(), "shape": shape, "splits": Counter(listing.splits)}
    )
    return hashlib.sha256((text + repr(files)).encode("utf-8", "surrogateescape")).hexdigest()


def _indexed(index: Path, home_dir: Path) -> Own | None:
    found = _entry(index, home_dir)
    return found[0] if found else None


def _entry(index: Path, home_dir: Path) -> tuple[Own, str] | None:
    """What was made of which path; None for what is not there any more, or damaged: it is made again."""
    try:
        tree = sealed_json(plain_bytes(index, MOST_ABOUT))
        about = Own.model_validate(tree["about"])
        kept = reopen(about.digest, home_dir)
        if kept is None:
            return None
        return about.model_copy(update={"beside": kept.beside}), str(tree["path"])  # as the last source had them
    except (OSError, FittingroomError, ValueError, KeyError, TypeError):
        return None


def _make(path: Path, listing: Listing, spec: ShapeSpec, home_dir: Path, tick: Tick) -> Own:
    named = group_names(listing, spec.group) if spec.group else None  # before any picture is decoded
    wide = _any_wide(listing)
    scale = spec.range or (_range(listing) if wide else None)
    target, remarks = _target(path, listing, spec, scale)
    if scale and wide:
        why = "as data.range says" if spec.range else "what occurs; data.range=[LOW,HIGH] sets another"
        remarks.append(f"pictures of more than eight bits: {scale[0]:g} becomes black and {scale[1]:g} white ({why})")
    elif scale:
        remarks.append(
            "data.range is for pictures of more than eight bits, and none that was looked at has more: leave it away"
        )
    classes = listing.in_order()
    number = {name: i for i, name in enumerate(classes)}
    folder = home_dir / "images"
    with explained(folder), scratch("making", folder) as place:
        here = place / "set"
        here.mkdir()
        kept, bad, paled = _write_images(listing, target, scale, here / "images.npy", tick)
        if paled:
            remarks.append(f"{paled:,} pictures with colour became grey; data.channels = 3 keeps it")
        labels_N = np.array([number[listing.labels[i]] for i in kept], np.int64)
        if len(np.unique(labels_N)) < 2:
            reasons = "\n".join(f"  {fault}" for fault in bad[:5])
            raise FittingroomError(f"{path}: the pictures that can be read are of fewer than two classes:\n{reasons}")
        images = Rows(np.load(here / "images.npy", mmap_mode="c"), np.arange(len(kept)))
        group_N = None if named is None else np.array(numbers([named[i] for i in kept]), np.int64)
        prints = [hashlib.sha256(image.tobytes()).digest() for part in chunks(images) for image in part]
        rows, carved = _splits(
            [listing.splits[i] for i in kept], labels_N, images, prints, len(classes), path, group_N, spec
        )
        counts = {s: tuple(np.bincount(labels_N[r], minlength=len(classes)).tolist()) for s, r in rows.items()}
        np.save(here / "labels.npy", labels_N)
        np.save(here / "names.npy", np.array([listing.names[i] for i in kept], str))
        files = _files(listing)
        if files:
            write(here / "files.json", json.dumps([files[i] for i in kept]))
        if group_N is not None:
            np.save(here / "groups.npy", group_N)
        np.savez(here / "splits.npz", **rows)  # type: ignore[arg-type]
        sha256 = _sha256(here / "images.npy")
        content = _content(sha256, labels_N, rows, classes, group_N)
        rule = "" if spec.group else suspected(listing)
        about = Own(
            name=listing.name,
            digest=content,
            sha256=sha256,
            classes=classes,
            shape=target.shape,
            resize=target.resize,
            counts=counts,
            carved=carved,
            remarks=(
                *remarks,
                *_about_classes(classes, counts),
                *_about_copies(images, rows, carved),
                *_about_contradictions(prints, labels_N, [listing.names[i] for i in kept], classes),
                *_about_groups(listing, spec.group or "", rule, rows, group_N),
            ),
            faults=tuple((fault.where, fault.reason) for fault in bad),
            range=scale,
            group=spec.group or "",
            test_fraction=spec.test_fraction,
            suspected=rule,
            groups={} if group_N is None else {split: len(np.unique(group_N[r])) for split, r in rows.items()},
            beside={name: _sha256(here / name) for name in BESIDE if (here / name).exists()},
        )
        write(here / "about.json", json_with_seal(about.model_dump(mode="json")))
        final = folder / content[:16]
        try:
            here.rename(final)
        except OSError:  # the same content came from elsewhere before, or from a version that kept no names
            if not final.exists():
                raise
            _rename_pictures(here, final, about)
    return about


def _rename_pictures(here: Path, final: Path, about: Own) -> None:
    """What pictures that are there already are called now, and where they are.

    Until all of it is there `about.json` says nothing of it: whoever is killed or looks in between finds no damage.
    """
    write(final / "about.json", json_with_seal(about.model_copy(update={"beside": {}}).model_dump(mode="json")))
    for name in BESIDE:
        if (here / name).exists():
            (here / name).replace(final / name)
        else:  # another source's
            (final / name).unlink(missing_ok=True)
    (here / "about.json").replace(final / "about.json")


def _files(listing: Listing) -> list[str]:
    """Where each picture is, as absolute paths; [] where they are no files of their own."""
    found = []
    for picture in listing.pictures():
        if not isinstance(picture, Path):
            return []
        found.append(str(picture.absolute()))
    return found


def files_of(about: Own, home_dir: Path) -> dict[str, Path]:
    """The file of each picture by what it is called; {} where they have none, or were brought before that was kept."""
    folder = home_dir / "images" / about.digest[:16]
    try:
        files = json.loads((folder / "files.json").read_text(encoding="utf-8"))
        names = np.load(folder / "names.npy").tolist()
        return {name: Path(file) for name, file in zip(names, files, strict=True)}
    except (OSError, ValueError, TypeError):
        return {}


def _any_wide(listing: Listing) -> bool:
    """Whether any of a sample of the pictures has more than eight bits."""
    step = max(1, len(listing.labels) // SAMPLED)
    return any(map(values_of, islice(listing.pictures(), 0, None, step)))


def _range(listing: Listing) -> Range:
    """The least and the largest value of all pictures of more than eight bits, of which there are some."""
    with ThreadPoolExecutor(cores()) as pool:
        found = [ends for ends in _in_order(pool, values_of, listing.pictures()) if ends]
    low, high = min(low for low, _ in found), max(high for _, high in found)
    return (low, high) if high > low else (low, low + 1)


def _target(path: Path, listing: Listing, spec: ShapeSpec, scale: Range | None) -> tuple[Target, list[str]]:
    """The shape for these pictures, from a sample of them."""
    step = max(1, len(listing.labels) // SAMPLED)

    def looked_at(picture: Picture) -> Look | None:
        try:
            image = decode(picture, scale)
            return Look(image.height, image.width, image.mode, is_grey(image))
        except Unreadable:
            return None

    with ThreadPoolExecutor(cores()) as pool:
        sampled = islice(listing.pictures(), 0, None, step)
        sample = [found for found in _in_order(pool, looked_at, sampled) if found is not None]
    if not sample:
        sample = [found for found in map(looked_at, listing.pictures()) if found is not None][:SAMPLED]
    if not sample:
        reasons = "\n".join(f"  {fault}" for fault in [*listing.faults, *_first_faults(listing)][:5])
        raise FittingroomError(f"{path}: none of {len(listing.labels):,} pictures can be read:\n{reasons}")
    return choose(spec, sample)


def _first_faults(listing: Listing) -> Iterator[Fault]:
    for name, picture in islice(zip(listing.names, listing.pictures(), strict=True), 5):
        try:
            decode(picture)
        except Unreadable as error:
            yield Fault(name, str(error))


def _write_images(
    listing: Listing, target: Target, scale: Range | None, path: Path, tick: Tick
) -> tuple[list[int], list[Fault], int]:
    """Decode every picture into an .npy file: the numbers of those kept, the faults, and how many lost colour."""
    n = len(listing.labels)
    needed, free = n * math.prod(target.shape), shutil.disk_usage(path.parent).free
    if needed > free:
        c, h, w = target.shape
        raise FittingroomError(
            f"{n:,} pictures of {c}×{h}×{w} take {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} are free on that disk; "
            "set a smaller data.image_size, or name another place: --home"
        )
    kept: list[int] = []
    faults: list[Fault] = []
    paled = 0

    def decoded(chunk: list[tuple[int, Picture]]) -> list[tuple[int, np.ndarray | str, bool]]:
        out: list[tuple[int, np.ndarray | str, bool]] = []
        for i, picture in chunk:
            try:
                image = decode(picture, scale)
                out.append((i, target.fit(image), target.channels == 1 and not is_grey(image)))
            except Unreadable as error:
                out.append((i, str(error), False))
        return out

    with path.open("wb") as file, ThreadPoolExecutor(cores()) as pool:
        head = _write_head(file, (n, *target.shape))
        for chunk in _in_order(pool, decoded, _chunked(enumerate(listing.pictures()), CHUNK)):
            for i, result, lost in chunk:
                if isinstance(result, str):
                    faults.append(Fault(listing.names[i], result))
                else:
                    file.write(result.tobytes())
                    kept.append(i)
                    paled += lost
            tick((chunk[-1][0] + 1) / n)
        file.seek(0)
        assert _write_head(file, (len(kept), *target.shape)) == head
        file.flush()
        os.fsync(file.fileno())
    return kept, faults, paled


def _write_head(file: object, shape: tuple[int, ...]) -> int:
    """The head of an .npy file; NumPy leaves it room, so that another number of images needs as many bytes."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})  # type: ignore[arg-type]
    return int(file.tell())  # type: ignore[attr-defined]


def _in_order(pool: ThreadPoolExecutor, work: Callable[[T], R], todo: Iterable[T]) -> Iterator[R]:
    """What `work` makes of each, in order, with no more begun than the pool can chew. Pillow works outside the GIL."""
    begun: deque[Future[R]] = deque()
    for item in todo:
        begun.append(pool.submit(work, item))
        if len(begun) > 2 * cores():
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _chunked(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _splits(
    splits: list[str],
    labels_N: np.ndarray,
    images: Pixels,
    prints: Sequence[bytes],
    k: int,
    path: Path,
    group_N: np.ndarray | None,
    spec: ShapeSpec,
) -> tuple[dict[str, np.ndarray], bool]:
    """The rows of train, test and, where it came along, val; and whether test had to be carved out of train."""
    given = np.array(splits)
    rows = {split: np.flatnonzero(given == split) for split in ("train", "val", "test") if (given == split).any()}
    rest = rows.pop("train", np.flatnonzero(given == ""))
    if "test" in rows and spec.test_fraction is not None:
        raise FittingroomError(
            f"{path} brings a test part of its own; leave data.test_fraction = {spec.test_fraction:g} away"
        )
    if "test" in rows:
        return {"train": rest, **rows}, False
    fraction = _share(spec.test_fraction)
    if fraction == 0:
        return {"train": rest, **rows, "test": rest[:0]}, True
    mine = images.take(rest) if isinstance(images, Rows) else images[rest]
    near_N, rng = groups(len(rest), near_links(mine, spec.near)), np.random.default_rng(0)
    if group_N is None:
        in_test = draw(labels_N[rest], k, fraction, rng, near_N)
    else:
        near_N = joined_groups(near_N, group_N[rest])
        # at least two: of one group nothing could be said
        in_test = draw_groups(labels_N[rest], k, fraction, rng, near_N, least=2)
    torn_N = contradictory([prints[i] for i in rest.tolist()], labels_N[rest])
    clear = in_test & ~np.isin(near_N, near_N[torn_N])  # what is labelled both ways can show nothing
    in_test = clear if clear.any() else in_test
    if group_N is not None and not (in_test.any() and not in_test.all()):
        raise FittingroomError(
            f"{path} has {len(np.unique(group_N[rest]))} groups by data.group, too few (or too large) to carve a test set from "
            "without dividing one; add a test/ folder, or name smaller groups"
        )
    if not in_test.any() and np.rint(np.bincount(labels_N[rest]) * fraction).any():
        raise FittingroomError(
            f"{path}: nearly all pictures are near copies of another, so no test set can be carved; a larger data.image_size may "
            f"tell them apart (data.image_size=[30,400] keeps a strip), data.near sets how near is near (0: exact copies only)"
        )
    if not in_test.any():
        raise FittingroomError(
            f"{path} has {len(rest)} pictures to train on, too few to carve a test set of {fraction:.0%} from; "
            "add pictures, or a test/ folder, or cross-validate all of them: data.test_fraction=0"
        )
    return {"train": rest[~in_test], **rows, "test": rest[in_test]}, True


def _about_classes(classes: tuple[str, ...], counts: dict[str, tuple[int, ...]]) -> list[str]:
    """What a careful colleague would say about the sizes of the classes."""
    said = []
    for split, of_class in counts.items():
        none = [name for name, n in zip(classes, of_class, strict=True) if n == 0]
        if none and any(of_class):
            hint = ", and what is never trained is never predicted" if split == "train" else ""
            said.append(f"no picture in {split} of: {shown(none)}{hint}")
    train = {name: n for name, n in zip(classes, counts["train"], strict=True) if n}
    small, large = min(train, key=lambda c: train[c]), max(train, key=lambda c: train[c])
    if train[large] > IMBALANCED * train[small]:
        said.append(
            f'the classes are not balanced: {train[small]:,} training pictures of "{small}", {train[large]:,} of "{large}"; '
            "look at balanced accuracy, and try train.balance=loss or train.balance=sampling"
        )
    folded = Counter(name.casefold() for name in classes)
    twins = [name for name in classes if folded[name.casefold()] > 1]
    if twins:
        said.append(f"classes whose names differ in capitals only: {shown(twins)}")
    return said


def _about_copies(images: Rows, rows: dict[str, np.ndarray], carved: bool) -> list[str]:
    """How many held-out pictures are copies of training pictures, pixel by pixel. Carved ones never are."""

    def prints(split: str) -> list[bytes]:
        mine = images.take(rows[split])
        return [hashlib.sha256(mine[i : i + 1].tobytes()).digest() for i in range(len(mine))]

    told = [split for split in ("val", "test") if split in rows and not (carved and split == "test")]
    seen = set(prints("train")) if told else set()
    found = {split: sum(p in seen for p in prints(split)) for split in told}
    return [
        f"{n:,} of {len(rows[split]):,} {split} pictures are in train, too, pixel by pixel: scores will flatter"
        for split, n in found.items()
        if n
    ]


def contradictory(prints: Sequence[bytes], labels_N: np.ndarray) -> np.ndarray:
    """The rows of pictures that are there under another label, too, by what each hashes to."""
    seen: dict[bytes, list[int]] = {}
    for row, print_ in enumerate(prints):
        seen.setdefault(print_, []).append(row)
    torn = [rows for rows in seen.values() if len(set(labels_N[rows])) > 1]
    return np.array(sorted(row for rows in torn for row in rows), np.int64)


def _about_contradictions(
    prints: Sequence[bytes], labels_N: np.ndarray, names: Sequence[str], classes: Sequence[str]
) -> list[str]:
    """Pictures under two labels, by name."""
    torn_N = contradictory(prints, labels_N)
    if not len(torn_N):
        return []
    told = shown((f"{names[i]} ({classes[labels_N[i]]})" for i in torn_N.tolist()), 4)
    return [
        f"{len(torn_N):,} pictures are there under another label, too, pixel by pixel: {told}; one label of each is wrong; "
        "they are kept out of a carved test set"
    ]


def _about_groups(
    listing: Listing, named: str, look: str, rows: dict[str, np.ndarray], group_N: np.ndarray | None
) -> list[str]:
    """Groups that a given split divides; and what looks like groups that nobody named, and columns that nobody used."""
    said = []
    if group_N is not None:
        seen = set(group_N[rows["train"]])
        for split in ("val", "test"):
            shared = seen & set(group_N[rows[split]]) if split in rows else set()
            if shared:
                said.append(
                    f"{len(shared):,} of {len(np.unique(group_N[rows[split]])):,} groups ({named}) of {split} are in train, "
                    "too: scores will flatter"
                )
    if look:
        said.append(
            f'these pictures look as if some belonged together: data.group = "{look}" keeps those on one side of every split, '
            "and the intervals honest; without it scores can flatter"
        )
    idle = [name for name in listing.columns if name != named]
    if idle:
        said.append(f"columns that say nothing here: {shown(idle)} (data.group can name one)")
    return said


def _tell(about: Own, say: Say) -> None:
    total = {split: sum(of_class) for split, of_class in about.counts.items()}
    c, h, w = about.shape
    parts = ", ".join(
        f"{n:,} {split}" + (f" ({about.groups[split]:,} groups)" if about.groups else "") for split, n in total.items()
    )
    say(f"{about.name}: {parts}, {len(about.classes)} classes, as {c}×{h}×{w} ({about.resize}); {source_words(about)}")
    for remark in about.remarks:
        say(f"note: {remark}")
    for reason, places in by_reason(about.faults).items():
        say(f"left out: {shown(places)}: {reason}")


def by_reason(faults: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The places of each reason, the most frequent reason first."""
    found: dict[str, list[str]] = {}
    for where, reason in faults:
        found.setdefault(reason, []).append(where)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
