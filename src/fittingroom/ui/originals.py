"""The files behind one's own pictures, at their own size: a page shows small copies, and a click the file."""

from __future__ import annotations

import io
from functools import cached_property
from pathlib import Path
from urllib.parse import urlencode

from fittingroom.data.own import Own, files_of, known
from fittingroom.data.own.decode import Unreadable, decode, opened

EIGHT_BIT = ("1", "L", "LA", "P", "RGB", "RGBA")  # Pillow's modes that a browser shows as they are
SHOWN_BY_BROWSERS = {
    "PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp",
}  # fmt: skip


class Originals:
    """The files of one data set's pictures, by what these are called. Nothing else is ever read."""

    def __init__(self, digest: str, home_dir: Path) -> None:
        self.digest, self.home_dir = digest, home_dir

    @cached_property
    def _about(self) -> Own | None:
        return next((about for about, _ in known(self.home_dir) if about.digest == self.digest), None)

    @cached_property
    def _files(self) -> dict[str, Path]:
        return files_of(self._about, self.home_dir) if self._about else {}

    def address(self, called: str) -> str:
        """Where the picture that is called so is shown at its own size; "" for one without a file."""
        if called not in self._files:
            return ""
        return f"/original?{urlencode({'data': self.digest, 'called': called})}"

    def read(self, called: str) -> tuple[bytes, str]:
        """The picture and its kind, as PNG where browsers do not show its own. Raises `Unreadable`."""
        file = self._files.get(called)
        if file is None or self._about is None:
            raise Unreadable("has no file of its own")
        with opened(file) as image:
            kind = SHOWN_BY_BROWSERS.get(image.format or "") if image.mode in EIGHT_BIT else None
        if kind:
            return file.read_bytes(), kind
        content = io.BytesIO()
        decode(file, self._about.range).save(content, "PNG", compress_level=1)
        return content.getvalue(), "image/png"
