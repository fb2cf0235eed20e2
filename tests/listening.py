"""On which addresses processes listen, as Linux tells it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
TABLES = ((socket.AF_INET, "/proc/net/tcp"), (socket.AF_INET6, "/proc/net/tcp6"))
LISTENS = "0A"


def listens_on(pid: int) -> set[tuple[str, int]]:
    """Addresses and ports on which a process accepts connections."""
    mine = set()
    with contextlib.suppress(FileNotFoundError):  # it has ended
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                mine.add(file.readlink().name)
    found = set()
    for family, table in TABLES:
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == LISTENS and f"socket:[{rest[5]}]" in mine:
                address, port = local.split(":")
                words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
                found.add((socket.inet_ntop(family, b"".join(words)), int(port, 16)))
    return found


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
    found = [(program, at) for folder, program in processes(*beginnings) for at, _ in listens_on(int(folder.name))]
    assert len(found) > 3, "they do not listen at all: wrong names?"
    return [f"{program} on {at}" for program, at in found if at not in LOOPBACK]
