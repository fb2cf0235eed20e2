"""Where files come from that everybody has: their names, sizes and hashes, and who gives them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from fittingroom.spec.recipe import Count, Strict


class FileEntry(Strict):
    """A file: its plain name, and the size and SHA-256 of its decompressed content."""

    name: Annotated[str, Field(pattern=r"^[\w][\w.-]*$")]
    size_bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FolderSource(Strict):
    """A folder that the system already has."""

    kind: Literal["folder"]
    path: str


class HttpsSource(Strict):
    """A mirror; `base`/NAME.gz, or without `.gz` where `gzipped` is false. Never http."""

    kind: Literal["https"]
    base: str
    gzipped: bool = True

    @field_validator("base")
    @classmethod
    def _is_https(cls, base: str) -> str:
        if not base.startswith("https://"):
            raise ValueError(f"{base} must begin with https://")
        return base


class DebianSource(Strict):
    """A Debian package, fetched by name with `apt-get download` and unpacked without root; `path` is inside it."""

    kind: Literal["debian"]
    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")]
    path: str


class NpmSource(Strict):
    """An npm package, fetched by name with `npm pack`; `path` is inside its archive."""

    kind: Literal["npm"]
    package: Annotated[str, Field(pattern=r"^(@[a-z0-9][\w.-]*/)?[a-z0-9][\w.-]*$")]
    version: Annotated[str, Field(pattern=r"^\d[\w.+-]*$")]
    path: str


class PypiSource(Strict):
    """A Python package, fetched by name with pip and never installed; `path` is inside its wheel."""

    kind: Literal["pypi"]
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    version: Annotated[str, Field(pattern=r"^\d[\w.+!-]*$")]
    path: str


Source = Annotated[FolderSource | HttpsSource | DebianSource | NpmSource | PypiSource, Field(discriminator="kind")]
