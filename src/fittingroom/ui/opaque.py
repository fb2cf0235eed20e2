"""What things are called in addresses."""

from __future__ import annotations

import hashlib
import os


def opaque(name: str) -> str:
    """The id of a run, a study or a data set: nothing that could be a path, whatever its name is.

    >>> opaque("../secret")
    'a6b096789d56'
    """
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
