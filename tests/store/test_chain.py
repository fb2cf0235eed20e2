"""Lines that seal one another: none changes, goes missing or comes in between without being told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fittingroom.store.chain import OWN, Chain, refuse_broken, written
from fittingroom.store.seal import Damaged

ENTRIES = st.lists(
    st.dictionaries(
        st.text(max_size=4).filter(lambda key: key != OWN),
        st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    ),
    min_size=2,
    max_size=6,
)


def log(path: Path, entries: list[dict[str, Any]]) -> list[str]:
    chain = Chain()
    lines = [written(chain.sealed(entry)) for entry in entries]
    path.write_text("".join(f"{line}\n" for line in lines))
    return lines


@given(entries=ENTRIES, data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_change_is_told(
    entries: list[dict[str, Any]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    lines = log(path, entries)
    refuse_broken(path)
    i = data.draw(st.integers(0, len(lines) - 2))
    without, twice = lines[:i] + lines[i + 1 :], lines[: i + 1] + lines[i:]
    swapped = [*lines[:i], lines[i + 1], lines[i], *lines[i + 2 :]]
    other = [*lines[:i], written({**json.loads(lines[i]), "more": 1}), *lines[i + 1 :]]
    unsealed = [*lines[: i + 1], written({"in": "between"}), *lines[i + 1 :]]
    for wrong in (without, twice, swapped, other, unsealed, [*lines, "junk"], [*lines, "[" * 100_000], [*lines, "3"]):
        if wrong != lines:
            path.write_text("".join(f"{line}\n" for line in wrong))
            with pytest.raises(Damaged, match=r"line \d+ "):
                refuse_broken(path)


def test_an_end_that_was_cut_off_is_what_it_was_before(tmp_path: Path) -> None:
    lines = log(tmp_path / "log", [{"a": 1}, {"b": 2}, {"c": 3}])
    (tmp_path / "log").write_text(f"{lines[0]}\n{lines[1]}\n{lines[2][:7]}")
    refuse_broken(tmp_path / "log")


def test_lines_of_before_there_were_chains_are_sealed_by_the_first_that_has_one(tmp_path: Path) -> None:
    old, chain = [{"a": 1}, {"b": 2}], Chain()
    for number, entry in enumerate(old):
        chain.check(number, entry)
    lines = [*map(written, old), written(chain.sealed({"c": 3}))]
    (tmp_path / "log").write_text("".join(f"{line}\n" for line in lines))
    refuse_broken(tmp_path / "log")
    (tmp_path / "log").write_text("".join(f"{line}\n" for line in [written({"a": 2}), *lines[1:]]))
    with pytest.raises(Damaged, match="line 3 is not what was written there"):
        refuse_broken(tmp_path / "log")
