"""Which pictures belong together: a patient's, a video's, a day's. By a column, by folders, or by a pattern over their names.

Pictures of one group succeed and fail together, and a model that has seen one knows the others: a group that nobody named lands
on both sides of a split. So what looks like groups is pointed out, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from fittingroom.data.own.listing import Listing, shown, split_of
from fittingroom.spec.errors import FittingroomError, unknown

FOLDER, PATTERN = "folder", "re:"
TELLING = re.compile(  # columns that say what belongs together, whatever is around the word
    r"(?:^|_)(patient|subject|person|participant|user|session|visit|video|clip|scene|site|centre|center|hospital|slide|specimen"
    r"|plant|animal|module|panel|machine|device|camera|batch|day|group)s?(?:_?(?:id|no|nr|number|name))?$"
)
NUMBERED = re.compile(r"^(.*?[0-9].*?)[-_ .]+[a-z]*[0-9]+$", re.I)  # p03_img7: a name with a number in it, then another


def group_names(listing: Listing, rule: str) -> list[str]:
    """The group of each picture of `listing` by `rule`; "" for one that is alone.

    `rule` is a column of the table, "folder" (the folder below the class folder; folders of one name are one group), or
    "re:PATTERN", which is looked for in each path: its groups (or all that it matches), joined. Raises `FittingroomError`.
    """
    if rule == FOLDER:
        found = _folders(listing)
        if not any(found):
            raise FittingroomError(
                f'data.group = "folder": no picture of {listing.name} lies in a folder below its class folder, as in '
                f"{listing.labels[0]}/patient 1/picture.png; they are called {shown(listing.names, 2)}"
            )
        return found
    if rule.startswith(PATTERN):
        return _matched(listing, rule.removeprefix(PATTERN))
    if rule in listing.columns:
        found = [str(value).strip() for value in listing.columns[rule]]
        if not any(found):
            raise FittingroomError(f'data.group = "{rule}": that column of {listing.name} is empty')
        return found
    raise unknown(
        "data.group", rule, listing.columns,
        f'the columns of {listing.name} ({shown(listing.columns) or "it has none"}), "folder" (below the class folder), '
        '"re:PATTERN" over the path',
    )  # fmt: skip


def suspected(listing: Listing) -> str:
    """The rule by which the pictures of `listing` look as if they belonged together; "" if nothing looks so.

    >>> names = [f"cats/p{i // 3}_img{i}.png" for i in range(9)]
    >>> suspected(Listing("x", ["cats"] * 9, [""] * 9, names, lambda: iter([]), []))
    're:(p[0-9]+)_img[0-9]+[^/]*$'
    """
    for column, values in listing.columns.items():
        if TELLING.search(column.casefold()) and _could_be(values, listing.labels):
            return column
    folders = _folders(listing)
    if all(folders) and _could_be(folders, listing.labels):
        return FOLDER
    heads, shapes = [], set()
    for name in listing.names:
        stem = PurePosixPath(name.replace("\\", "/")).stem
        found = NUMBERED.match(stem)
        if not found:
            return ""
        heads.append(found[1])
        shapes.add(_shape(stem, len(found[1])))
    return PATTERN + shapes.pop() + "[^/]*$" if len(shapes) == 1 and _could_be(heads, listing.labels) else ""


def _could_be(groups: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether these could be groups: of two pictures or more on average, and more than one in some class."""
    n, pairs = len(set(groups)), set(zip(groups, labels, strict=True))
    return 2 <= n <= len(groups) / 2 and max(Counter(label for _, label in pairs).values()) > 1


def _folders(listing: Listing) -> list[str]:
    """The folders of each path between that of its class and the file: "p01" of "train/cats/p01/a.png"."""
    found, has_splits = [], any(listing.splits)
    for name, label in zip(listing.names, listing.labels, strict=True):
        parts = PurePosixPath(name.replace("\\", "/")).parts[:-1]
        if has_splits:
            parts = tuple(part for part in parts if part == label or not split_of(part))
        found.append("/".join(parts[1:]) if parts and parts[0] == label else "")
    return found


def _shape(stem: str, head: int) -> str:
    """A pattern for names like `stem`, whose first `head` characters are the group."""

    def shape(text: str) -> str:
        return re.sub(r"[0-9]+", "[0-9]+", re.escape(text))

    return f"({shape(stem[:head])}){shape(stem[head:])}"


def _matched(listing: Listing, pattern: str) -> list[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise FittingroomError(f'data.group = "re:{pattern}" is no pattern: {error}') from None
    hits = [compiled.search(name.replace("\\", "/")) for name in listing.names]
    missed = [name for name, hit in zip(listing.names, hits, strict=True) if hit is None]
    if missed:
        raise FittingroomError(
            f'data.group = "re:{pattern}" is not in {len(missed):,} of {len(hits):,} paths: {shown(missed, 3)}'
        )
    return ["/".join(hit.groups("") or (hit[0],)) for hit in hits if hit]


def numbers(names: Sequence[str]) -> list[int]:
    """A number for each picture, the same for those of one group; a picture without a name is alone.

    >>> numbers(["b", "", "a", "b", ""])
    [0, 1, 2, 0, 3]
    """
    known: dict[str, int] = {}
    found = []
    for i, name in enumerate(names):
        found.append(known.setdefault(name or f"\x00{i}", len(known)))
    return found
