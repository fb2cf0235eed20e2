"""Digests of plain data: the same content gives the same name, on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any

NUMERICS = 2  # raise when a change makes the same recipe and seed give other numbers


def digest(content: Any) -> str:
    """SHA-256 (hex) of canonical JSON: sorted keys, no spaces, no NaN.

    >>> digest({"b": 1, "a": [2]}) == digest({"a": [2], "b": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
