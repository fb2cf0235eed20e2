"""Names of files as text: Linux allows names of any bytes, JSON and HTML do not, and a terminal obeys some."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of characters that are no text
JOINERS = "\u200c\u200d"  # which Persian and emoji need


def printable(name: str) -> str:
    """A name with a question mark for what is no UTF-8.

    >>> printable("kitten.png"), printable(b"caf\\xe9.png".decode("utf-8", "surrogateescape"))
    ('kitten.png', 'caf?.png')
    """
    return name.encode("utf-8", "replace").decode()


def for_terminal(text: str) -> str:
    """Text that may hold names from outside, without what a terminal would obey: control and direction characters.

    >>> for_terminal("two\\nlines" + chr(27) + "[2J")
    'two\\nlines\ufffd[2J'
    """
    return "".join("\ufffd" if c not in "\n\t" and is_unsafe(c) else c for c in printable(text))


def is_unsafe(character: str) -> bool:
    """Whether it is no text: a control or direction character, or half of one.

    >>> is_unsafe("a"), is_unsafe(chr(27))
    (False, True)
    """
    return unicodedata.category(character) in UNSAFE and character not in JOINERS


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
