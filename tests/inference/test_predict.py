"""`fittingroom predict` as a user gives it: files, folders, pipes; without torch."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trained import MadeOnce, exported
from waiting import PATIENCE_S

from fittingroom.data import Dataset
from fittingroom.inference.pictures import _is_picture
from fittingroom.report.pictures import png_bytes
from fittingroom.store import RunFolder, Runs

pytestmark = pytest.mark.slow

Predict = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(made_once: MadeOnce) -> RunFolder:
    words = ("readme-004-mlp", "train.epochs=2", "data.limit=6000")
    return Runs(made_once("predicted", lambda folder: exported(folder, *words))).list()[0]


@pytest.fixture(scope="module")
def base_install(without_torch: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program on a base install with [serve]: what [train] and [export] bring is not there."""
    script = tmp_path_factory.mktemp("base") / "base.py"
    absent = without_torch.replace("== 'torch'", "in ('torch', 'onnx', 'onnxscript', 'fastapi', 'captum')")
    script.write_text(absent + "from fittingroom.__main__ import run\nrun()\n")
    return script


@pytest.fixture
def predict(run: RunFolder, base_install: Path, tmp_path: Path) -> Predict:
    def call(*args: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(base_install), "predict", str(run.bundle.path), *args]
        options = {"cwd": tmp_path, "capture_output": True, "timeout": 600, "text": True, **kwargs}
        return subprocess.run(command, **options)  # type: ignore[call-overload,no-any-return]

    return call


@pytest.fixture
def pictures(fashion: Dataset, tmp_path: Path) -> list[Path]:
    found = []
    for i in range(4):
        path = tmp_path / "pictures" / f"{i + 8}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png_bytes(fashion.train.images_NCHW[i]))
        found.append(path)
    return found


@pytest.mark.main_job
def test_the_test_set_as_pngs_scores_what_was_recorded(run: RunFolder, predict: Predict, tmp_path: Path) -> None:
    images = Runs(run.path.parent).thumbnails(run.data.digest)
    logits, labels = run.predictions("test")  # type: ignore[misc]
    assert images is not None and len(images) == 10_000
    (tmp_path / "test").mkdir()
    for i, image in enumerate(images):
        (tmp_path / "test" / f"{i}.png").write_bytes(png_bytes(image))
    done = predict("test", "--csv", "--top", "1", "--sure", "0")
    assert done.returncode == 0 and done.stderr == ""
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["file"] for row in rows] == [f"test/{i}.png" for i in range(10_000)]  # in natural order
    said = np.array([run.data.classes.index(row["answer"]) for row in rows])
    assert (said == logits.argmax(1)).all()
    assert (said == labels).mean() == run.metrics.test.accuracy  # type: ignore[union-attr]


def test_words_for_people(predict: Predict, pictures: list[Path]) -> None:
    done = predict("pictures")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == [f"pictures/{i}.png" for i in (8, 9, 10, 11)]
    assert "Ankle boot" in lines[0] and " % (" in lines[0] and lines[-1].startswith("4 pictures: ")
    assert predict("pictures/8.png", "--sure", "1").stdout.startswith("pictures/8.png: not sure (")


def test_bad_files_are_told_and_the_others_answered(predict: Predict, pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "pictures" / "9b.png").write_text("no picture")
    (tmp_path / "pictures" / "9c.heic").write_text("x")
    done = predict("pictures", "nothing.png", "--json")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    told = json.loads(done.stdout)
    assert len(told["predictions"]) == 4
    reasons = {bad["file"]: bad["reason"] for bad in told["failed"]}
    assert reasons == {
        "pictures/9b.png": "is no PNG, JPEG, WebP, BMP, GIF, TIFF, PPM, PGM, JPEG 2000 or AVIF",
        "pictures/9c.heic": ".heic is not read; convert it to PNG or JPEG",
        "nothing.png": "no such file",
    }
    assert "3 pictures could not be answered" in done.stderr and "pictures/9b.png is no PNG" in done.stderr
    for one in told["predictions"]:
        assert abs(sum(t["p"] for t in one["top"])) <= 1.0001 and one["answer"] in (one["top"][0]["class"], "not sure")


def test_one_picture_or_a_list_through_a_pipe(predict: Predict, pictures: list[Path]) -> None:
    one = predict("-", "--json", text=False, input=pictures[0].read_bytes())
    assert one.returncode == 0 and json.loads(one.stdout)["predictions"][0]["file"] == "-"
    names = "\n".join(map(str, pictures)) + "\n"
    listed = predict("-", "--csv", input=names)
    assert len(listed.stdout.splitlines()) == 5 and listed.returncode == 0
    assert predict("-", input="").returncode == 2
    assert "give it alone" in predict("-", str(pictures[0])).stderr


def test_names_are_answered_as_they_come(run: RunFolder, pictures: list[Path]) -> None:
    command = [sys.executable, "-m", "fittingroom", "predict", str(run.bundle.path), "-", "--csv"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as asked:
        assert asked.stdin and asked.stdout
        assert asked.stdout.readline().startswith("file,answer")
        for picture in pictures:
            print(picture, file=asked.stdin)
            assert asked.stdout.readline().startswith(f"{picture},")  # while the pipe is open
        asked.stdin.close()
        assert asked.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WebP", "BMP", "GIF", "TIFF"])
def test_pictures_of_all_formats_are_known_by_their_beginning(kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):  # lengths with a line's end in them, too
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (*rng.integers(1, 60, 2), 3), np.uint8)).save(file, kind)
        assert _is_picture(file.getvalue()), file.getvalue()[:20]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["empty"], "has no picture"),
        (["pictures", "--csv", "--json"], "exclude each other"),
        (["pictures", "--top", "0"], "top"),
    ],
)
def test_mistakes(predict: Predict, pictures: list[Path], tmp_path: Path, args: list[str], text: str) -> None:
    (tmp_path / "empty").mkdir()
    done = predict(*args)
    assert done.returncode == 2 and text in done.stderr and "Traceback" not in done.stderr and done.stdout == ""


def test_a_run_by_name_and_one_that_was_not_exported(
    run: RunFolder, base_install: Path, pictures: list[Path], tmp_path: Path
) -> None:
    shutil.copytree(run.path, tmp_path / "runs" / run.name)
    command = [sys.executable, str(base_install), "predict", "--runs", str(tmp_path / "runs")]
    by_name = subprocess.run([*command, run.name[:10], str(pictures[0])], capture_output=True, text=True)
    assert by_name.returncode == 0, by_name.stderr
    shutil.rmtree(tmp_path / "runs" / run.name / "bundle")
    refused = subprocess.run([*command, run.name, str(pictures[0])], capture_output=True, text=True)
    assert refused.returncode == 2 and f"fittingroom export {run.name}" in refused.stderr
    folder = subprocess.run([*command, str(tmp_path / "runs"), str(pictures[0])], capture_output=True, text=True)
    assert folder.returncode == 2 and "neither a bundle nor a run" in folder.stderr


def test_no_runtime_calls_home(run: RunFolder, base_install: Path, pictures: list[Path], tmp_path: Path) -> None:
    """ONNX Runtime's telemetry leaves a device's number and a database where it is on: nothing of the kind is left."""
    home = tmp_path / "home"
    home.mkdir()
    names = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TMPDIR": str(home)}
    plain = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "CI", "DO_NOT_TRACK")}
    command = [sys.executable, str(base_install), "predict", str(run.bundle.path), str(pictures[0])]
    done = subprocess.run(command, capture_output=True, text=True, env=plain | names)
    assert done.returncode == 0, done.stderr
    assert [p for p in home.rglob("*") if p.is_file()] == []


def test_names_that_a_terminal_would_obey_are_shown_as_text(predict: Predict, tmp_path: Path) -> None:
    evil = "a\x1b[2Jb\x07\u202e.png"
    (tmp_path / evil).write_bytes(png_bytes(np.zeros((1, 28, 28), np.uint8)))
    (tmp_path / f"x{evil}").write_bytes(b"no picture")
    for words in ((), ("--csv",)):
        told = predict(evil, f"x{evil}", *words)
        said = told.stdout + told.stderr
        assert not {"\x1b", "\x07", "\u202e"} & set(said) and said.count("a\ufffd[2Jb") >= 2
