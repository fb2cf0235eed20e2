"""What happens to runs, studies and bundles that are killed or damaged: tried, told, silently wrong.

    python benchmarks/torture.py --kills 20 --damages 500 --seed 0

Everything is real: trainings as processes of their own that get SIGKILL, files on disk with a flipped bit, a changed digit, or
their end cut off, and the commands that a person would type. A failure is printed with the seed that repeats it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

TRAINED = ("readme-004-mlp", "train.epochs=6", "data.limit=3000", "train.precision=fp32")
SAME = (
    "weights.safetensors",
    "predictions.npz",
    "recipe.toml",
    "run.json",
    "data.json",
)  # bytes that no kill may change
WAYS = ("flipped bit", "changed digit", "cut off", "emptied")
UNHEEDED = (".lock", ".html", ".svg")  # locks, and pages that are written for people alone


def main() -> None:
    """Torture, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--damages", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture-") as place:
        os.chdir(place)
        rows = {"kills at random instants": kills(asked.kills, asked.seed)} if asked.kills else {}
        rows |= damages(asked.damages, asked.seed) if asked.damages else {}
    print(f"\n{'':<34}{'tried':>7}{'whole':>7}{'told':>7}{'wrong':>7}{'traceback':>11}")
    for name, found in rows.items():
        counts = [found.total(), found["whole"], found["told"], found["wrong"], found["traceback"]]
        print(f"{name:<34}" + "".join(f"{n:>{w}}" for n, w in zip(counts, (7, 7, 7, 7, 11), strict=True)))
    sys.exit(any(found["wrong"] or found["traceback"] for found in rows.values()))


def kills(n: int, seed: int) -> Counter[str]:
    """Trainings that are killed at a random instant, as often as it takes, and resumed: to the same bytes."""
    command = [sys.executable, "-m", "fittingroom", "train", *TRAINED, "--runs"]
    subprocess.run([*command, "whole"], check=True, capture_output=True)
    began = time.monotonic()
    subprocess.run([*command, "timed"], check=True, capture_output=True)
    took_s, rng, found = time.monotonic() - began, np.random.default_rng(seed), Counter[str]()
    [whole] = [path.parent for path in Path("whole").glob("*/DONE")]
    for i in range(n):
        process = subprocess.Popen([*command, f"cut{i}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(float(rng.uniform(0.3, 1.0)) * took_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = subprocess.run([*command, f"cut{i}"], check=False, capture_output=True, text=True)
        again = Path(f"cut{i}") / whole.name
        same = done.returncode == 0 and all((again / f).read_bytes() == (whole / f).read_bytes() for f in SAME)
        found["whole" if same else "traceback" if "Traceback" in done.stderr else "wrong"] += 1
        if not same:
            print(f"kill {i} of seed {seed}: {done.stderr[-300:]}")
        shutil.rmtree(f"cut{i}")
    return found


def damages(n: int, seed: int) -> dict[str, Counter[str]]:
    """One file after the other of a folder of runs is damaged, all that reads it is asked, and it is mended again."""
    run(["compare", *TRAINED[:1], "readme-004-cnn", *TRAINED[1:], "--seeds", "1", "--runs", "runs"])
    [one, _] = sorted(path.parent.name for path in Path("runs").glob("*/DONE"))
    run(["export", one, "--runs", "runs", "--out", "bundle"])
    run(["stress", one, "--runs", "runs", "--quiet"])
    [study] = [path.stem for path in Path("runs/studies").glob("*.json")]
    picture = Path("picture.png")
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)).save(picture)
    questions = [
        ["runs", "--json", "--runs", "runs"],
        ["report", study, "--json", "--runs", "runs", "--out", "again.html"],
        ["predict", "bundle", str(picture), "--json"],
        ["export", one, "--runs", "runs", "--out", "again", "--json"],
        ["runs", "--verify", "--runs", "runs"],
    ]
    before = [asked(words) for words in questions]
    files = [
        path for folder in ("runs", "bundle") for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and not path.name.endswith(UNHEEDED)
    ]  # fmt: skip
    rng, found = np.random.default_rng(seed), {way: Counter[str]() for way in WAYS}
    for i in range(n):
        path, way = files[i % len(files)], WAYS[int(rng.integers(len(WAYS)))]
        kept = path.read_bytes()
        changed = damaged(kept, way, rng)
        if changed is None:
            continue
        path.write_bytes(changed)
        try:
            verdict, why = judged(path, questions, before)
        finally:
            path.write_bytes(kept)
        found[way][verdict] += 1
        if verdict in ("wrong", "traceback"):
            print(f"damage {i} of seed {seed}: {way} in {path}: {verdict}: {why[-400:]}")
    return found


def damaged(content: bytes, way: str, rng: np.random.Generator) -> bytes | None:
    """The content, damaged; None where that cannot be."""
    if not content:
        return None
    at = int(rng.integers(len(content)))
    match way:
        case "flipped bit":
            return content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :]
        case "changed digit":
            digits = [m.start() for m in re.finditer(rb"[0-9]", content[:200_000])]
            if not digits:
                return None
            at = digits[int(rng.integers(len(digits)))]
            return content[:at] + str((content[at] - 48 + int(rng.integers(1, 10))) % 10).encode() + content[at + 1 :]
        case "cut off":
            return content[:at]
    return b""


def judged(path: Path, questions: Sequence[Sequence[str]], before: Sequence[tuple[int, str, str]]) -> tuple[str, str]:
    """Whether all that reads a damaged file tells of it, or says what it said before."""
    told, differs = False, ""
    for words, (_, said, noted) in zip(questions, before, strict=True):
        code, out, err = asked(words)
        if "Traceback" in err:
            return "traceback", f"{' '.join(words)}: {err}"
        news = (out + err).replace(said, "").replace(noted, "")
        told |= (
            (code == 2 and err.startswith("error:"))
            or "damaged" in news
            or (path.name in news and out + err != said + noted)
        )
        if out != said and not told:
            differs = f"{' '.join(words)}: {difference(said, out)}"
    return ("told", "") if told else ("wrong", differs) if differs else ("whole", "")


def difference(before: str, after: str) -> str:
    """Where two texts part."""
    at = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    return f"{before[max(0, at - 60) : at + 60]!r} became {after[max(0, at - 60) : at + 60]!r}"


def asked(words: Sequence[str]) -> tuple[int, str, str]:
    """A command in this process: its exit code, and what it printed, without what hangs on the moment."""
    from fittingroom.cli import main

    out, err, given = io.StringIO(), io.StringIO(), sys.argv
    shutil.rmtree("again", ignore_errors=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), replaced(["fittingroom", *words]):
        try:
            code = main.run()
        except SystemExit as left:
            code = int(left.code or 0)
        except BaseException:
            code = 1
            traceback.print_exc(file=err)
    sys.argv = given
    return code, re.sub(r'"made": "[^"]*"', "", out.getvalue()), err.getvalue()


@contextlib.contextmanager
def replaced(argv: list[str]) -> Iterator[None]:
    """As if this had been typed."""
    before, sys.argv = sys.argv, argv
    try:
        yield
    finally:
        sys.argv = before


def run(words: Sequence[str]) -> None:
    """A command that has to end well."""
    code, out, err = asked(words)
    if code:
        raise SystemExit(f"{json.dumps(words)} ended with {code}: {err or out}")


if __name__ == "__main__":
    main()
