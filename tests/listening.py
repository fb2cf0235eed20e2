"""On which addresses processes listen, as Linux tells it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

LOOPBACK = {
    "0100007F",
    "0000000000000000FFFF00000100007F",
    "00000000000000000000000001000000",
}  # 127.0.0.1, as IPv6, ::1
LISTENS = "0A"


def processes(*beginnings: str) -> Iterator[tuple[Path, str]]:
    """The folders under /proc of processes whose title or program's name begins so, and what it is."""
    for folder in Path("/proc").iterdir():
        try:
            title = (
                (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
                if folder.name.isdigit()
                else ""
            )
        except OSError:  # it has ended
            continue
        program = title.partition(" ")[0].rpartition("/")[2] if not title.startswith("ray::") else title
        if program.startswith(beginnings):
            yield folder, program


def open_to_others(*beginnings: str) -> list[str]:
    """Which of these processes listen on more than loopback; also checked: that they listen at all."""
    by_inode = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS:
                by_inode[fields[9]] = fields[1].partition(":")[0]
    heard, wide = 0, []
    for folder, program in processes(*beginnings):
        try:
            links = [str(link.readlink()) for link in (folder / "fd").iterdir()]
        except OSError:
            continue
        for inode in (link[8:-1] for link in links if link.startswith("socket:[")):
            if inode in by_inode:
                heard += 1
                if by_inode[inode] not in LOOPBACK:
                    wide.append(f"{program} on {by_inode[inode]}")
    assert heard > 3, "they do not listen at all: wrong names?"
    return wide
