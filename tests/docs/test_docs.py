"""The docs are executed: commands are run or at least parsed, recipes are read, Python is run, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.main

import fittingroom
from fittingroom.cli.main import app
from fittingroom.data.catalog import DatasetEntry
from fittingroom.models import build
from fittingroom.spec.parse import parse
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.study import parse_study

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands(page: Path) -> list[list[str]]:
    lines = "".join(blocks(page, "sh")).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_is_one_that_exists(page: Path) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(page):
        if words[0] == "make":
            assert words[1] in targets
        elif words[0] == "fittingroom":
            command = typer.main.get_command(app)
            arguments = words[1:]
            while hasattr(command, "commands"):
                command = command.commands[arguments[0]]
                arguments = arguments[1:]
            command.make_context(words[1], arguments)  # parses, runs nothing
        else:
            pytest.fail(f"{words[0]} is no command of ours")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_toml_block_is_valid(page: Path) -> None:
    for text in blocks(page, "toml"):
        tree = tomllib.loads(text)
        if "files" in tree:
            parse(DatasetEntry, tree, page.name, "")
        elif "recipes" in tree:
            parse_study(tree, page.name).read([], ROOT)
        else:
            assert build(parse_recipe(tree).model, (1, 28, 28), 10)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def follow(page: Path, folder: Path) -> str:
    """Files named in a block's first line are saved under that name, commands are run, in the page's order; what they said."""
    said = ""
    for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "toml":
            (folder / text.splitlines()[0].removeprefix("# ")).write_text(text)
            continue
        calls = [["-c", text]] if kind == "python" else [["-m", *shlex.split(line)] for line in text.splitlines()]
        for call in calls:
            done = subprocess.run([sys.executable, *call], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, f"{call}\n{done.stderr}"
            said += done.stdout
    return said


@pytest.mark.slow
@pytest.mark.main_job
def test_the_tutorial_works_word_for_word(tmp_path: Path) -> None:
    follow(ROOT / "docs/tutorial.md", tmp_path)
    for name in ("data.html", "verdict.html", "mine.html"):
        assert (tmp_path / name).stat().st_size > 50_000
    assert len(list((tmp_path / "slides").glob("*.png"))) > 8


@pytest.mark.slow
@pytest.mark.main_job
def test_a_stranger_s_readme_gets_its_verdict(tmp_path: Path) -> None:
    said = follow(ROOT / "docs/replicate-a-readme.md", tmp_path)
    assert "Of 3 claims: 1 reproduced, 2 beaten." in said
    verdict = (tmp_path / "verdict.md").read_text()
    rows = {line.split(" | ")[0].strip("| "): line for line in verdict.splitlines() if line.startswith("| lecun")}
    assert "| beaten |" in rows["lecun-linear"] and "| beaten |" in rows["lecun-two-layers"]
    assert "| reproduced |" in rows["lecun-order"]
    assert "train.epochs=2" in (tmp_path / "look.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_runs(page: str, tmp_path: Path) -> None:
    for i, text in enumerate(blocks(ROOT / page, "python")):
        script = tmp_path / f"{i}.py"  # as a file, from which a class's source can be had
        script.write_text(text)
        done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


def test_the_python_page_names_all_that_there_is() -> None:
    page = (ROOT / "docs/python.md").read_text()
    assert not [name for name in fittingroom.__all__ if f"`fr.{name}" not in page]


def test_the_map_names_every_room() -> None:
    rooms = {p.name for p in (ROOT / "src/fittingroom").iterdir() if p.is_dir() and not p.name.startswith("__")}
    table = set(re.findall(r"`(\w+)/`", (ROOT / "README.md").read_text()))
    assert rooms <= table
