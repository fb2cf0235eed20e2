"""The files behind one's own pictures, at their own size: a page shows small copies, and a click the file."""

from __future__ import annotations

import io
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import urlencode

from PIL import Image

from fittingroom.data.own import known
from fittingroom.data.own.decode import MOST_PIXELS, Range, Unreadable, decode, is_file, opened

SHOWN_BY_BROWSERS = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
}


class Originals:
    """Where the pictures of a home lie that have files of their own; asked anew for each page."""

    def __init__(self, home_dir: Path) -> None:
        self.home_dir = home_dir

    @cached_property
    def _places(self) -> dict[str, list[tuple[Path, Range | None]]]:
        places: dict[str, list[tuple[Path, Range | None]]] = {}
        for about, path in known(self.home_dir):  # the latest last
            source = Path(path)
            places.setdefault(about.name, []).insert(0, (source if source.is_dir() else source.parent, about.range))
        return places

    def _file(self, data: str, called: str) -> tuple[Path, Range | None] | None:
        parts = PurePosixPath(called).parts
        if called.startswith("#") or not parts or PurePosixPath(called).is_absolute() or ".." in parts:
            return None
        places = self._places.get(data, ()) or self._places.get(data.removeprefix("own-"), ())
        return next(((place / called, range_) for place, range_ in places if is_file(place / called)), None)

    def address(self, data: str, called: str) -> str:
        """Where the picture that is called so is shown at its own size; "" for one without a file."""
        return f"/original?{urlencode({'data': data, 'called': called})}" if self._file(data, called) else ""

    def read(self, data: str, called: str) -> tuple[bytes, str]:
        """The picture and its kind, as PNG where browsers do not show its own. Raises `Unreadable`."""
        found = self._file(data, called)
        if found is None:
            raise Unreadable("is not there (any more), or has no file of its own")
        file, range_ = found
        with opened(file) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Unreadable(f"has more than {MOST_PIXELS:,} pixels")
            kind = (
                SHOWN_BY_BROWSERS.get(image.format or "")
                if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA")
                else None
            )
        if kind:
            return file.read_bytes(), kind
        content = io.BytesIO()
        shown: Image.Image = decode(file, range_)
        shown.save(content, "PNG", compress_level=1)
        return content.getvalue(), "image/png"
