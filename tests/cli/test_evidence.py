"""The commands that weigh evidence, as a person types them: real processes, real images, pages and JSON that say the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from refusing import refused

Command = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ["train.epochs=2", "data.limit=1500"]


def said(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.main_job
def test_from_a_comparison_to_its_evidence(command: Command, tmp_path: Path) -> None:
    """Two models compared by log loss, stressed, explained; the report then tells all of it."""
    first = said(
        command("compare", "readme-004-mlp", "readme-004-cnn", *SMALL, "--seeds", "2", "--metric", "log_loss", "--json")
    )
    comparison = first["comparisons"][0]  # type: ignore[index]
    assert comparison["metric"] == "log_loss"
    assert [r["score"] for r in comparison["rows"]] == sorted(r["score"] for r in comparison["rows"])

    stressed = said(command("stress", "readme", "--json"))
    rows = stressed["robustness"][0]["rows"]  # type: ignore[index]
    assert {r["recipe"] for r in rows} == {"readme-004-mlp", "readme-004-cnn"} and all(
        0 < r["mean"] < r["clean"] for r in rows
    )
    kinds = stressed["robustness"][0]["pairs"][0]["kinds"]  # type: ignore[index]
    assert len(kinds) == 11 and all(kind["low"] <= kind["difference"] <= kind["high"] for kind in kinds)
    table = command("stress", "readme")
    assert "mean corruption %" in table.stdout and f"{100 * rows[0]['mean']:.2f}" in table.stdout

    explained = said(command("explain", "readme-004-cnn_fashion-mnist_s0", "42", "--json"))
    assert Path(tmp_path, str(explained["report"])).stat().st_size > 100_000

    assert command("data", "show", "fashion-mnist").returncode == 0
    report = said(command("report", "readme", "--json"))
    html = Path(tmp_path, str(report["report"])).read_text()
    for words in (
        "What corrupted images do to them",
        "without the 10 % of the pixels",
        "What the curves say",
        "data-fashion-mnist.html",
    ):
        assert words in html
    assert command("data", "show", "fashion-mnist").returncode == 0
    page = (tmp_path / "runs/data-fashion-mnist.html").read_text()
    assert 'href="report.html"' in page and 'href="stress.html"' in page and "data-fashion-mnist.html" not in page


@pytest.mark.slow
@pytest.mark.main_job
def test_an_ablation(command: Command, tmp_path: Path) -> None:
    words = ["ablate", "readme-004-mlp", *SMALL, "--drop", "dropout", "--drop", "model.layers.5.act", "--seeds", "2"]
    found = said(command(*words, "--json"))
    assert [e["part"] for e in found["effects"]] == ["dropout", "model.layers.5.act"]  # type: ignore[attr-defined]
    for effect in found["effects"]:  # type: ignore[attr-defined]
        assert effect["gain"] == pytest.approx(effect["with_part"] - effect["without_part"], abs=1e-9)
        assert effect["low"] <= effect["gain"] <= effect["high"]
    assert "What does each part do?" in Path(tmp_path, str(found["report"])).read_text()
    assert "dropout" in command(*words).stdout
    wrong = command("ablate", "readme-004-mlp", "--drop", "nrom")
    assert wrong.returncode == 2 and "it has: dropout" in wrong.stderr and "Traceback" not in wrong.stderr


@pytest.mark.slow
@pytest.mark.main_job
def test_an_audit(command: Command, tmp_path: Path) -> None:
    small = ["compare", "readme-004-cnn", *SMALL, "--seeds", "1", "--json"]
    said(command(*small))
    words = ["audit", "fashion-mnist", "train.epochs=1", "--recipe", "readme-004-mlp", "--folds", "2"]
    found = said(command(*words, "--score", "readme-004-cnn", "--most", "30", "--json"))
    assert len(found["suspects"]) >= 30 and found["scores"][0]["recipe"] == "readme-004-cnn"  # type: ignore[arg-type,index]
    first = found["suspects"][0]  # type: ignore[index]
    assert 0 <= first["index"] < 10_000 and first["given"] != first["suggested"] and first["flagged"]
    assert "Scores beside the defects" in Path(tmp_path, str(found["report"])).read_text()
    train = command(*words, "--split", "train")
    assert "of 60,000 train labels are suspect" in train.stdout
    same = command("audit", "fashion-mnist", "--recipe", "readme-004-cnn", "--score", "readme-004-cnn")
    assert same.returncode == 2 and "always flatters" in same.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["replicate", "005"], 'unknown README or recipe "005"'),
        (["replicate", "004", "--claim", "004-cnn"], 'unknown claim "004-cnn"; nearest: "004-cnn-'),
        (["replicate", "fast-fashion"], "makes no claims; how to add some: docs/replicate-a-readme.md"),
        (["compare", "readme-004-mlp", "--metric", "acuracy"], 'unknown metric "acuracy"; nearest: "accuracy"'),
        (["stress", "nothing"], 'unknown run "nothing"'),
        (["explain", "nothing"], 'unknown run "nothing"'),
    ],
)
def test_wrong_words_get_one_message(here: Command, words: list[str], says: str) -> None:
    assert says in refused(here(*words))
