"""Resident images, and a test set behind a lock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np

from fittingroom.data import own
from fittingroom.data.acquire import acquire, provenance
from fittingroom.data.catalog import DatasetEntry, catalog, entry
from fittingroom.data.idx import parse_idx
from fittingroom.data.pixels import Pixels, chunks, take
from fittingroom.spec.errors import FittingroomError, unknown
from fittingroom.spec.framing import Framing, Subject
from fittingroom.spec.printable import called
from fittingroom.spec.recipe import ShapeSpec
from fittingroom.store.fetch import Say, Tick, home, read_payload

AS_THEY_CAME = ShapeSpec()
RECENT = 2  # data sets that a process keeps: the jobs of a question share theirs
_recent: OrderedDict[tuple[str, str, Path], Dataset] = OrderedDict()  # by name, digest and home


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Labelled images: `images_NCHW` uint8 (0–255), `labels_N` int64 (0 … K-1), K class names.

    The images are in memory, or rows of a mapped file where that would be too large (`pixels.Rows`): take what you need.

    >>> tiny = Images(np.zeros((3, 1, 2, 2), np.uint8), np.array([0, 1, 1]), ("a", "b"))
    >>> len(tiny), tiny.take(np.array([2])).labels_N.tolist()
    (3, [1])
    """

    images_NCHW: Pixels
    labels_N: np.ndarray
    classes: tuple[str, ...]
    groups_N: np.ndarray | None = None  # numbers of what belongs together, alike in all parts of a data set
    names_N: np.ndarray | None = None  # what one's own pictures are called: paths below the source

    def __post_init__(self) -> None:
        assert self.images_NCHW.dtype == np.uint8 and self.images_NCHW.ndim == 4
        assert self.labels_N.shape == (len(self.images_NCHW),)

    def __len__(self) -> int:
        return len(self.labels_N)

    def __repr__(self) -> str:
        return f"<Images: {len(self):,} of {'×'.join(map(str, self.shape))}, {len(self.classes)} classes>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, c, h, w = self.images_NCHW.shape
        return c, h, w

    @cached_property
    def prints_N(self) -> np.ndarray:
        """What each image is known by (N,16) uint8, whichever part of a data set it is in. Computed when first asked for."""
        found = b"".join(blake2b(image, digest_size=16).digest() for part in chunks(self.images_NCHW) for image in part)
        return np.frombuffer(found, np.uint8).reshape(-1, 16)

    def take(self, rows: np.ndarray) -> Images:
        groups_N, names_N = (None if known is None else known[rows] for known in (self.groups_N, self.names_N))
        some = Images(take(self.images_NCHW, rows), self.labels_N[rows], self.classes, groups_N, names_N)
        if "prints_N" in vars(self):  # what is known goes along
            vars(some)["prints_N"] = self.prints_N[rows]
        return some

    @property
    def counts(self) -> dict[str, int]:
        """How many images each class has."""
        return dict(zip(self.classes, np.bincount(self.labels_N, minlength=len(self.classes)).tolist(), strict=True))

    def called(self, row: int) -> str:
        """What an image is called: its file's name, or its number."""
        return called(self.names_N, row)


class LockedTest:
    """A test set that cannot be looked at by accident: it holds no image until `unlock`, which is announced first.

    It is no `Images`, so nothing that trains, selects or tunes can be given one. Few places unlock it: the end of a
    run, `stress` and `audit`, which announce to the runs folder's log, and `data show`, which scores nothing.
    """

    def __init__(self, n: int, read: Callable[[], Images], n_groups: int = 0) -> None:
        self.n, self.n_groups = n, n_groups
        self._read = read

    def unlock(self, announce: Callable[[], None]) -> Images:
        """The test images, read from disk after `announce` (which logs the reading) has returned."""
        announce()
        return self._read()


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A verified data set: all training images (not yet split) and the locked test set. Made by `load`."""

    name: str
    title: str
    digest: str
    classes: tuple[str, ...]
    may_flip: bool
    licence: str
    about: str
    train: Images
    test: LockedTest
    acquired: str  # from where, in words
    home_dir: Path
    own: bool = False  # pictures of one's own
    val: Images | None = None  # where it came along; else it is carved from train
    remarks: tuple[str, ...] = ()  # what a careful colleague would say
    faults: tuple[tuple[str, str], ...] = ()  # pictures that were left out: where, why
    shape: ShapeSpec = AS_THEY_CAME  # what pictures were made into; nothing where they are as they came
    suspected_group: str = ""  # a rule by which pictures look as if they belonged together, where none was given
    subject: Subject | None = None  # what an image shows, where that is one thing on an empty ground

    @property
    def framing(self) -> Framing:
        """How a picture from outside is made like these."""
        channels, height, width = self.train.shape
        resize = self.shape.resize or "pad"
        return Framing(
            channels=1 if channels == 1 else 3, height=height, width=width, resize=resize, subject=self.subject,
            range=self.shape.range,
        )  # fmt: skip

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.train.shape))
        return f"<Dataset {self.name}: {len(self.train):,} training and {self.test.n:,} locked test images, {shape}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def _repr_html_(self) -> str:
        from html import escape

        c, h, w = self.train.shape
        return (
            f"<b>{escape(self.title)}</b>: {len(self.train):,} training images, {self.test.n:,} locked test images, "
            f"{c}×{h}×{w}, {len(self.classes)} classes ({escape(', '.join(self.classes))})"
        )


def load(
    name: str,
    home_dir: Path | str | None = None,
    say: Say = lambda line: None,
    *,
    shape: ShapeSpec | None = None,
    strict: bool = False,
    tick: Tick = lambda share: None,
) -> Dataset:
    """The data set called `name`, or the pictures at the path `name`: fetched, verified, decoded if need be.

    `shape` is what pictures are made into; `strict` refuses pictures that cannot be used, which are told and left out
    otherwise; `say` hears what a person should know, `tick` the share (0 … 1) that is decoded.
    Raises `FittingroomError` for an unknown name, files that are not what they must be, or when no source delivers.

    >>> data = load("fashion-mnist")
    >>> data.train.images_NCHW.shape
    (60000, 1, 28, 28)
    """
    where, wanted = home(home_dir), shape or ShapeSpec()
    path = Path(name).expanduser()
    if name in catalog(where):
        return _reshaped(_shipped(entry(name, where), where, say), wanted, where, tick)
    if own.exists(path):
        path = path.resolve()
        listing = own.list_pictures(path, wanted)
        return _own(own.bring(path, listing, wanted, where, say=say, tick=tick, strict=strict), where)
    before = [(about, source) for about, source in own.known(where) if about.name == name]
    if before and own.exists(Path(before[-1][1])):
        return load(before[-1][1], where, say, shape=wanted, strict=strict, tick=tick)
    if before:
        raise FittingroomError(
            f"the pictures of {name} were at {before[-1][1]}, where there is nothing now; give their path"
        )
    if path.suffix or len(path.parts) > 1:
        raise FittingroomError(
            f"there is nothing at {path}; a data set is a name or a path; see: fittingroom data list"
        )
    raise unknown("data set", name, catalog(where), "fittingroom data list (or give the path of a folder of pictures)")


def peek(name: str, home_dir: Path | str | None = None, shape: ShapeSpec | None = None) -> tuple[int, bool]:
    """How many pictures there are under a name or path, and whether some of them came as a test part; none is decoded.

    What `load` would refuse is none.
    """
    where, path = home(home_dir), Path(name).expanduser()
    if name in catalog(where):
        return entry(name, where).files.train_labels.size_bytes - 8, True
    before = [source for about, source in own.known(where) if about.name == name]
    if not own.exists(path) and before:
        path = Path(before[-1])
    if not own.exists(path):
        return 0, False
    try:
        listing = own.list_pictures(path.resolve(), shape or ShapeSpec())
    except FittingroomError:
        return 0, False
    return len(listing.labels), "test" in listing.splits


def reload(name: str, digest: str, home_dir: Path | str | None = None) -> Dataset:
    """The data set of this name and content that a run was made with; one of the last few comes from memory.

    Raises `FittingroomError` if it is not here any more.
    """
    where = home(home_dir)
    key = name, digest, where
    if key in _recent:
        _recent.move_to_end(key)
        return _recent[key]
    return remember(_reloaded(name, digest, where))


def remember(data: Dataset) -> Dataset:
    """Let `reload` give these very images while they are among the last few; the data set itself. They must not be changed."""
    _recent[data.name, data.digest, data.home_dir] = data
    while len(_recent) > RECENT:
        _recent.popitem(last=False)
    return data


def _reloaded(name: str, digest: str, where: Path) -> Dataset:
    about = own.reopen(digest, where)
    if about is not None:
        return _own(about, where, name)
    data = load(name, where)
    if data.digest != digest:
        raise FittingroomError(
            f"the images of {name} (digest {digest[:10]}) are not in {where / 'images'} any more, and those that are called "
            f"{name} now are others; give the path of the pictures with --data to train on them"
        )
    return data


def _shipped(found: DatasetEntry, where: Path, say: Say) -> Dataset:
    folder = acquire(found, where, say)
    files = found.files
    return Dataset(
        name=found.name,
        title=found.title,
        digest=found.digest,
        classes=found.classes,
        may_flip=found.may_flip,
        licence=found.licence,
        about=found.about,
        train=_read_images(found, folder, "train"),
        test=LockedTest(files.test_labels.size_bytes - 8, lambda: _read_images(found, folder, "test")),
        acquired=provenance(found, where),
        home_dir=where,
        subject=found.subject,
    )


def _reshaped(data: Dataset, wanted: ShapeSpec, where: Path, tick: Tick) -> Dataset:
    """A shipped data set with images of another shape; by way of the cache, like pictures of one's own."""
    if wanted.group:
        raise FittingroomError(
            f'data.group = "{wanted.group}": nothing says which pictures of {data.name} belong together; leave it away'
        )
    c, h, w = data.train.shape
    size = (wanted.image_size,) * 2 if isinstance(wanted.image_size, int) else wanted.image_size
    if (size or (h, w)) == (h, w) and (wanted.channels or c) == c:
        return data
    folder = where / "data" / data.name
    parts = {"train": data.train, "test": data.test.unlock(announce=lambda: None)}  # to resize them: nothing is scored
    listing = own.Listing(
        name=data.name,
        labels=[data.classes[label] for part in parts.values() for label in part.labels_N],
        splits=[split for split, part in parts.items() for _ in range(len(part))],
        names=[f"{split} {i}" for split, part in parts.items() for i in range(len(part))],
        pictures=lambda: (image for part in parts.values() for image in part.images_NCHW[:].transpose(0, 2, 3, 1)),
        files=sorted(folder.glob("*ubyte")),
        classes=data.classes,
    )
    silent = {"say": lambda line: None, "strict": True}
    made = _own(own.bring(folder, listing, wanted, where, tick=tick, **silent), where)  # type: ignore[arg-type]
    return replace(data, digest=made.digest, train=made.train, test=made.test, shape=made.shape)


def _own(about: own.Own, where: Path, name: str = "") -> Dataset:
    """Pictures out of the cache, in memory if they are few enough."""
    brought = own.pixels(about, where)
    splits, rows, groups_N = brought.splits, brought.images, brought.groups_N

    def part(split: str) -> Images:
        mine, own_N = rows.take(splits[split]), splits[split]
        small = rows.file.nbytes <= own.RESIDENT_BYTES
        together, names_N = (None if k is None else k[own_N] for k in (groups_N, brought.names_N))
        return Images(mine[:] if small else mine, brought.labels_N[own_N], about.classes, together, names_N)

    c, h, w = about.shape
    title = name or (f"own-{about.name}" if about.name in catalog(where) else about.name)
    return Dataset(
        name=title,
        title=title,
        digest=about.digest,
        classes=about.classes,
        may_flip=True,  # assumption: most pictures show the same thing mirrored; `fittingroom new` says so
        licence="your own",
        about=f"{sum(map(sum, about.counts.values())):,} pictures of your own.",
        train=part("train"),
        test=LockedTest(len(splits["test"]), lambda: part("test"), about.groups.get("test", 0)),
        acquired=own.source_words(about),
        home_dir=where,
        val=part("val") if "val" in splits else None,
        own=True,
        remarks=about.remarks,
        suspected_group=about.suspected,
        faults=about.faults,
        shape=ShapeSpec(
            image_size=h if h == w else (h, w),
            channels=1 if c == 1 else 3,
            resize=about.resize,
            group=about.group or None,
            range=about.range,
            test_fraction=about.test_fraction,
        ),
    )


def _read_images(found: DatasetEntry, folder: Path, split: str) -> Images:
    image_file, label_file = {
        "train": (found.files.train_images, found.files.train_labels),
        "test": (found.files.test_images, found.files.test_labels),
    }[split]
    images = parse_idx(read_payload(folder, image_file), image_file.name)
    labels = parse_idx(read_payload(folder, label_file), label_file.name).astype(np.int64)
    if images.ndim == 3:
        images = images[:, None]
    if labels.ndim != 1 or images.ndim != 4 or len(images) != len(labels):
        raise FittingroomError(f"{found.name}: {split} has {images.shape} images and {labels.shape} labels")
    if labels.size and labels.max() >= len(found.classes):
        raise FittingroomError(f"{found.name}: label {labels.max()} but only {len(found.classes)} class names")
    return Images(images, labels, found.classes)
