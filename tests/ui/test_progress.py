"""How far a command is, by what it tells."""

from __future__ import annotations

import pytest
from ui.recorded import begun, epoch

from fittingroom.store.events import Answered, Event, Planned, RunEnded, StudyWritten
from fittingroom.ui.progress import Progress


def progress(*told: Event) -> Progress:
    """The same whether it comes at once or piece by piece."""
    found = Progress().after(told)
    piecewise = Progress()
    for event in told:
        piecewise = piecewise.after([event])
    assert found == piecewise
    return found


def test_a_command_without_events_has_told_nothing() -> None:
    found = progress()
    assert (found.run, found.study, found.finished, found.left_s(0.0)) == ("", "", 0, None)


def test_a_training_is_about_its_run_and_a_comparison_about_none() -> None:
    assert progress(Planned(runs=1, finished=0), begun("a_s0")).run == "a_s0"
    assert progress(Planned(runs=2, finished=1), begun("a_s0")).run == ""
    assert progress(Planned(runs=1, finished=1), Answered(question="train", subject="a_s0")).run == "a_s0"
    assert progress(StudyWritten(name="a-b")).study == "a-b"


def test_runs_are_counted_with_those_that_were_there() -> None:
    found = progress(
        Planned(runs=6, finished=2), begun("a"), begun("b"), begun("c"),
        RunEnded(run="a", finished=True), RunEnded(run="b", finished=False),
    )  # fmt: skip
    assert (found.finished, found.given_up, found.under_way) == (3, 1, ["c"])


def test_a_new_plan_begins_to_count_anew() -> None:
    """A search, then its winner with more seeds."""
    search = (
        Planned(runs=2, finished=0),
        begun("a"),
        begun("b"),
        RunEnded(run="a", finished=True),
        RunEnded(run="b", finished=False),
    )
    found = progress(*search, Planned(runs=3, finished=1))
    assert (found.finished, found.given_up, found.under_way, found.left_s(0.0)) == (1, 0, [], None)


def test_what_is_left_is_told_by_what_was_trained() -> None:
    """Two runs of ten epochs are to be trained, one second an epoch; time passes between the events, too."""
    plan = Planned(time=1000.0, runs=3, finished=1)
    assert progress(plan, begun("a")).left_s(1000.5) is None
    told = [plan, begun("a"), *(epoch("a", n, 1000.0 + n) for n in range(1, 6))]
    assert progress(*told).left_s(1005.0) == pytest.approx(15.0) and progress(*told).left_s(1007.0) == pytest.approx(
        13.0
    )
    assert progress(*told).left_s(9000.0) == 0.0
    told += [
        RunEnded(time=1010.0, run="a", finished=True),
        begun("b", 1010.0),
    ]  # it stopped early, so it is a whole run
    assert progress(*told).left_s(1010.0) == pytest.approx(10.0)
    assert progress(*told, RunEnded(time=1020.0, run="b", finished=True)).left_s(1020.0) is None


def test_epochs_of_before_do_not_count_as_fast_ones() -> None:
    """A run goes on with epoch 9 of 10: one epoch took a second, and one is left of this run, ten of the other."""
    told = (Planned(time=1000.0, runs=2, finished=0), begun("a"), epoch("a", 9, 1001.0))
    assert progress(*told).left_s(1001.0) == pytest.approx(11.0)


def test_impossible_numbers_are_no_fault_of_ours() -> None:
    """An events file may come from elsewhere."""
    for n in (-(10**400), 10**400):
        found = progress(Planned(runs=2, finished=9), begun("a"), epoch("a", n), epoch("a", 1), epoch("a", -n))
        assert found.left >= 0 and (found.left_s(0.0) or 0) >= 0


def test_what_is_told_of_a_run_that_has_not_begun_is_left_out() -> None:
    found = progress(epoch("a", 1), RunEnded(run="a", finished=True))
    assert found.trainings == {} and found.finished == 0
