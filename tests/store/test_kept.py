"""What was computed once: found again by key, in memory or in a folder, never believed where it is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fittingroom.store.kept import KeptArrays


class Maker:
    """Squares of the keys' first bytes; counts what it was asked for."""

    def __init__(self, keys_N: np.ndarray) -> None:
        self.keys_N, self.made = keys_N, 0

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.made += len(rows)
        return (self.keys_N[rows, :1].astype(np.float32) ** 2) * np.ones((1, 3), np.float32)


def keys(*numbers: int) -> np.ndarray:
    return np.array([[n, 7] for n in numbers], np.uint8)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 15), min_size=1, max_size=8), min_size=1, max_size=6), st.booleans())
def test_each_is_made_once(asked: list[list[int]], on_disk: bool) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        kept = KeptArrays(Path(folder) if on_disk else None)
        made = 0
        for numbers in asked:
            maker = Maker(keys(*numbers))
            found = kept.of("a", maker.keys_N, maker)
            assert found.tolist() == [[n**2] * 3 for n in numbers]
            made += maker.made
        assert made == len({n for numbers in asked for n in numbers})
        assert kept.has("a", keys(*asked[0])) and not kept.has("a", keys(99))


@pytest.mark.parametrize("suffix", [".npy", ".sums.npy", ".keys.npy"])
def test_what_is_damaged_is_made_anew(suffix: str, tmp_path: Path) -> None:
    KeptArrays(tmp_path).of("a", keys(1, 2, 3), Maker(keys(1, 2, 3)))
    [file] = tmp_path.glob(f"a/{'?' * 16}{suffix}")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    maker = Maker(keys(1, 2, 3))
    assert KeptArrays(tmp_path).of("a", maker.keys_N, maker).tolist() == [[1.0] * 3, [4.0] * 3, [9.0] * 3]
    assert maker.made == 1  # the last
    file.write_bytes(b"")
    assert KeptArrays(tmp_path).of("a", maker.keys_N, maker).tolist() == [[1.0] * 3, [4.0] * 3, [9.0] * 3]


def test_memory_is_not_a_disk() -> None:
    kept = KeptArrays()
    for name in ("a", "b", "c"):
        kept.of(name, keys(1), Maker(keys(1)))
    maker = Maker(keys(1))
    kept.of("a", maker.keys_N, maker)
    assert maker.made == 1  # it was let go
