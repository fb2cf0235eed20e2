"""Names of files as text: Linux allows names of any bytes, JSON and HTML do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def printable(name: str) -> str:
    """A name with a question mark for what is no UTF-8.

    >>> printable("kitten.png"), printable(b"caf\\xe9.png".decode("utf-8", "surrogateescape"))
    ('kitten.png', 'caf?.png')
    """
    return name.encode("utf-8", "replace").decode()


def is_printable(name: str) -> bool:
    """Whether a name is text as it is.

    >>> is_printable("kitten.png"), is_printable("\\udce9")
    (True, False)
    """
    return name == printable(name)


def called(names_N: np.ndarray | None, row: int) -> str:
    """What an image is called: its file's name, or its number where there are no names.

    >>> called(["kitten.png"], 0), called(None, 7)
    ('kitten.png', '#7')
    """
    return f"#{row}" if names_N is None else str(names_N[row])
