"""Tables of pictures: a CSV or Parquet of path and label, and Parquet or Arrow files with the pictures inside (Hugging Face)."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fittingroom.data.own.decode import is_file
from fittingroom.data.own.folders import READ
from fittingroom.data.own.listing import Fault, Listing, Picture, clean, shown, split_of
from fittingroom.spec.errors import FittingroomError, need, unknown
from fittingroom.spec.recipe import ShapeSpec

COLUMNS = {
    "picture": ("image", "img", "picture", "path", "file", "filename", "file_name", "filepath", "image_path"),
    "label": ("label", "labels", "class", "target", "category", "fine_label"),
    "split": ("split", "subset", "partition"),
}
SUFFIXES = (".parquet", ".arrow")
AS_USUAL = ShapeSpec()
BATCH_ROWS = 256


def list_csv(path: Path, read: ShapeSpec = AS_USUAL) -> Listing:
    """The pictures that a CSV names: columns `path` and `label` (or those that `read` names), and `split` if there is one.

    Paths are relative to it, or to the folder that `read` names.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FittingroomError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start:,})") from None
    except OSError as error:
        raise FittingroomError(f"cannot read {path}: {error.strerror}") from None
    head = text.partition("\n")[0]
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count)))
    except csv.Error as error:
        raise FittingroomError(f"{path} is no table: {error}; is a quote left open?") from None
    while rows and not any(rows[-1]):
        rows.pop()
    if not rows:
        raise FittingroomError(f"{path} is empty; its first line names the columns: path,label")
    head_names = [name.strip() for name in rows[0]]
    column = _columns(head_names, path, read)

    def values(i: int) -> list[str]:
        return [row[i].strip() if i < len(row) else "" for row in rows[1:]]

    table = {what: values(i) for what, i in column.items()}
    more = {name: values(i) for i, name in enumerate(head_names) if i not in column.values()}
    return _of_paths(path, [f"line {i + 2}" for i in range(len(rows) - 1)], table, more, read=read)


def in_folder(folder: Path) -> bool:
    """Whether `folder` is a Hugging Face data set on disk: Parquet or Arrow files."""
    return bool(_files(folder))


def list_tables(path: Path, read: ShapeSpec = AS_USUAL) -> Listing:
    """The pictures of Parquet or Arrow files: paths, or the encoded pictures themselves. Needs pyarrow.

    The split is in the file's or the folder's name (`train-00000-of-00002.parquet`), or in a column.
    """
    need("pyarrow", f"reading {path.name}", "parquet")
    files = _files(path) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent

    def configuration(file: Path) -> str:
        return "/".join(part for part in file.parent.relative_to(root).parts if split_of(part) is None)

    configurations = sorted({configuration(file) for file in files})
    if len(configurations) > 1:
        raise FittingroomError(f"{path} holds several data sets: {shown(configurations)}; give the path of one of them")
    schema = _schema(files[0])
    column = _columns(schema.names, path, read)
    names = {what: schema.names[i] for what, i in column.items()}
    classes = _class_names(schema, names["label"])
    labels: list[str] = []
    splits: list[str] = []
    where: list[str] = []
    inside = not _is_text(schema.field(names["picture"]).type)
    paths: list[str] = []
    more: dict[str, list[str]] = {
        name: [] for name in schema.names if name not in names.values() and _is_plain(schema.field(name).type)
    }
    for file in files:
        wanted = [names["label"], *([names["split"]] if "split" in names else []), *more]
        wanted += [] if inside else [names["picture"]]
        row = 0
        for batch in _batches(file, wanted):
            table = batch.to_pydict()
            if names["label"] not in table:
                raise FittingroomError(f"{file} has no column {names['label']}")
            labels += [_label(value, classes) for value in table[names["label"]]]
            splits += table[names["split"]] if "split" in names else [_split_in(file, root)] * batch.num_rows
            where += [f"{file.relative_to(root)} row {row + i}" for i in range(batch.num_rows)]
            paths += [] if inside else [str(value) for value in table[names["picture"]]]
            for name, so_far in more.items():
                so_far += ["" if value is None else clean(str(value)) for value in table[name]]
            row += batch.num_rows
    if not inside:
        return _of_paths(path, where, {"picture": paths, "label": labels, "split": splits}, more, files, classes, read)
    keep, faults = _labelled(labels, where)
    chosen = set(keep)

    def pictures() -> Iterator[Picture]:
        number = 0
        for file in files:
            for batch in _batches(file, [names["picture"]]):
                for value in batch.column(0).to_pylist():
                    if number in chosen:
                        yield _encoded(value, root)
                    number += 1

    return Listing(
        name=clean(path.stem if path.is_file() else path.name),
        labels=[labels[i] for i in keep],
        splits=_split_words([splits[i] for i in keep], path),
        names=[clean(where[i]) for i in keep],
        pictures=pictures,
        files=files,
        classes=classes,
        columns={clean(name): [values[i] for i in keep] for name, values in more.items()},
        faults=faults,
    )


def _of_paths(
    path: Path,
    where: list[str],
    table: dict[str, list[str]],
    more: dict[str, list[str]],
    files: Sequence[Path] = (),
    classes: tuple[str, ...] = (),
    read: ShapeSpec = AS_USUAL,
) -> Listing:
    keep, faults = _labelled(table["label"], where)
    root = path if path.is_dir() else path.parent
    if read.images:
        root = root / Path(read.images).expanduser()
        if not root.is_dir():
            raise FittingroomError(f'data.images = "{read.images}": there is no folder {root}')
    paths = [_file(root / table["picture"][i].replace("\\", "/")) for i in keep]  # as Windows writes them
    return Listing(
        name=clean(path.stem if path.is_file() else path.name),
        labels=[clean(table["label"][i]) for i in keep],
        splits=_split_words([table["split"][i] for i in keep] if "split" in table else [""] * len(keep), path),
        names=[clean(table["picture"][i]) for i in keep],
        pictures=lambda: iter(paths),
        files=[*(files or [path]), *(p for p in paths if is_file(p))],
        classes=classes,
        columns={clean(name): [values[i] for i in keep] for name, values in more.items()},
        faults=faults,
    )


def _file(path: Path) -> Path:
    """The picture that is meant: the file, or the one of the same name with a suffix."""
    if path.suffix or is_file(path):
        return path
    return next((found for suffix in READ if is_file(found := path.with_name(path.name + suffix))), path)


def _labelled(labels: Sequence[str], where: Sequence[str]) -> tuple[list[int], list[Fault]]:
    keep = [i for i, label in enumerate(labels) if label]
    return keep, [Fault(clean(where[i]), "has no label") for i, label in enumerate(labels) if not label]


def _split_words(words: Sequence[str], path: Path) -> list[str]:
    unknown = sorted({word for word in words if word and split_of(str(word)) is None}, key=str)
    if unknown:
        found = shown(clean(str(word)) for word in unknown)
        raise FittingroomError(f"{path}: unknown split {found}; it is one of: train, val, test")
    if any(words) and not all(words):
        raise FittingroomError(f"{path}: some rows have a split and some have none; give every row one, or no row")
    return [split_of(word or "") or "" for word in words]


def _columns(names: Sequence[str], path: Path, read: ShapeSpec) -> dict[str, int]:
    found = {}
    for what, key, named in (("picture", "path", read.path), ("label", "label", read.label)):
        if named and named not in names:
            raise unknown(f"data.{key}", named, names, f"the columns of {path.name}: {shown(map(clean, names))}")
        if named:
            found[what] = list(names).index(named)
    for what, accepted in COLUMNS.items():
        fitting = [i for word in accepted for i, name in enumerate(names) if name.casefold() == word]
        if fitting:
            found.setdefault(what, fitting[0])
    for what, key in (("picture", "path"), ("label", "label")):
        if what not in found:
            raise FittingroomError(
                f"{path} has no column for the {what}; it has: {shown(map(clean, names))}; say which: data.{key}=COLUMN"
            )
    return found


# ---------------------------------------------------------------- Parquet and Arrow


def _files(folder: Path) -> list[Path]:
    return sorted(
        p
        for p in folder.rglob("*")
        if p.suffix in SUFFIXES and not any(part.startswith((".", "cache-")) for part in p.relative_to(folder).parts)
    )


def _split_in(file: Path, root: Path) -> str:
    """The split that a file's own name or a folder above it says, the nearest first; "" for none."""
    words = re.split(r"[-_.]", file.name)
    parts = [words[0], *words[-2:-1], *(part for part in reversed(file.parent.relative_to(root).parts))]
    return next((split for part in parts if (split := split_of(part))), "")


def _schema(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file) if file.suffix == ".parquet" else _arrow(file).schema
    except (pa.ArrowException, OSError, UnicodeEncodeError) as error:
        raise FittingroomError(f"{file} is not readable: {str(error).splitlines()[0]}") from None


def _batches(file: Path, columns: list[str]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if file.suffix == ".parquet":
            yield from pq.ParquetFile(file).iter_batches(BATCH_ROWS, columns=columns)
        else:
            for batch in _arrow(file):
                yield batch.select(columns)
    except (pa.ArrowException, OSError, UnicodeEncodeError, KeyError) as error:
        raise FittingroomError(f"{file} is not readable: {str(error).splitlines()[0]}") from None


def _arrow(file: Path) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(pa.memory_map(str(file)))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_plain(kind: Any) -> bool:
    """Whether values of this type are short enough to be looked at: texts, whole numbers, truth values, dates."""
    import pyarrow as pa

    is_date = pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    return _is_text(kind) or is_date or bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _class_names(schema: Any, label: str) -> tuple[str, ...]:
    """The names of integer labels that Hugging Face keeps in the schema's metadata; () where there are none."""
    content = (schema.metadata or {}).get(b"huggingface")
    try:
        feature = json.loads(content)["info"]["features"][label] if content else {}
        return tuple(clean(str(name)) for name in feature.get("names", ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()


def _label(value: Any, classes: tuple[str, ...]) -> str:
    """A label as its class's name; "" for none: Hugging Face marks a withheld one of its class labels with -1.

    Raises `FittingroomError` for several labels.
    """
    if isinstance(value, list | dict):
        raise FittingroomError(
            f"labels are lists, for example {value!r}: that is multi-label, which is not done here; keep one label a picture"
        )
    if value is None or value != value or (classes and value == -1):
        return ""
    if classes and isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else ""
    if isinstance(value, float):
        value = _whole(value)
    return clean(str(value).strip())


def _whole(value: float) -> int:
    """A whole number that a column with gaps holds as a float. Raises `FittingroomError` for another."""
    if value != round(value):
        raise FittingroomError(
            f"labels are numbers like {value:g}: that is regression, which is not done here; cut them into classes"
        )
    return round(value)


def _encoded(value: Any, root: Path) -> Picture:
    if isinstance(value, dict):  # Hugging Face's Image: the bytes, or the path of a file
        value = value.get("bytes") or root / str(value.get("path"))
    return value if isinstance(value, bytes | Path) else b""
