"""Brings files into the cache. Whatever the source, a file gets its name only after its payload's SHA-256.

pooch was looked at first (docs/log.md, 2026-11-20): it checks the hash of the archive, which differs from mirror to mirror,
and knows neither packages nor https-only redirects.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import filelock
import platformdirs

from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.sources import DebianSource, FileEntry, FolderSource, HttpsSource, NpmSource, PypiSource, Source
from fittingroom.store.atomic import atomic, explained, write
from fittingroom.store.litter import scratch

CLIENT_TIMEOUT_S = 900  # of apt-get and npm
TIMEOUT_S = 30  # of one read from a mirror, not of the whole download
Say = Callable[[str], None]
Tick = Callable[[float], None]  # the share (0 … 1) that is done
Readable = IO[bytes] | gzip.GzipFile


def home(override: str | Path | None = None) -> Path:
    """Where data live: `override` (--home), else FITTINGROOM_HOME, else the platform's cache folder.

    >>> home("/somewhere").as_posix()
    '/somewhere'
    """
    try:
        chosen = override or os.environ.get("FITTINGROOM_HOME") or platformdirs.user_cache_dir("fittingroom")
        return Path(chosen).expanduser().resolve()
    except RuntimeError:  # of somebody without a home folder
        raise FittingroomError(
            "there is no home folder to keep data in; name a place: --home, or FITTINGROOM_HOME"
        ) from None


class SourceFailed(Exception):
    """Why one source did not deliver; the next one is tried."""


def fetch(title: str, files: Sequence[FileEntry], sources: Sequence[Source], folder: Path, say: Say) -> Path:
    """`folder` with these files in it, verified, from the first source that delivers; `say` hears which.

    Several processes may call this at once: one fetches, the others wait. Raises `FittingroomError` that lists every source with
    its reason when none delivers.
    """
    if _complete(files, folder):
        return folder
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        lock.acquire()
    try:
        if not _complete(files, folder):  # another process may have been faster
            _fetch(title, files, sources, folder, say)
        return folder
    finally:
        lock.release()


def read_payload(folder: Path, file: FileEntry) -> bytes:
    """The content of a cached file, verified at every reading. Raises `FittingroomError` if it is not what it must be."""
    path = folder / file.name
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise FittingroomError(
            f"cannot read {path}: {error.strerror}; it is fetched again when it is asked for"
        ) from None
    found = hashlib.sha256(payload).hexdigest()
    if found != file.sha256:
        raise FittingroomError(
            f"{path} is not the expected file (SHA-256 {found[:12]}…, expected {file.sha256[:12]}…, "
            f"{len(payload):,} of {file.size_bytes:,} bytes); delete it: it is fetched again"
        )
    return payload


def _complete(files: Sequence[FileEntry], folder: Path) -> bool:
    """Cheap on purpose: `read_payload` verifies the bytes whenever they are used."""
    paths = [(folder / f.name, f.size_bytes) for f in files]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def _fetch(title: str, files: Sequence[FileEntry], sources: Sequence[Source], folder: Path, say: Say) -> None:
    failures = []
    for source in sources:
        with explained(folder), scratch("fetch", folder) as place:
            try:
                label = _open_source(source, files, place, folder)
            except SourceFailed as reason:
                failures.append(f"  {describe(source)}: {reason}")
                continue
        write(folder / "source.txt", label + "\n")
        say(f"{title}: verified, from {label}")
        return
    names = ", ".join(f.name for f in files)
    raise FittingroomError(
        f"no source delivered {title}:\n"
        + "\n".join(failures or ["  it names no sources"])
        + f"\nTo place the files by hand, put {names} (decompressed) into\n  {folder}"
    )


def describe(source: Source) -> str:
    """A source in words."""
    match source:
        case FolderSource():
            return f"folder {source.path}"
        case HttpsSource():
            return f"mirror {source.base}"
        case DebianSource():
            return f"Debian package {source.package}"
        case NpmSource():
            return f"npm package {source.package} {source.version}"
        case PypiSource():
            return f"Python package {source.package} {source.version}"


def _open_source(source: Any, files: Sequence[FileEntry], scratch: Path, folder: Path) -> str:
    """Bring every one of `files` from one source through the hash check into `folder`; the source in words."""
    match source:
        case FolderSource():
            opener = _from_folder(Path(source.path))
        case HttpsSource():
            opener = _from_https(source)
        case DebianSource():
            _apt_download(source.package, scratch)
            _run(["dpkg-deb", "-x", str(_only(scratch, "*.deb")), "unpacked"], scratch)
            opener = _from_folder(scratch / "unpacked" / source.path)
        case NpmSource():
            _run(["npm", "pack", "--silent", f"{source.package}@{source.version}"], scratch)
            opener = _from_tar(_only(scratch, "*.tgz"), source.path)
        case PypiSource():
            wanted = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet", "--dest", "."]
            _run([sys.executable, "-m", "pip", "download", *wanted, f"{source.package}=={source.version}"], scratch)
            opener = _from_zip(_only(scratch, "*.whl"), source.path)
    for file in files:
        target = folder / file.name
        if not (target.is_file() and target.stat().st_size == file.size_bytes):
            with opener(file) as stream:
                _verified_copy(stream, file, target)
    return describe(source)


def _from_folder(folder: Path) -> Callable[[FileEntry], Readable]:
    def opener(file: FileEntry) -> Readable:
        plain, packed = folder / file.name, folder / f"{file.name}.gz"
        try:
            if plain.is_file():
                return plain.open("rb")
            if packed.is_file():
                return gzip.open(packed, "rb")
        except OSError as error:
            raise SourceFailed(f"cannot read {file.name}: {error.strerror}") from None
        raise SourceFailed("not there" if not folder.is_dir() else f"has no {file.name}")

    return opener


def _from_tar(archive: Path, folder: str) -> Callable[[FileEntry], Readable]:
    """Members are read in place; nothing else of the archive is unpacked."""

    def opener(file: FileEntry) -> Readable:
        try:
            with tarfile.open(archive) as tar:
                member = tar.extractfile(f"{folder}/{file.name}")
                return io.BytesIO(member.read(file.size_bytes + 1) if member else b"")
        except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
            raise SourceFailed(f"its archive gives no {file.name} ({error})") from None

    return opener


def _from_zip(archive: Path, folder: str) -> Callable[[FileEntry], Readable]:
    """The same of a wheel."""

    def opener(file: FileEntry) -> Readable:
        try:
            with zipfile.ZipFile(archive) as whole, whole.open(f"{folder}/{file.name}") as member:
                return io.BytesIO(member.read(file.size_bytes + 1))
        except (zipfile.BadZipFile, KeyError, OSError, EOFError, zlib.error, RuntimeError) as error:
            raise SourceFailed(f"its archive gives no {file.name} ({error})") from None

    return opener


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """A redirect from https to http is a failure, not a fallback."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith("https://"):
            raise SourceFailed(f"redirects to {newurl.split(':')[0]}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _from_https(source: HttpsSource) -> Callable[[FileEntry], Readable]:
    def opener(file: FileEntry) -> Readable:
        url = f"{source.base}/{file.name}{'.gz' if source.gzipped else ''}"
        request = urllib.request.Request(url, headers={"User-Agent": "fittingroom"})
        try:
            response = urllib.request.build_opener(_HttpsOnly).open(request, timeout=TIMEOUT_S)
        except (OSError, http.client.HTTPException) as error:
            raise SourceFailed(str(getattr(error, "reason", error))) from None
        return gzip.GzipFile(fileobj=response) if source.gzipped else response

    return opener


def _verified_copy(stream: Readable, file: FileEntry, target: Path) -> None:
    """Copy to a temporary file; it becomes `target` only with the right hash. Reads one byte too many at most."""
    checksum, size = hashlib.sha256(), 0
    with atomic(target) as out:
        for block in _blocks(stream, file):
            size += len(block)
            if size > file.size_bytes:
                break
            checksum.update(block)
            out.write(block)
        if size != file.size_bytes or checksum.hexdigest() != file.sha256:
            amount = f"more than {file.size_bytes:,}" if size > file.size_bytes else f"{size:,}"
            raise SourceFailed(f"{file.name} is another file ({amount} bytes, SHA-256 {checksum.hexdigest()[:12]}…)")


def _blocks(stream: Readable, file: FileEntry) -> Iterator[bytes]:
    """What the source gives, in pieces. A fault here is the source's, a fault in writing is the disk's."""
    while True:
        try:
            block = stream.read(1 << 20)
        except (OSError, EOFError, zlib.error, http.client.HTTPException) as error:
            raise SourceFailed(f"{file.name} broke off ({error})") from None
        if not block:
            return
        yield block


def _apt_download(package: str, folder: Path) -> None:
    """Fetch a .deb into `folder`; where the system has no package lists (a fresh container), with lists of our own."""
    try:
        _run(["apt-get", "download", package], folder)
    except SourceFailed:
        (folder / "lists" / "partial").mkdir(parents=True)
        own = ["-o", f"Dir::State::Lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}"]
        _run(["apt-get", "update", *own], folder)
        _run(["apt-get", "download", package, *own], folder)


def _run(command: list[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise SourceFailed(f"{command[0]} is not installed")
    quiet = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": CLIENT_TIMEOUT_S}
    try:
        done = subprocess.run(command, cwd=folder, check=False, **quiet)  # type: ignore[call-overload]
    except subprocess.TimeoutExpired:
        raise SourceFailed(f"{command[0]} did not end within {CLIENT_TIMEOUT_S} s") from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise SourceFailed(f"{' '.join(command[:2])} failed: {lines[-1] if lines else done.returncode}")


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise SourceFailed(f"brought {len(found)} archives instead of one")
    return found[0]
