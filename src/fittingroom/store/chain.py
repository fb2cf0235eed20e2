"""Logs whose lines seal one another: each ends with a hash of itself and of all before it, so that none can change or go missing.

The last lines can go: what is left is what the log was before they were written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fittingroom.store.seal import Damaged, plain_bytes

MOST_BYTES = 1 << 30  # of a log
OWN = "chain"  # the key of a line's own hash


def written(entry: Mapping[str, Any]) -> str:
    """An entry as a line, without its end."""
    return json.dumps(entry, separators=(",", ":"))


class Chain:
    """The hashes of a log's lines as far as they are known; lines of before there were chains have none, in front of all others.

    >>> chain = Chain()
    >>> first, second = chain.sealed({"a": 1}), chain.sealed({"b": 2})
    >>> Chain().check(0, first)
    {'a': 1}
    """

    def __init__(self) -> None:
        self.hashes: list[str] = []
        self.begun = False

    def sealed(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The next entry with its hash."""
        self.begun = True
        self.hashes.append(self._link(len(self.hashes), entry))
        return {**entry, OWN: self.hashes[-1]}

    def forget(self, number: int) -> None:
        """All entries from this one on: they were not written."""
        del self.hashes[number:]

    def check(self, number: int, line: Mapping[str, Any]) -> dict[str, Any]:
        """Entry `number` (from 0, at most the next) without its hash. Raises `Damaged`."""
        entry = dict(line)
        own, found = entry.pop(OWN, None), self._link(number, entry)
        if own is None and self.begun and (number >= len(self.hashes) or self.hashes[number] != found):
            raise Damaged(f"line {number + 1} has no seal, and lines before it have: another program wrote it")
        if own is not None and own != found:
            raise Damaged(f"line {number + 1} is not what was written there, or one before it is missing")
        if number == len(self.hashes):
            self.hashes.append(found)
            self.begun |= own is not None
        return entry

    def _link(self, number: int, entry: Mapping[str, Any]) -> str:
        before = self.hashes[number - 1] if number else ""
        return hashlib.sha256(f"{before}\n{written(entry)}".encode()).hexdigest()[:32]


def refuse_broken(path: Path) -> None:
    """Raises `Damaged` for a log with a line that is not what was written; a last one without an end was cut off."""
    chain = Chain()
    for number, line in enumerate(_whole_lines(plain_bytes(path, MOST_BYTES))):
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise ValueError
        except (ValueError, RecursionError):
            raise Damaged(f"line {number + 1} is no entry of a log") from None
        chain.check(number, entry)


def _whole_lines(content: bytes) -> Iterable[bytes]:
    return content.split(b"\n")[:-1]
