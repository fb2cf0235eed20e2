"""The page about a search: its sentences say what the numbers say, its charts hold every trial, no name does harm."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import Run, two_classes

from fittingroom.metrics.search import Searched, shown
from fittingroom.metrics.verdict import Comparison, Question, compare
from fittingroom.report import theme, tune_charts
from fittingroom.report.tune_page import SHOWN, write_tune_page
from fittingroom.spec.records import TrialFacts
from fittingroom.spec.space import parse_space

SPACE = {
    "optimizer.lr": "log(1e-4, 1e-1)",
    "model.layers.1.dense": "choice(32, 64)",
    "train.epochs": "int(1, 9)",
    "model.layers.3.dropout": "uniform(0, 0.5)",
    "model.layers.4": "choice({ dense = 64 }, { repeat = 2, layers = [{ dense = 64 }, { act = 'relu' }] })",
}
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    '"quoted" & <b>',
    "{{ 7*7 }}",
    "שלום",
    "</script>",
    "x" * 200,
    "javascript:x",
]


def trial(number: int, *values: float, state: str = "complete", **more: Any) -> TrialFacts:
    """A trial somewhere in `SPACE`."""
    part = number % 7 / 6
    params = {
        "optimizer.lr": 1e-4 * 1000**part,
        "model.layers.1.dense": (32, 64)[number % 2],
        "train.epochs": 1 + number % 9,
        "model.layers.3.dropout": 0.5 * part,
        "model.layers.4": ({"dense": 64}, {"repeat": 2, "layers": [{"dense": 64}, {"act": "relu"}]})[number % 3 % 2],
    }
    facts: dict[str, Any] = {
        "number": number, "state": state, "values": values, "params": params, "epochs": 2, "train_s": 1.0,
        "run": f"run-{number}", "error": "", "crashed": False, "earlier": "",
    }  # fmt: skip
    return TrialFacts(**facts | more)


def compared(names: Sequence[str] = ("mlp", "mlp tuned"), metric: str = "accuracy") -> Comparison:
    """A comparison on test of two recipes with three seeds, the second one better."""
    rng = np.random.default_rng(0)
    runs = [
        Run(name, seed, *two_classes(rng.random(400) < 0.7 + 0.15 * place))
        for place, name in enumerate(names)
        for seed in range(3)
    ]
    return compare("fashion-mnist", runs, Question(metric, against=names[0] if len(names) > 1 else ""))


def found(
    trials: Sequence[TrialFacts], objectives: tuple[str, ...] = ("accuracy",), fresh: Sequence[float] = (0.8,), **more: Any
) -> Searched:  # fmt: skip
    best = (min if objectives[0] in ("log_loss", "brier") else max)(
        (t for t in trials if t.state == "complete"), key=lambda t: t.values[0]
    )
    facts: dict[str, Any] = {
        "name": "mine", "recipe": "mlp", "dataset": "Fashion-MNIST", "objectives": objectives, "trials": trials,
        "best": best, "front": set(), "importance": {}, "dimensions": parse_space(SPACE, "here"),
        "comparison": compared(metric=objectives[0]), "fresh": fresh,
    }  # fmt: skip
    return Searched(**facts | more)


MANY = [trial(n, 0.70 + 0.01 * (n * 5 % 17)) for n in range(17)]


# ---------------------------------------------------------------- sentences


def test_what_was_tried() -> None:
    several = [*MANY[:3], trial(3, state="pruned"), trial(4, state="failed", error="x"), trial(5, state="failed")]
    assert found(several).sentences()[0] == "6 trials of mlp on Fashion-MNIST: 3 completed, 1 pruned, 2 failed."
    assert found(MANY[:2]).sentences()[0] == "2 trials of mlp on Fashion-MNIST: 2 completed."
    assert found(MANY[:1]).sentences()[0] == "1 trial of mlp on Fashion-MNIST: 1 completed."


@pytest.mark.parametrize(
    ("objective", "promised", "fresh", "told"),
    [
        ("accuracy", 0.875, [0.85, 0.86, 0.87],
         "best on validation with 87.50 %; trained again with 3 fresh seeds it has 86.00 ± 1.00 % there: "
         "1.50 points of it were the luck of being picked."),
        ("accuracy", 0.875, [0.87],
         "best on validation with 87.50 %; trained again with 1 fresh seed it has 87.00 % there: "
         "0.50 points of it were the luck of being picked."),
        ("accuracy", 0.86, [0.86, 0.86],
         "best on validation with 86.00 %; trained again with 2 fresh seeds it has 86.00 ± 0.00 % there: "
         "so its score was no luck of being picked."),
        ("accuracy", 0.86, [0.87],
         "best on validation with 86.00 %; trained again with 1 fresh seed it has 87.00 % there: "
         "so its score was no luck of being picked."),
        ("log_loss", 0.40, [0.41, 0.43],
         "best on validation with 0.4000 nats; trained again with 2 fresh seeds it has 0.4200 ± 0.0141 nats there: "
         "0.0200 nats of it were the luck of being picked."),
        ("log_loss", 0.40, [0.39],
         "best on validation with 0.4000 nats; trained again with 1 fresh seed it has 0.3900 nats there: "
         "so its score was no luck of being picked."),
        ("brier", 0.10, [0.12],
         "best on validation with 0.1000; trained again with 1 fresh seed it has 0.1200 there: "
         "0.0200 of it were the luck of being picked."),
    ],
)  # fmt: skip
def test_what_became_of_the_promise(objective: str, promised: float, fresh: list[float], told: str) -> None:
    """A smaller score is the better one of a loss: there luck is what it is larger by with fresh seeds."""
    worse = 0.1 if objective == "accuracy" else 0.9
    search = found([trial(0, worse), trial(7, promised)], (objective,), fresh)
    assert search.sentences()[1] == f"Trial 7 was {told}"


def test_luck_too_small_to_be_shown_is_none() -> None:
    """ "0.00 points of it were luck" says neither that there was some nor that there was none."""
    assert "0.00 points" not in found([trial(0, 0.860004)], fresh=[0.86]).sentences()[1]


def test_the_verdict_on_test_ends_it() -> None:
    search = found(MANY)
    assert search.sentences()[2:] == list(search.comparison.sentences) != []
    alone = replace(search, comparison=compared(["mlp"]))
    assert "is ahead of" not in " ".join(alone.sentences())


def test_the_best_trials_come_first_and_equals_in_their_order() -> None:
    several = [trial(0, 0.5), trial(1, 0.7), trial(2, state="pruned"), trial(3, 0.7), trial(4, 0.6)]
    assert [t.number for t in found(several).ranked] == [1, 3, 4, 0]
    assert [t.number for t in found(several, ("log_loss",)).ranked] == [0, 4, 1, 3]


def test_all_of_it_as_json() -> None:
    search = found(MANY, front={3, 1}, importance={"optimizer.lr": 0.7, "train.epochs": 0.3}, fresh=[0.8, 0.9])
    plain = search.json()
    assert plain["front"] == [1, 3] and plain["fresh_validation"] == [0.8, 0.9] and plain["best"]["number"] == 10
    assert len(plain["trials"]) == 17 and plain["trials"][1]["params"]["model.layers.4"]["repeat"] == 2
    assert plain["importance"] == {"optimizer.lr": 0.7, "train.epochs": 0.3}


# ---------------------------------------------------------------- charts


def data_of(chart: theme.Chart) -> list[dict[str, Any]]:
    """All rows of a chart's data."""
    spec = chart.to_dict()
    found: list[dict[str, Any]] = []

    def look(node: Any) -> None:
        if isinstance(node, dict):
            values = node.get("data", {}).get("values") if isinstance(node.get("data"), dict) else None
            found.extend(values if isinstance(values, list) else [])
            for inner in node.values():
                look(inner)
        elif isinstance(node, list):
            for inner in node:
                look(inner)

    look(spec)
    for rows in spec.get("datasets", {}).values():
        found.extend(rows)
    return found


def test_the_history_holds_every_completed_trial_and_the_best_so_far() -> None:
    several = [trial(0, 0.6), trial(1, 0.5), trial(2, state="pruned"), trial(3, 0.8), trial(4, 0.7)]
    rows = data_of(tune_charts.history(found(several)))
    assert [(r["trial"], r["value"], r["best"]) for r in rows] == [(0, 60, 60), (1, 50, 60), (3, 80, 80), (4, 70, 80)]
    losses = data_of(tune_charts.history(found(several, ("log_loss",))))
    assert [r["best"] for r in losses] == [0.6, 0.5, 0.5, 0.5]


def test_slices_and_parallels_hold_every_completed_trial() -> None:
    search = found([*MANY, trial(17, state="failed", error="x"), trial(18, state="pruned")])
    assert len(data_of(tune_charts.slices(search))) == 17 * len(SPACE)
    rows = data_of(tune_charts.parallel(search))
    assert {r["trial"] for r in rows} == set(range(17)) and len(rows) == 17 * (len(SPACE) + 1)
    assert all(0 <= r["place"] <= 1 for r in rows)
    top = [r for r in rows if r["rank"] == 1]
    assert {r["trial"] for r in top} == {search.best.number}
    places = {r["axis"]: r["place"] for r in rows if r["trial"] == 3}
    assert places["optimizer.lr"] == pytest.approx(0.5) and places["model.layers.3.dropout"] == pytest.approx(0.5)
    assert places["train.epochs"] == pytest.approx(3 / 8) and places["model.layers.1.dense"] == 1


def test_a_trial_of_another_space_is_drawn_where_it_has_a_place() -> None:
    """Taken over from an earlier search, whose space had other parts and values."""
    taken = trial(1, 0.9, params={"optimizer.lr": 1e-3, "model.layers.1.dense": 48}, earlier="before 4")
    search = found([trial(0, 0.8), taken])
    rows = [r for r in data_of(tune_charts.parallel(search)) if r["trial"] == 1]
    assert {r["axis"] for r in rows} == {"optimizer.lr", "score"}
    assert len(data_of(tune_charts.slices(search))) == len(SPACE) + 2


def test_long_names_that_begin_alike_stay_apart() -> None:
    """Cut for the charts, two parts must not become one axis, nor two values one place."""
    path = "model.layers.10.layers.0.layers.2.layers"
    long = "choice({ repeat = 2, layers = [{ conv = 64 }, { act = 'relu' }, { dropout = 0.1 }] }, { repeat = 2, layers = [{ conv = 64 }, { act = 'relu' }, { dropout = 0.2 }] })"
    space = parse_space({f"{path}.3.conv": long, f"{path}.4.conv": "choice(8, 16)"}, "here")
    several = [
        trial(n, 0.5 + n / 10, params={p: d.values[n] for p, d in space.items()})  # type: ignore[union-attr]
        for n in range(2)
    ]
    search = found(several, dimensions=space)
    assert len({r["axis"] for r in data_of(tune_charts.parallel(search))}) == 3
    assert len({str(r["x"]) for r in data_of(tune_charts.slices(search))}) == 4


def test_the_front_is_marked() -> None:
    several = [trial(n, 0.5 + n / 10, 10.0 * (n + 1), 5.0) for n in range(3)]
    search = found(several, ("accuracy", "parameters", "latency_s"), front={0, 2})
    rows = data_of(tune_charts.pareto(search))
    assert len(rows) == 6 and [r["front"] for r in rows[:3]] == ["front", "other", "front"]
    assert [r["cost"] for r in rows] == [10, 20, 30, 5, 5, 5]


@pytest.mark.parametrize("n", [1, 2])
def test_few_and_equal_trials_are_drawn(n: int) -> None:
    search = found([trial(i, 0.5, 0.0) for i in range(n)], ("accuracy", "flops"), front=set(range(n)))
    for chart in (tune_charts.history, tune_charts.slices, tune_charts.parallel, tune_charts.pareto):
        drawn = theme.svg(chart(search))
        assert drawn.startswith("<svg") and "NaN" not in drawn, chart.__name__


# ---------------------------------------------------------------- the page


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def written(search: Searched, folder: Path) -> tuple[str, Page]:
    html = write_tune_page(search, "comparison.html", folder / "page.html").read_text(encoding="utf-8")
    return html, Page(html)


def figures(page: Page) -> set[str | None]:
    return {attrs["id"] for tag, attrs in page.tags if tag == "figure"}


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    failed = trial(17, state="failed", error="Traceback …\n  line\nRuntimeError: out of luck\n", crashed=True)
    search = found(
        [*MANY, failed, trial(18, 0.6, crashed=True)], importance={"optimizer.lr": 0.7, "train.epochs": 0.3}, fresh=[0.8]
    )  # fmt: skip
    html, page = written(search, tmp_path)
    for line in search.sentences():
        assert line in page.text
    assert figures(page) == {"history", "importance", "slices", "parallel"}
    assert html.count("<tr>") == 1 + SHOWN and f"<td>{search.best.number}</td><td>{86:.2f}</td>" in html
    assert "Trial 17: RuntimeError: out of luck" in page.text and "Traceback" not in page.text
    assert "Crashed and tried a second time: 17, 18." in page.text
    assert [attrs["href"] for tag, attrs in page.tags if tag == "a"] == ["comparison.html"]
    assert "repeat 2, dense 64 + act relu" in page.text


def test_what_is_not_there_has_no_place(tmp_path: Path) -> None:
    html, page = written(found(MANY[:1]), tmp_path)
    assert figures(page) == {"history"} and "What failed" not in html and "Crashed" not in html
    _, several = written(found([trial(0, 0.5, 3.0), trial(1, 0.6, 4.0)], ("accuracy", "flops"), front={0, 1}), tmp_path)
    assert figures(several) == {"history", "pareto", "slices", "parallel"}


def test_a_failure_without_a_word_is_told_too(tmp_path: Path) -> None:
    """As another program that shares the storage may leave it."""
    _, page = written(found([*MANY[:2], trial(2, state="failed")]), tmp_path)
    assert "Trial 2" in page.text


def test_hostile_names_do_no_harm(tmp_path: Path) -> None:
    dimensions = parse_space({f"{name}.a": "choice(x, y)" for name in HOSTILE}, "here")
    several = [
        trial(i, 0.5 + i / 100, params=dict.fromkeys(dimensions, name), earlier=name)
        for i, name in enumerate(HOSTILE)
    ]  # fmt: skip
    several += [trial(20 + i, state="failed", error=f"first\n{name}") for i, name in enumerate(HOSTILE)]
    search = found(
        several, name=HOSTILE[0], recipe=HOSTILE[0], dataset=HOSTILE[1], dimensions=dimensions,
        importance=dict.fromkeys(dimensions, 0.1), comparison=compared([HOSTILE[0], HOSTILE[4]]),
    )  # fmt: skip
    html = write_tune_page(search, f"{HOSTILE[1]}.html", tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(html)
    assert not any(tag == "script" or any(key.startswith("on") for key in attrs) for tag, attrs in page.tags)
    assert all(str(attrs["src"]).startswith("data:image/") for tag, attrs in page.tags if tag == "img")
    assert not any(tag == "b" for tag, _ in page.tags) and "49" not in page.text.replace("x" * 200, "")
    for name in HOSTILE:
        assert name in page.text
    for _, attrs in page.tags:  # a chart is a picture of its own: nothing in it runs, and it is well formed
        for picture in re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", " ".join(str(v) for v in attrs.values())):
            drawn = base64.b64decode(picture).decode()
            assert drawn.startswith("<svg") and "<img" not in drawn and "<script" not in drawn


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00123456, "0.001235"),
        (1e-12, "1e-12"),
        (64, "64"),
        (True, "True"),
        ("relu", "relu"),
        (None, "None"),
        ([3, 5], "3 + 5"),
        ({"repeat": 2, "layers": [{"dense": 64}, {"act": "relu"}]}, "repeat 2, dense 64 + act relu"),
    ],
)
def test_a_value_in_a_table(value: Any, text: str) -> None:
    assert shown(value) == text
