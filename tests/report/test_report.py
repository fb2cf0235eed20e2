"""The report: true to the records, without torch or data or network, small, safe with hostile names."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planned import study_of
from sklearn.metrics import confusion_matrix
from trained import resealed
from waiting import PATIENCE_S

from fittingroom.data import load
from fittingroom.data.outliers import outliers
from fittingroom.metrics.story import gather
from fittingroom.report import theme
from fittingroom.report.page import Compared, figures, write_report
from fittingroom.spec.changes import changed
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.store.atomic import write
from fittingroom.study.launch import InThisProcess
from fittingroom.study.workplace import Workplace

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    'a/b "quoted"',
    "שלום",
    "👟 shoe",
    "{{ 7*7 }}",
    "'; DROP",
    "&amp;",
    "</script>",
    "x" * 80,
    "9",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, list[RunFolder]]:
    """Two recipes and two seeds on real images, trained once for this file."""
    from fittingroom.spec.read import read_recipe

    runs = Runs(tmp_path_factory.mktemp("study") / "runs")
    small = ["train.epochs=2", "data.limit=600", "train.precision=fp32"]
    recipes: list[Recipe] = [read_recipe("readme-004-mlp", small), read_recipe("readme-003-cnn", small)]
    return runs, study_of(recipes, runs, range(2)).train()


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> Page:
    page = Page()
    page.feed(html)
    return page


@pytest.mark.main_job
def test_the_report_says_what_the_records_say(finished: tuple[Runs, list[RunFolder]], tmp_path: Path) -> None:
    runs, folders = finished
    stories = gather(folders, runs)
    answer = Compared(stories, runs, tmp_path / "report.html")
    answer.save_figures(tmp_path / "png")
    path = answer.report()
    html = path.read_text()
    page = parsed(html)
    story = stories[0]
    assert len(html) < 5_000_000
    for row in story.comparison.rows:
        assert f"{100 * row.test:.2f}" in page.text and f"{row.parameters:,}" in page.text
        right = [np.mean(r.logits_NK.argmax(1) == r.labels_N) for r in story.runs[row.recipe]]
        assert row.test == pytest.approx(np.mean(right))
        counts = [confusion_matrix(r.labels_N, r.logits_NK.argmax(1), labels=range(10)) for r in story.runs[row.recipe]]
        assert np.array_equal(story.confusion(row.recipe), np.mean(counts, axis=0))
    assert story.comparison.verdict.split(". ")[0] in page.text
    assert "Class by class" in page.text
    a, b = (
        np.mean([r.logits_NK.argmax(1) == 0 for r in group], 0)[story.labels_N == 0] for group in story.runs.values()
    )
    assert f"{story.data.classes[0]}{100 * np.mean(a - b):+.1f} [" in page.text
    assert "has been read 4 times in this runs folder" in page.text
    assert "fittingroom compare study.toml" in page.text and "data.limit=600" in page.text
    for run in folders:
        assert run.name in page.text
    order = [
        html.index(f'id="{part}')
        for part in ("accuracy", "table", "words", "training", "cost", "calibration", "mistakes", "models", "repeat")
    ]
    assert html.index('class="verdict"') < order[0] and order == sorted(order)
    for _, draw in figures(story):
        light = theme.svg(draw())
        dark = theme.in_the_dark(light)
        assert light.startswith("<svg") and not {theme.INK, theme.GRID, *theme.COLOURS} & set(
            re.findall(r"#\w{6}", dark)
        )
    names = {p.name for p in (tmp_path / "png").iterdir()}
    assert len(names) == len(list(figures(story)))
    for name in names:
        with Image.open(tmp_path / "png" / name) as picture:
            assert min(picture.size) > 100


def test_the_report_needs_no_network_and_runs_only_its_own_script(
    finished: tuple[Runs, list[RunFolder]], tmp_path: Path
) -> None:
    runs, folders = finished
    html = write_report(gather(folders, runs), runs, tmp_path / "r.html").read_text()
    data, own = re.findall(r"<script([^>]*)>(.*?)</script>", html, re.DOTALL)
    assert data[0] == ' type="application/json"' and "<" not in data[1] and json.loads(data[1])["recipes"]
    allowed = "sha256-" + base64.b64encode(hashlib.sha256(own[1].encode()).digest()).decode()
    assert f"script-src '{allowed}'" in html and own[0] == ""
    for tag, attributes in parsed(html).tags:
        assert tag not in ("link", "iframe", "object")
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "srcset", "href"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    assert not re.search(r"url\((?!\$\{root)|@import", html)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="a real browser is not at hand")
def test_the_gallery_filters_in_a_real_browser(finished: tuple[Runs, list[RunFolder]], tmp_path: Path) -> None:
    """The page as a browser leaves it after a person has chosen a class: the script is allowed to run, and only it."""
    runs, folders = finished
    story = gather(folders, runs)[0]
    path = write_report([story], runs, tmp_path / "r.html")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=4000",
        f"--user-data-dir={tmp_path}/b",
    ]
    found = subprocess.run(
        ["chromium", *options, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=PATIENCE_S
    )
    counted = re.search(r"<output>(\d+) images fit, the 120 surest are shown", found.stdout)
    assert counted, found.stderr[-500:]
    facts = json.loads(re.search(r'<script type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)[1])  # type: ignore[index]
    assert int(counted[1]) == sum(s != t for s, t in zip(facts["said"][0], facts["true"], strict=True))
    explorer = found.stdout.split('class="explorer"')[1].split('class="sprite"')[0]
    assert explorer.count("<figure>") == 120


@pytest.mark.slow
def test_hostile_class_names_stay_text(finished: tuple[Runs, list[RunFolder]], tmp_path: Path) -> None:
    runs, folders = finished
    other, copies = hostile_copy(runs, folders, tmp_path / "runs")
    answer = Compared(gather(copies, other), other, tmp_path / "r.html")
    answer.save_figures(tmp_path / "png")
    page = parsed(answer.report().read_text())
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert scripts == [{"type": "application/json"}, {}]
    assert not [tag for tag, attributes in page.tags if "onerror" in attributes]
    assert HOSTILE[0] in page.text and "{{ 7*7 }}" in page.text
    assert all(p.parent == tmp_path / "png" for p in (tmp_path / "png").rglob("*"))


def hostile_copy(runs: Runs, folders: list[RunFolder], path: Path) -> tuple[Runs, list[RunFolder]]:
    """The same runs, with class and recipe names that would break out if anything let them."""
    other = Runs(path)
    for folder in folders:
        shutil.copytree(folder.path, other.path / folder.name)
    copies = other.list()
    digest = copies[0].data.digest
    for copy in copies:
        facts = copy.data.model_copy(update={"classes": tuple(HOSTILE), "title": HOSTILE[0]})
        write(copy.path / "data.json", facts.model_dump_json())
        recipe = (copy.path / "recipe.toml").read_text()
        write(
            copy.path / "recipe.toml", recipe.replace('name = "readme-004-mlp"', "name = '<script>alert(2)</script>'")
        )
        resealed(copy)
    other.write_thumbnails(digest, runs.thumbnails(digest))  # type: ignore[arg-type]
    return other, copies


@pytest.mark.slow
def test_hostile_names_stay_text_on_every_other_page(
    finished: tuple[Runs, list[RunFolder]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fittingroom.augment.corruptions import CORRUPTIONS
    from fittingroom.explain import explain
    from fittingroom.explain import run as explaining
    from fittingroom.metrics.audit import Measured, describe
    from fittingroom.metrics.claims import grouped, judgements
    from fittingroom.metrics.suspects import find_suspects
    from fittingroom.questions.stress import examples, harm
    from fittingroom.report.audit_page import write_audit_page
    from fittingroom.report.claims_page import write_claims_page
    from fittingroom.report.explain_page import write_explain_page
    from fittingroom.report.stress_page import write_stress_page
    from fittingroom.spec.claimed import Claimed
    from fittingroom.spec.read import read_recipe
    from fittingroom.spec.recipe import Claim

    # what is computed is tested elsewhere; here only its names matter
    monkeypatch.setattr("fittingroom.questions.stress.CORRUPTIONS", {"shift": CORRUPTIONS["shift"]})
    monkeypatch.setattr(explaining, "embedding", lambda features, jobs: features[:, :2])
    runs, folders = finished
    other, copies = hostile_copy(runs, folders, tmp_path / "runs")
    harm(copies, Workplace(runs=other, device="cpu"), InThisProcess())
    story = gather(copies, other)[0]
    data = load("fashion-mnist")
    pages = [tmp_path / "stress.html"]
    write_stress_page([story], ["shift"], [examples(data.train.take(np.arange(50)))[:1]], pages[0])
    explain(copies[0], other)
    pages.append(write_explain_page(copies[0], tmp_path / "explain.html"))

    images = data.train.take(np.arange(400))
    images = type(images)(images.images_NCHW, images.labels_N, tuple(HOSTILE))
    p = np.random.default_rng(0).dirichlet(np.ones(10), 400)
    suspects, measured = find_suspects("train", p, images.labels_N), Measured(*outliers(images), None, [(0, 1)], [2.0])
    audit = describe(HOSTILE[0], 2, (HOSTILE[0], HOSTILE[0]), images.classes, suspects, measured, [], 30)
    pages.append(write_audit_page(audit, images, tmp_path / "audit.html"))

    claim = Claim(id="x-" + HOSTILE[0], text=HOSTILE[0] + " | *bold* [a](b)", relation="above", stated=0.1)
    mine = next(c.recipe for c in copies if c.recipe.name != "readme-003-cnn")
    groups = grouped(copies)
    judged = judgements([Claimed(claim, mine, None)], groups)
    pages.append(write_claims_page(judged, groups, tmp_path / "claims.html", HOSTILE[0]))
    for path in pages:
        page = parsed(path.read_text())
        assert HOSTILE[0] in page.text, path
        assert not [tag for tag, attributes in page.tags if tag == "script" or "onerror" in attributes], path
    text = write_claims_page(judged, groups, tmp_path / "claims.md", "fittingroom replicate").read_text()
    row = next(line for line in text.splitlines() if "bold" in line)
    assert "<img" not in text and "\\*bold\\*" in row and "\\[a\\]" in row and row.count(" | ") == 7
    assert read_recipe("readme-004-mlp").name not in row


@pytest.mark.slow
def test_a_report_on_the_base_install(
    finished: tuple[Runs, list[RunFolder]], tmp_path: Path, without_torch: str
) -> None:
    """In a process where torch cannot be imported and no data are at hand."""
    runs, _ = finished
    script = (
        without_torch
        + "sys.argv = ['fittingroom', 'report', 'readme', '--runs', sys.argv[1], '--out', 'r.html', '--json']\n"
        "from fittingroom.__main__ import run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(runs.path)], cwd=tmp_path, capture_output=True, text=True,
        env={"PATH": "/usr/bin", "FITTINGROOM_HOME": str(tmp_path / "empty")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"verdict"' in done.stdout and (tmp_path / "r.html").exists()


@pytest.mark.slow
def test_mixtures_and_unfinished_runs_are_refused(
    finished: tuple[Runs, list[RunFolder]], quick: Callable[..., Recipe], tmp_path: Path
) -> None:
    runs, folders = finished
    other = study_of([quick("readme-004-mlp", "optimizer.lr=0.01")], runs, [0]).train()
    with pytest.raises(FittingroomError, match='two different experiments are called "readme-004-mlp"'):
        gather([*folders, *other], runs)
    runs.delete(other[0])
    write(tmp_path / "half" / "run.json", "{}")
    with pytest.raises(FittingroomError, match="is not finished"):
        gather([RunFolder(tmp_path / "half")], runs)


@pytest.mark.parametrize(
    "words",
    [
        ["model.layers.0.conv=64", "train.epochs=3"],
        ["model.layers.1.act=gelu", "optimizer.kind=sgd", "optimizer.momentum=0.9", "data.limit=600"],
        [
            'model.layers=[{repeat=2, layers=[{conv=4, padding=0}, {norm="group", groups=2}]}, {flatten=true}, {dropout=0.5}]'
        ],
        ['augment=[{kind="shift", pixels=2}, {kind="hflip"}]', "schedule.kind=cosine", "train.ema=0.99"],
        ["model.layers.2={dropout=0.1}", "model.layers.0.bias=false"],
    ],
)
def test_the_words_that_repeat_a_recipe_do_repeat_it(words: list[str]) -> None:
    from fittingroom.spec.read import read_recipe

    used = read_recipe("readme-004-cnn", words)
    assert read_recipe("readme-004-cnn", changed(read_recipe("readme-004-cnn"), used)) == used


def test_a_single_run_of_another_seed_is_repeated_by_its_own_command(
    finished: tuple[Runs, list[RunFolder]], tmp_path: Path
) -> None:
    runs, folders = finished
    page = parsed(write_report(gather(folders[1:2], runs), runs, tmp_path / "r.html").read_text())
    assert "fittingroom train readme-004-mlp" in page.text and "--seed 1" in page.text


@pytest.mark.slow
def test_the_data_page(tmp_path: Path) -> None:
    from fittingroom.report.data_page import write_data_page

    path, facts = write_data_page(load("fashion-mnist"), tmp_path / "data.html")
    page = parsed(path.read_text())
    assert facts["training_images"] == 60_000 and facts["near_duplicate_pairs"] > 10
    assert "Ankle boot" in page.text and "reach from train into test" in page.text
    assert len(path.read_text()) < 5_000_000
