"""What a path holds, whatever kind of source it is: the one place that knows them all. Reads no pixels."""

from __future__ import annotations

from pathlib import Path

from fittingroom.data.own import arrays, folders, tables
from fittingroom.data.own.listing import Listing
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import ShapeSpec

ARCHIVES = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")


def exists(path: Path) -> bool:
    """Whether there is something at `path`; False, too, for what no system could call a path."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def list_pictures(path: Path, read: ShapeSpec = tables.AS_USUAL) -> Listing:
    """The listing of whatever `path` is; `read` names a table's columns.

    Raises `FittingroomError` that says what was found and what is accepted.
    """
    suffixes = "".join(path.suffixes[-2:]).casefold()
    if not exists(path):
        raise FittingroomError(f"there is nothing at {path}")
    if path.is_dir():
        if tables.in_folder(path) and not folders.has_pictures(path):
            return tables.list_tables(path, read)
        if arrays.idx_in_folder(path):
            return arrays.list_idx(path)
        return folders.list_folder(path)
    if "idx" in path.name and "ubyte" in path.name:
        return arrays.list_idx(path)
    if suffixes.endswith(ARCHIVES):
        raise FittingroomError(f"{path} is an archive, which is not accepted; unpack it and give the folder")
    match path.suffix.casefold():
        case ".csv" | ".tsv":
            return tables.list_csv(path, read)
        case ".parquet" | ".arrow":
            return tables.list_tables(path, read)
        case ".npz":
            return arrays.list_npz(path)
    raise FittingroomError(
        f"{path} is none of what is accepted: a folder of class folders, a .csv or .parquet of path and label, "
        "an .npz of images and labels, IDX files, a Hugging Face image data set on disk; see: docs/data.md"
    )
