"""Writes the tables of docs/scale.md from the newest results of rows 6 and 7 of `make bench`: nobody types a figure."""

from __future__ import annotations

from typing import Any

from pages import newest, table, write_block

PAGE = "docs/scale.md"
RUNS = 10_000
CORES_A_NODE = 16  # of the machines that we don't have
GPU_IS_CORES = 50  # assumed, not measured
BUSY_SEND_S = 0.05  # as in study/ray_cluster.py: between two sendings on their way, of all runs together


def ten_thousand(found: dict[str, Any], where: str, whole: dict[str, float]) -> None:
    local, ray, crowd = found["launchers"]
    heard = found["send_s"] / BUSY_SEND_S  # of the driver's time, at most
    driver_s = max(ray["driver_s"][0], crowd["driver_s"][0]) / (1 - heard)
    machines = [
        ("this machine, local", 1, local["cores"], local, 0.0),
        (f"one node of {CORES_A_NODE} cores, local", 1, CORES_A_NODE, local, 0.0),
        (f"one GPU that trains like {GPU_IS_CORES} cores (assumed)", 1, GPU_IS_CORES, local, 0.0),
        (f"10 nodes of {CORES_A_NODE} cores, Ray", 10, 10 * CORES_A_NODE, ray, driver_s),
        (f"1,000 nodes of {CORES_A_NODE} cores, Ray", 1_000, 1_000 * CORES_A_NODE, ray, driver_s),
    ]
    head = ["", *(f"{name}: {seconds:,.0f} s of epochs" for name, seconds in whole.items())]
    rows = []
    for name, nodes, cores, by, driver in machines:
        row = [name]
        for seconds in whole.values():
            work, hearing = RUNS * (seconds + by["beside_s"][0]) / cores, RUNS * driver
            took = by["start_s"][0] + max(work, hearing)
            limit = " (the driver is the limit)" if hearing > work else ""
            row.append(f"{_time(took)}{limit}, {_hours(nodes * took)}")
        rows.append(row)
    full = [f"{(seconds + ray['beside_s'][0]) / driver_s:,.0f} cores" for seconds in whole.values()]
    rows.append(["one driver is full from", *full])
    write_block(
        PAGE, "runs", [*table(head, rows), "", f"({where}; extrapolated from parts of an epoch of single runs)"]
    )


def measured(found: dict[str, Any], where: str) -> None:
    rows = [
        [
            f"{r['launcher']}, {r['slots']} at once" + (" on the same two cores" if r["slots"] > r["cores"] else ""),
            _spread(r["start_s"]) + " s",
            f"{_spread(r['beside_s'])} s" if r["slots"] <= r["cores"] else "–",
            f"{_spread([1e3 * s for s in r['driver_s']])} ms",
            f"{r['bytes'][0] / 1e3:,.0f} kB in {r['files'][0]:.0f} files",
        ]
        for r in found["launchers"]
    ]
    head = ["launcher", "to begin", "a run, beside its training", "the driver's share of a run", "a run's folder"]
    store = [
        f"- **A store of {s['runs']:,} finished runs**: {s['plan_s']:.1f} s to find that nothing is missing, "
        f"{s['compare_s']:.1f} s to compare them."
        for s in found["store"]
    ]
    many = found["store"][-1]
    gigabytes = RUNS * found["launchers"][0]["bytes"][0] / 1e9
    store.append(
        f"- **Of {RUNS:,}**, at that rate: {many['plan_s'] * RUNS / many['runs']:,.0f} s to find that nothing is missing, "
        f"{many['compare_s'] * RUNS / many['runs']:,.0f} s to compare all of them "
        f"(in as much memory as their answers take); {gigabytes:.1f} GB on disk."
    )
    store.append(
        f"- **A checkpoint on its way** takes the driver {1e3 * found['send_s']:.0f} ms; with at most {1 / BUSY_SEND_S:.0f} a "
        f"second of all runs together that is at most {100 * found['send_s'] / BUSY_SEND_S:.0f} % of its time."
    )
    one = found["launchers"][0]
    note = (
        f"({where}; {one['runs']} runs of {found['recipe']}, one epoch of {found['images']:,} images each, "
        f"{one['rounds']} rounds: median, least and most)"
    )
    write_block(PAGE, "measured", [*table(head, rows), "", note, "", *store, ""])


def workers(found: list[dict[str, Any]], where: str) -> None:
    rows = [[r["how"], f"{r['begin_s']:.0f} s", f"{r['train_s']:.1f} s"] for r in found]
    write_block(
        PAGE, "workers", [*table(["readme-002-cnn1, two epochs", "to begin", "to train"], rows), "", f"({where})"]
    )


def memory(found: dict[str, Any], where: str) -> None:
    size = f"{found['images']:,} RGB JPEGs of {found['side']}×{found['side']}, {found['pixels_bytes'] / 1e9:.1f} GB as pixels"
    rows = [
        [name, f"{p['own'] / 1e9:.2f} GB", f"{p['resident'] / 1e9:.2f} GB", f"{p['seconds'] / 60:.0f} min"]
        for name, p in found["phases"].items()
    ]
    head = [size, "its own memory, at most", "with mapped pages, at most", "took"]
    write_block(PAGE, "memory", [*table(head, rows), "", f"({where}; one epoch and the test score)"])


def _spread(values: list[float]) -> str:
    middle, least, most = values
    digits = 0 if middle >= 10 else 1 if middle >= 1 else 2
    return f"{middle:.{digits}f} [{least:.{digits}f}, {most:.{digits}f}]"


def _time(seconds: float) -> str:
    if seconds < 5_400:
        return f"{seconds / 60:,.0f} minutes"
    return f"{seconds / 3_600:,.0f} hours" if seconds < 2 * 86_400 else f"{seconds / 86_400:,.0f} days"


def _hours(seconds: float) -> str:
    hours = f"{seconds / 3_600:,.0f}"
    return f"{hours} node-hour{'s' * (hours != '1')}"


if __name__ == "__main__":
    ten_thousand(*newest("scale"), newest("whole_runs")[0])
    measured(*newest("scale"))
    workers(*newest("workers"))
    memory(*newest("memory"))
