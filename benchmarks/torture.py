"""What happens to runs, studies, bundles, data and servers that are killed, filled up, damaged or asked odd things.

    python benchmarks/torture.py                 # all of it; an hour
    python benchmarks/torture.py --minutes 5     # a share of it
    python benchmarks/torture.py --kills 20 --damages 0 --pictures 0 --requests 0 --seed 3

Everything is real: commands as processes that get SIGKILL, a file system that is too small, files on disk with a flipped bit,
without their end, or in one another's place, pictures that no camera made, a server on a port. Each failure is printed with the
seed and the number that repeat it; the table at the end is written into docs/trust.md with --write.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hostile import base_pictures, hostile, is_as_announced, odd_request
from PIL import Image

FITTINGROOM = [sys.executable, "-m", "fittingroom"]
TRAINED = ("readme-004-mlp", "train.epochs=6", "data.limit=3000", "train.precision=fp32")
SAME = (
    "weights.safetensors",
    "predictions.npz",
    "recipe.toml",
    "run.json",
    "data.json",
)  # bytes that nothing may change
WAYS = ("flipped bit", "changed digit", "cut off", "emptied", "of another")
UNHEEDED = (".lock", ".html", ".svg")  # locks, and pages that are written for people alone
WHOLE_HOUR = {
    "kills": 100,
    "changes": 100,
    "disks": 50,
    "damages": 500,
    "pictures": 2000,
    "requests": 50_000,
    "pairs": 10,
}
MINUTES = 60  # that this takes
HOOK = """
import os, signal, sys
left = {n}
def changed(event, args):
    global left
    writes = event == "open" and isinstance(args[1], str) and set("wax+") & set(args[1])
    writes = writes or event == "open" and args[1] is None and args[2] & (os.O_WRONLY | os.O_RDWR)
    moves = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
    if moves or writes and not str(args[0]).startswith("/dev"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(changed)
sys.argv = ["fittingroom", *{words!r}]
from fittingroom.__main__ import run
import atexit
atexit.register(lambda: print("changes", {n} - left, file=sys.stderr))
run()
"""

LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
sys.argv = ["fittingroom", *{words!r}]
from fittingroom.__main__ import run
run()
"""

MUCH = 16_384  # bytes of a request that a server may leave unread
Found = Counter[str]  # how often it came out "whole", was "told", was "wrong", gave a "traceback"


def main() -> None:
    """Torture, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=MINUTES, help="about; how much of everything is tried")
    for what, n in WHOLE_HOUR.items():
        parser.add_argument(f"--{what}", type=int, help=f"default: {n:,} an hour")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--write", choices=("interrupted", "damaged"), help="write the table into this block of docs/trust.md"
    )
    asked = parser.parse_args()
    share = asked.minutes / MINUTES
    n = {
        what: round(most * share) if getattr(asked, what) is None else getattr(asked, what)
        for what, most in WHOLE_HOUR.items()
    }
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="torture-") as place:
        os.chdir(place)
        os.environ["FITTINGROOM_HOME"] = os.environ.get("FITTINGROOM_HOME") or str(_home())
        rows: dict[str, Found] = {}
        for what, torture in TORTURES.items():
            if n[what]:
                print(f"{what}: {n[what]:,}", file=sys.stderr, flush=True)
                rows |= torture(n[what], asked.seed)
        os.chdir(here)
    head = ["", "tried", "as if nothing had been", "told", "silently wrong", "traceback"]
    cells = [
        [name, str(f.total()), *(str(f[key]) for key in ("whole", "told", "wrong", "traceback"))]
        for name, f in rows.items()
    ]
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
    for row in [head, *cells]:
        print(
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
        )
    if asked.write:
        _write(head, cells, asked.write)
    sys.exit(any(found["wrong"] or found["traceback"] for found in rows.values()))


def _home() -> Path:
    from fittingroom.store.fetch import home

    return home()


def _write(head: list[str], cells: list[list[str]], what: str) -> None:
    from pages import table, write_block

    from fittingroom.study.cost import machine

    write_block("docs/trust.md", what, [*table(head, cells), "", f"({machine()}; `benchmarks/torture.py`)"])


# ---------------------------------------------------------------- kills


def kills(n: int, seed: int) -> dict[str, Found]:
    """Trainings that are killed at a random instant and resumed: to the same bytes."""
    whole, took_s = _whole(), 0.0
    began = time.monotonic()
    subprocess.run([*FITTINGROOM, "train", *TRAINED, "--runs", "timed"], check=True, capture_output=True)
    took_s, rng, found = time.monotonic() - began, np.random.default_rng(seed), Found()
    for i in range(n):
        process = subprocess.Popen(
            [*FITTINGROOM, "train", *TRAINED, "--runs", f"cut{i}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(float(rng.uniform(0.3, 1.0)) * took_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _go_on(f"cut{i}", whole, found, f"kill {i} of seed {seed}")
    return {"kills at random instants": found}


def changes(n: int, seed: int) -> dict[str, Found]:
    """Trainings that are killed after their n-th change of a file, for n over all of them."""
    whole = _whole()
    done = subprocess.run(
        _hooked(1 << 30, ["train", *TRAINED, "--runs", "counted"]), check=True, capture_output=True, text=True
    )
    total, found = int(re.findall(r"changes (\d+)", done.stderr)[-1]), Found()
    for i, at in enumerate(np.unique(np.linspace(1, total, n).round().astype(int))):
        folder = f"change{i}"
        subprocess.run(_hooked(int(at), ["train", *TRAINED, "--runs", folder]), check=False, capture_output=True)
        _go_on(folder, whole, found, f"kill after change {at} of {total}")
    return {f"kills after one of {total} changes of files": found}


def _hooked(n: int, words: Sequence[str]) -> list[str]:
    return [sys.executable, "-c", HOOK.format(n=n, words=list(words))]


def _whole() -> Path:
    """A run that nothing happened to."""
    if not Path("whole").exists():
        subprocess.run([*FITTINGROOM, "train", *TRAINED, "--runs", "whole"], check=True, capture_output=True)
    [whole] = [path.parent for path in Path("whole").glob("*/DONE")]
    return whole


def _go_on(folder: str, whole: Path, found: Found, what: str) -> None:
    """The same command once more: to the same bytes."""
    done = subprocess.run(
        [*FITTINGROOM, "train", *TRAINED, "--runs", folder], check=False, capture_output=True, text=True
    )
    again = Path(folder) / whole.name
    same = done.returncode == 0 and all((again / f).read_bytes() == (whole / f).read_bytes() for f in SAME)
    found["whole" if same else "traceback" if "Traceback" in done.stderr else "wrong"] += 1
    if not same:
        print(f"{what}: {done.stderr[-600:]}")
    shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------- full disks


def disks(n: int, seed: int) -> dict[str, Found]:
    """Trainings on a file system that is too small by a random amount, which say so, and go on once there is room."""
    whole, rng, found = _whole(), np.random.default_rng(seed), Found()
    needed = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    biggest = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    mounts = _can_mount()
    for i in range(n):
        place = Path(f"disk{i}")
        place.mkdir()
        words = [*FITTINGROOM, "train", *TRAINED, "--runs", str(place / "runs")]
        room = int(rng.uniform(0.02, 1.0) * (needed if mounts else biggest)) // 4096 * 4096
        if mounts:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(place)], check=True)
            done = subprocess.run(words, check=False, capture_output=True, text=True)
        else:  # no file may become larger
            code = LIMITED.format(room=room, words=words[3:])
            done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
        told = done.returncode == 2 and done.stderr.splitlines()[-1:] != [] and "error: " in done.stderr
        what = f"disk {i} of seed {seed} ({room:,} bytes)"
        if done.returncode == 0 or told:
            if mounts:
                subprocess.run(["mount", "-o", "remount,size=1g", str(place)], check=True)
            before = found["whole"]
            _go_on(str(place / "runs"), whole, found, what)
            if told and found["whole"] > before:  # said, and the same bytes once there was room
                found["whole"] -= 1
                found["told"] += 1
        else:
            found["traceback" if "Traceback" in done.stderr else "wrong"] += 1
            print(f"{what}: {done.returncode} {done.stderr[-600:]}")
        if mounts:
            subprocess.run(["umount", str(place)], check=False)
        shutil.rmtree(place, ignore_errors=True)
    return {f"disks that are too small ({'tmpfs' if mounts else 'a limit on files'})": found}


def _can_mount() -> bool:
    Path("mounted").mkdir()
    can = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "mounted"], check=False, capture_output=True
    )
    if can.returncode == 0:
        subprocess.run(["umount", "mounted"], check=True)
    return can.returncode == 0


# ---------------------------------------------------------------- two commands at once


def pairs(n: int, seed: int) -> dict[str, Found]:
    """The same training twice at the same time: one waits, or says that the other is at it; the bytes are the same."""
    whole, rng, found = _whole(), np.random.default_rng(seed), Found()
    for i in range(n):
        words = [*FITTINGROOM, "train", *TRAINED, "--runs", f"pair{i}"]
        both = []
        for _ in range(2):
            both.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
            time.sleep(float(rng.uniform(0, 1)))
        said = [one.communicate()[1] for one in both]
        fair = all(
            one.returncode == 0 or (one.returncode == 2 and "error: " in err)
            for one, err in zip(both, said, strict=True)
        )
        if fair:
            _go_on(f"pair{i}", whole, found, f"pair {i} of seed {seed}")
        else:
            found["traceback" if any("Traceback" in err for err in said) else "wrong"] += 1
            print(f"pair {i} of seed {seed}: {[one.returncode for one in both]} {said}")
    return {"two commands at once": found}


# ---------------------------------------------------------------- damage


@dataclass(frozen=True)
class Scene:
    """Files that are there, and all that reads them."""

    name: str
    folders: tuple[str, ...]
    questions: tuple[tuple[str, ...], ...]


def damages(n: int, seed: int) -> dict[str, Found]:
    """One file after the other is damaged, all that reads it is asked, and it is mended again."""
    rng, rows = np.random.default_rng(seed), dict[str, Found]()
    scenes = [_scene_of_runs(), _scene_of_pictures()]
    for scene, of_scene in zip(scenes, (n * 3 // 4, n - n * 3 // 4), strict=True):
        before = [asked(words) for words in scene.questions]
        for words, (code, _, err) in zip(scene.questions, before, strict=True):
            assert code == 0, f"{' '.join(words)}: {err}"
        files = [
            path for folder in scene.folders for path in sorted(Path(folder).rglob("*"))
            if path.is_file() and not path.name.endswith(UNHEEDED)
        ]  # fmt: skip
        for i in range(of_scene):
            path, way = files[i % len(files)], WAYS[int(rng.integers(len(WAYS)))]
            kept, times = path.read_bytes(), path.stat()
            others = [other.read_bytes() for other in files if other.name == path.name and other != path]
            changed = damaged(kept, way, rng, others)
            if changed is None or changed == kept:
                continue
            path.write_bytes(changed)
            try:
                verdict, why = judged(path, scene, before)
            finally:
                _put_back(path, kept, times)
            found = rows.setdefault(f"{way}, {scene.name}", Found())
            found[verdict] += 1
            if verdict in ("wrong", "traceback"):
                print(f"damage {i} of seed {seed}: {way} in {path}: {verdict}: {why[-400:]}", flush=True)
    return dict(
        sorted(rows.items(), key=lambda row: (row[0].partition(", ")[2], WAYS.index(row[0].partition(", ")[0])))
    )


def _put_back(path: Path, content: bytes, times: os.stat_result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _scene_of_runs() -> Scene:
    run(["compare", TRAINED[0], "readme-004-cnn", *TRAINED[1:], "--seeds", "1", "--runs", "runs"])
    [one, _] = sorted(path.parent.name for path in Path("runs").glob("*/DONE"))
    run(["export", one, "--runs", "runs", "--out", "bundle"])
    run(["stress", one, "--runs", "runs", "--quiet"])
    [study] = [path.stem for path in Path("runs/studies").glob("*.json")]
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)).save("picture.png")
    questions = (
        ("runs", "--json", "--runs", "runs"),
        ("report", study, "--json", "--runs", "runs", "--out", "again.html"),
        ("predict", "bundle", "picture.png", "--json"),
        ("export", one, "--runs", "runs", "--out", "again", "--json"),
        ("runs", "--verify", "--runs", "runs"),
    )
    return Scene("runs, studies, bundles", ("runs", "bundle"), questions)


def _scene_of_pictures() -> Scene:
    """A folder of pictures with what was made of it, and a search."""
    from fittingroom.data import load

    train = load("fashion-mnist").train
    for c, name in ((0, "shirt"), (1, "trousers"), (7, "sneaker")):
        Path("wardrobe", name).mkdir(parents=True)
        for i in np.flatnonzero(train.labels_N == c)[:40]:
            Image.fromarray(train.images_NCHW[i, 0]).save(Path("wardrobe", name, f"{i}.png"))
    small = ("train.epochs=1", "data.val_fraction=0.3", "optimizer.lr=log(1e-4,1e-2)", "--data", "wardrobe")
    search = ("tune", "readme-004-mlp", *small, "--trials", "2", "--seeds", "1", "--name", "s")
    where = ("--runs", "searched", "--home", "home")
    run([*search, *where])
    questions = (
        (*search, "--resume", "--json", *where),
        ("data", "show", "wardrobe", "--json", "--home", "home"),
        ("runs", "--verify", "--runs", "searched"),
    )
    return Scene("pictures, searches", ("home/images", "searched"), questions)


def damaged(content: bytes, way: str, rng: np.random.Generator, others: Sequence[bytes]) -> bytes | None:
    """The content, damaged, or that of one of the `others` of its name; None where that cannot be."""
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
        case "of another":
            return others[int(rng.integers(len(others)))] if others else None
    return b""


def judged(path: Path, scene: Scene, before: Sequence[tuple[int, str, str]]) -> tuple[str, str]:
    """Whether each question about a damaged file is answered as before, or tells of the damage."""
    told = False
    for words, (_, said, noted) in zip(scene.questions, before, strict=True):
        code, out, err = asked(words)
        if "Traceback" in err:
            return "traceback", f"{' '.join(words)}: {err}"
        news = (out + err).replace(said, "").replace(noted, "")
        tells = (
            (code == 2 and err.startswith("error:"))
            or "damaged" in news
            or (path.name in news and out + err != said + noted)
        )
        if out != said and not tells:
            return "wrong", f"{' '.join(words)}: {difference(said, out)}"
        told |= tells
    return ("told" if told else "whole"), ""


def difference(before: str, after: str) -> str:
    """Where two texts part."""
    at = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    return f"{before[max(0, at - 60) : at + 60]!r} became {after[max(0, at - 60) : at + 60]!r}"


# ---------------------------------------------------------------- hostile pictures


def pictures(n: int, seed: int) -> dict[str, Found]:
    """Pictures that no camera made: each is answered, or told by name, and the others are answered all the same."""
    rng, found = np.random.default_rng(seed), Found()
    run(["train", *TRAINED, "--runs", "whole"])
    run(["export", next(Path("whole").glob("*/DONE")).parent.name, "--runs", "whole", "--out", "of-pictures"])
    base = base_pictures()
    for first in range(0, n, 100):
        folder = Path("hostile")
        folder.mkdir()
        some = min(100, n - first)
        for i in range(some):
            (folder / f"{i:03}.{('png', 'jpg', 'gif', 'bmp', 'tif', 'webp')[i % 6]}").write_bytes(
                hostile(base[i % len(base)], rng)
            )
        (folder / "whole.png").write_bytes(base[0])
        code, out, err = asked(["predict", "of-pictures", str(folder), "--json"])
        said = json.loads(out) if code in (0, 2) and out.startswith("{") else {"predictions": [], "failed": []}
        answered, refused = said["predictions"], len(said["failed"])
        fair = len(answered) + refused == some + 1 and any("whole.png" in one["file"] for one in answered)
        if fair and "Traceback" not in err:
            found["told"] += refused
            found["whole"] += some - refused
        else:
            found["traceback" if "Traceback" in err else "wrong"] += some
            print(f"pictures {first} … of seed {seed}: {code} {len(answered)} + {refused} of {some + 1} {err[-500:]}")
        shutil.rmtree(folder)
    return {"hostile pictures": found}


# ---------------------------------------------------------------- odd requests


def requests(n: int, seed: int) -> dict[str, Found]:
    """Odd requests to a server: none is answered with a 500, none stops it, and its memory stays what it was."""
    run(["train", *TRAINED, "--runs", "whole"])
    run(["export", next(Path("whole").glob("*/DONE")).parent.name, "--runs", "whole", "--out", "of-requests"])
    process = subprocess.Popen([*FITTINGROOM, "serve", "of-requests", "--port", "0"], stderr=subprocess.PIPE, text=True)
    assert process.stderr  # of which nothing is read from now on: a log that anybody could fill would stop the server
    port = int(re.search(r":(\d+) ", process.stderr.readline())[1])  # type: ignore[index]
    rng, found, base = np.random.default_rng(seed), Found(), base_pictures()
    grown: list[int] = []
    reset = 0
    try:
        for i in range(n):
            sent = odd_request(rng, base)
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # answered before all was sent
                        connection.sendall(sent)
                        if not is_as_announced(sent):  # or the server would wait for the rest
                            connection.shutdown(socket.SHUT_WR)
                    head = connection.recv(4096)
            except ConnectionResetError:  # it had not read what it would not read, so the system took the answer back
                head = b""
                reset += 1
            status = head[9:12]
            nobody = not head and (len(sent) > MUCH or not is_as_announced(sent))
            fair = nobody or status[:1] in (b"1", b"2", b"3", b"4") or status in (b"503", b"505")
            if process.poll() is None and fair:
                found["whole" if status.startswith(b"2") else "told"] += 1
            else:
                found["wrong"] += 1
                print(f"request {i} of seed {seed}: {head[:200]!r} to {sent[:300]!r}", flush=True)
            if i % max(1, n // 20) == n // 20 - 1 or n < 20:
                grown.append(_resident(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    early, late = grown[len(grown) // 4], grown[-1]
    if late > 1.1 * early + (4 << 20):
        found["wrong"] += 1
        print(f"memory grew from {early / 1e6:.0f} to {late / 1e6:.0f} MB")
    print(f"{reset} connections were closed before their answer was read", file=sys.stderr)
    return {f"odd requests ({early / 1e6:.0f} MB of memory after a quarter, {late / 1e6:.0f} at the end)": found}


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


# ---------------------------------------------------------------- commands in this process


def asked(words: Sequence[str]) -> tuple[int, str, str]:
    """A command in this process, which remembers no data: its exit code and what it printed, but for what hangs on the moment."""
    from fittingroom.cli import main
    from fittingroom.data import dataset

    out, err, given = io.StringIO(), io.StringIO(), sys.argv
    shutil.rmtree("again", ignore_errors=True)
    dataset._recent.clear()
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


TORTURES = {one.__name__: one for one in (kills, changes, disks, pairs, damages, pictures, requests)}

if __name__ == "__main__":
    main()
