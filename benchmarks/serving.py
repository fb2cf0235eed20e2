"""How fast `fittingroom serve` answers, against the same model called in the process; what it does when it is flooded.

    python benchmarks/serving.py BUNDLE... [--seconds 20] [--soak 20] [--write]

Clients run in a process of their own on the same cores, send whole requests of Triton's binary kind over kept connections
and check every answer: it must be what the model says of that image alone. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from pages import ROOT, table, write_block

from fittingroom.data import load
from fittingroom.inference import Classifier
from fittingroom.spec.machine import cores
from fittingroom.store import BundleFolder
from fittingroom.study.sharing import cpu_name

PORT = 8765
HEADER = "inference-header-content-length"
RESULT = ROOT / "benchmarks" / "results" / "serving.json"


# ---------------------------------------------------------------- the clients, in a process of their own


@dataclass
class Seen:
    """What the clients of one run saw."""

    seconds: list[float] = field(default_factory=list)
    status: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    off: float = 0.0  # the largest difference of a logit to the same image alone


class Client(asyncio.Protocol):
    """One kept connection that sends a request whenever the last is answered."""

    def __init__(
        self, name: str, images: np.ndarray, wanted: np.ndarray, each: int, first: int, seen: Seen, until: float
    ):
        self.images, self.wanted, self.each, self.at, self.seen, self.until = images, wanted, each, first, seen, until
        self.name, self.buffer = name, b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        if time.perf_counter() > self.until:
            self.transport.close()
            return
        self.at = (self.at + self.each) % (len(self.images) - self.each)
        some = self.images[self.at : self.at + self.each]
        raw = some.tobytes()
        tensor = {"name": "images", "shape": list(some.shape), "datatype": "UINT8"}
        tensor["parameters"] = {"binary_data_size": len(raw)}
        wanted = [{"name": "logits", "parameters": {"binary_data": True}}]
        head = json.dumps({"inputs": [tensor], "outputs": wanted}).encode()
        lines = (
            f"POST /v2/models/{self.name}/infer HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\n{HEADER}: {len(head)}\r\n"
            f"Content-Length: {len(head) + len(raw)}\r\n\r\n"
        )
        self.began = time.perf_counter()
        self.transport.write(lines.encode() + head + raw)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].decode().lower()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        body = self.buffer[end + 4 :]
        if len(body) < int(headers["content-length"]):
            return
        self.buffer = b""
        status = int(head.split()[1])
        self.seen.status[status] += 1
        if status == 200:
            self.seen.seconds.append(time.perf_counter() - self.began)
            said = np.frombuffer(body[int(headers[HEADER]) :], np.float32).reshape(self.each, -1)
            wanted = self.wanted[self.at : self.at + self.each]
            self.seen.wrong += int((said.argmax(1) != wanted.argmax(1)).sum())
            self.seen.off = max(self.seen.off, float(abs(said - wanted).max()))
            self.ask()
        else:
            asyncio.get_running_loop().call_later(float(headers.get("retry-after", 0)) * 0.2, self.ask)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def crowd(name: str, data: Path, clients: int, each: int, seconds: float) -> dict[str, Any]:
    arrays = np.load(data)
    seen, until = Seen(), time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    all_of_them = [
        await loop.create_connection(
            lambda i=i: Client(name, arrays["images"], arrays["wanted"], each, i * each, seen, until), "127.0.0.1", PORT
        )
        for i in range(clients)
    ]
    await asyncio.gather(*(client.done for _, client in all_of_them))
    took = time.perf_counter() - started
    ms = 1000 * np.array(seen.seconds)
    return {
        "clients": clients,
        "images_each": each,
        "requests_per_s": len(ms) / took,
        "images_per_s": each * len(ms) / took,
        "p50_ms": float(np.quantile(ms, 0.5)),
        "p99_ms": float(np.quantile(ms, 0.99)),
        "status": {str(k): v for k, v in seen.status.items()},
        "wrong": seen.wrong,
        "largest_difference": seen.off,
    }


# ---------------------------------------------------------------- the measurements


def in_process(bundle: Path, images: np.ndarray) -> float:
    """Images a second of the graph alone, in the better of two batch sizes."""
    graph = Classifier(BundleFolder(bundle)).graph
    best = 0.0
    for batch in (32, 250):
        parts = [images[i : i + batch] for i in range(0, 5_000 // batch * batch, batch)]
        graph.run(parts[0])
        for _ in range(3):
            began = time.perf_counter()
            for part in parts:
                graph.run(part)
            best = max(best, batch * len(parts) / (time.perf_counter() - began))
    return best


class Server:
    """`fittingroom serve` as a person starts it."""

    def __init__(self, bundle: Path, *options: str) -> None:
        command = [sys.executable, "-m", "fittingroom", "serve", str(bundle), "--port", str(PORT), *options]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v2/health/ready", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the server did not become ready")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def ask(name: str, data: Path, clients: int, each: int, seconds: float) -> dict[str, Any]:
    """One run of clients, in a process of its own."""
    words = [sys.executable, __file__, "--crowd", name, str(data), str(clients), str(each), str(seconds)]
    return dict(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))


def flood(name: str, data: Path, seconds: float) -> dict[str, Any]:
    """256 clients against a queue of 64, while somebody asks for the server's health."""
    words = [sys.executable, __file__, "--crowd", name, str(data), "256", "8", str(seconds)]
    clients = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    slowest, asked = 0.0, 0
    time.sleep(1)
    while clients.poll() is None:
        began = time.perf_counter()
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v2/health/live", timeout=10).read()
        slowest, asked = max(slowest, time.perf_counter() - began), asked + 1
        time.sleep(0.05)
    assert clients.stdout
    return dict(json.loads(clients.stdout.read())) | {"health_slowest_ms": 1000 * slowest, "health_asked": asked}


@contextlib.contextmanager
def asked_of(bundle: Path) -> Iterator[Path]:
    """A file with images, and what the model says of each alone."""
    facts = BundleFolder(bundle).facts
    images = load(facts.dataset).train.images_NCHW[:6_000]
    alone = Classifier(BundleFolder(bundle)).graph
    wanted = np.concatenate([alone.run(images[i : i + 1])[0] for i in range(len(images))])
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "asked.npz", images=images, wanted=wanted)
        yield Path(folder) / "asked.npz"


def soak(bundle: Path, minutes: float) -> list[float]:
    """Resident memory in MB, twice a minute, under 32 clients. What else runs meanwhile does not matter."""
    found = []
    with asked_of(bundle) as data, Server(bundle) as server:
        for _ in range(round(2 * minutes)):
            ask(BundleFolder(bundle).facts.name, data, 32, 8, 30)
            found.append(server.memory_mb())
            print(f"  {len(found) / 2:.1f} minutes: {found[-1]:.0f} MB", flush=True)
    return found


def measure(bundle: Path, seconds: float) -> dict[str, Any]:
    name = BundleFolder(bundle).facts.name
    with asked_of(bundle) as data:
        images = np.load(data)["images"]
        found: dict[str, Any] = {"model": name, "in_process_images_per_s": in_process(bundle, images)}
        print(f"{name}: {found['in_process_images_per_s']:,.0f} images/s in the process", flush=True)
        with Server(bundle):
            for key, clients, each in (("many", 32, 32), ("single", 32, 1), ("one", 1, 1)):
                found[key] = ask(name, data, clients, each, seconds)
                print(f"  {clients} × {each}: {found[key]}", flush=True)
        with Server(bundle, "--queue", "64"):
            found["flood"] = flood(name, data, seconds)
            print(f"  flood: {found['flood']}", flush=True)
        found["in_process_images_per_s_after"] = in_process(bundle, images)
    return found


def write(results: dict[str, Any]) -> None:
    head = ["model", "in the process", "32 clients × 32 images", "of it", "32 × 1", "p50", "p99", "1 × 1", "p99"]
    rows, words = [], []
    for r in results["models"]:
        many, single, one = r["many"], r["single"], r["one"]
        rows.append([
            r["model"], f"{r['in_process_images_per_s']:,.0f} images/s", f"{many['images_per_s']:,.0f} images/s",
            f"{100 * many['images_per_s'] / r['in_process_images_per_s']:.0f} %",
            f"{single['requests_per_s']:,.0f} requests/s", f"{single['p50_ms']:.0f} ms", f"{single['p99_ms']:.0f} ms",
            f"{one['requests_per_s']:,.0f} requests/s", f"{one['p99_ms']:.1f} ms",
        ])  # fmt: skip
        f = r["flood"]
        told = ", ".join(f"{n:,} × {status}" for status, n in sorted(f["status"].items()))
        words.append(
            f"- {r['model']}, 256 clients against a queue of 64: {told}, nothing else; its health was told in at most "
            f"{f['health_slowest_ms']:.0f} ms ({f['health_asked']} times asked)."
        )
        wrong = sum(r[key]["wrong"] for key in ("many", "single", "one", "flood"))
        off = max(r[key]["largest_difference"] for key in ("many", "single", "one", "flood"))
        words.append(
            f"- {r['model']}: {wrong} answers differ from that of the image alone; logits by at most {off:.1g}."
        )
        if m := r.get("memory_mb"):
            words.append(
                f"- {r['model']}, {len(m) / 2:.0f} minutes of 32 clients: {m[0]:.0f} MB after half a minute, "
                f"{m[len(m) // 2]:.0f} MB after half of the time, {m[-1]:.0f} MB at the end."
            )
    words.append(f"\n({results['machine']}, clients on the same cores, {results['date']}; `benchmarks/serving.py`)")
    write_block("docs/serving.md", "load", [*table(head, rows), "", *words])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument(
        "--soak", type=float, default=0, help="minutes under load for the first bundle, to see its memory"
    )
    parser.add_argument("--write", action="store_true", help="write docs/serving.md from what was measured last")
    parser.add_argument("--crowd", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.crowd:
        name, data, clients, each, seconds = args.crowd
        import uvloop

        seen = uvloop.run(crowd(name, Path(data), int(clients), int(each), float(seconds)))
        print(json.dumps(seen))
        return
    if args.bundles:
        found = [measure(bundle, args.seconds) for bundle in args.bundles]
        if args.soak:
            found[0]["memory_mb"] = soak(args.bundles[0], args.soak)
        machine = f"{cpu_name()}, {cores()} cores"
        RESULT.write_text(json.dumps({"machine": machine, "date": f"{date.today()}", "models": found}, indent=1) + "\n")
    if args.write:
        write(json.loads(RESULT.read_text()))


if __name__ == "__main__":
    main()
