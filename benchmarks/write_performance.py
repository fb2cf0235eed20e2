"""Writes the tables and pictures of docs/performance.md from the newest results of `make bench`: nobody types a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
from pages import ROOT, newest, table, write_block

from fittingroom.metrics.speed import Ceiling
from fittingroom.report.theme import COLOURS, png
from fittingroom.spec.read import read_recipe, shipped_recipes

PAGE = "docs/performance.md"
KINDS = {
    ("fp32", "fp32"): "fp32 against fp32",
    ("bf16", "bf16"): "bf16 against bf16",
    ("bf16", "fp32"): "our default against theirs",
}


GOALS = {
    "train fast-mnist, one epoch: to the prompt": "4.0",
    "… to the first sign of life": "1.5",
    "report of 9 runs": "2.0",
    "report of 21 runs": "5.0",
    "a comparison asked again: to the verdict": "1.5",
    "runs of 1,000": "0.3",
    "demo": "150",
}
GOALS_OF = (
    "The goals are of a machine that imports torch in 0.7–1.1 s and on which 0.1 took 6.4, 4, 4.5, –, 6.5, – and 240 s."
)


def in_order(names: list[str]) -> dict[str, Any]:
    """For a colour and a shape that mean the same names: one legend for both."""
    return {"title": None, "sort": names, "scale": alt.Scale(domain=names)}


def race() -> None:
    rows, where = newest("race")
    models = {(r["model"], r["batch"]): f"{r['model']}, batch {r['batch']}" for r in rows}
    cells = {(r["rival"], r["ours"], r["theirs"], r["model"], r["batch"]): r for r in rows}
    lines = []
    for (ours, theirs), kind in KINDS.items():
        for rival in dict.fromkeys(r["rival"] for r in rows):
            row = [kind, rival]
            for key in models:
                r = cells[rival, ours, theirs, *key]
                row.append(f"**{r['ratio']:.1f}** [{r['low']:.1f}, {r['high']:.1f}]")
            lines.append(row)
    speeds = [
        ["", f"fittingroom, {precision}, images a second"]
        + [
            f"{next(r['our_images_per_s'] for r in rows if r['ours'] == precision and (r['model'], r['batch']) == key):,.0f}"
            for key in models
        ]
        for precision in ("fp32", "bf16")
    ]
    gap = max(abs(r["our_loss"] - r["rival_loss"]) for r in rows if r["model"] == "cnn1" and r["ours"] == r["theirs"])
    note = (
        f"Median of {rows[0]['rounds']} rounds [lowest, highest]; {where}. The mean losses of cnn1's timed steps agree within "
        f"{gap:.4f}; cnn2 has dropout, whose draws nobody shares."
    )
    picture = "![Images a second, ours over each rival's](performance-race.png)"
    write_block(
        PAGE,
        "race",
        ["", *table(["precision", "rival", *models.values()], [*lines, *speeds]), "", note, "", picture, ""],
    )
    shown = [r | {"kind": KINDS[r["ours"], r["theirs"]], "net": models[r["model"], r["batch"]]} for r in rows]
    title, nets = "times as many images a second", list(models.values())
    scale, axis = alt.Scale(type="log", domain=[1, 16]), alt.Axis(values=[1, 2, 4, 8, 16])
    base = alt.Chart().encode(
        y=alt.Y("rival:N", title=None, sort=None),
        yOffset=alt.YOffset("net:N", sort=nets),
        color=alt.Color("net:N", **in_order(nets)),
    )
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title, scale=scale, axis=axis), x2="high:Q")
    dots = base.mark_point(filled=True, size=55, opacity=1).encode(
        x=alt.X("ratio:Q", title=title, scale=scale, axis=axis), shape=alt.Shape("net:N", **in_order(nets))
    )
    chart = (
        alt.layer(bars, dots)
        .properties(width=230, height=190)
        .facet(column=alt.Column("kind:N", title=None, sort=list(KINDS.values())), data=alt.Data(values=shown))
    )
    (ROOT / "docs/performance-race.png").write_bytes(png(chart))


def own() -> None:
    found, where = newest("own")
    half, _ = newest("own_fp32")
    top = found["ceiling"]
    lines = [
        [
            s["recipe"], s["precision"], str(s["batch_size"]), f"{s['images_per_s']:,.0f}",
            f"{100 * s['flops_per_s'] / Ceiling(**s['ceiling']).of(s['precision']):.0f}",
            f"{1e3 * s['overhead_s']:.1f}", f"{s['evaluate_s']:.2f}", f"{1e3 * s['latency_1_s']:.2f}",
            f"{s['peak_memory_bytes'] / 1e6:,.0f}",
        ]
        for s in [*found["speeds"], *half["speeds"]]
    ]  # fmt: skip
    head = ["recipe", "precision", "batch", "images/s", "of the ceiling, %", "overhead a step, ms"]
    head += ["10,000 images, s", "one image, ms", "peak memory, MB"]
    note = (
        f"Ceiling: the bfloat16 matrix product, measured before and after each row (mean {top['bf16'] / 1e9:,.0f} GFLOP/s), and "
        f"for float32 that of float32 or half of bfloat16's, whichever is more (mean {Ceiling(**top).of('fp32') / 1e9:,.0f}); "
        f"{where}, "
        f"{top['threads']} threads."
    )
    write_block(PAGE, "own", ["", *table(head, lines), "", note, ""])


def throughput() -> None:
    t, where = newest("throughput")
    text = (
        f"A study of {t['seeds']} seeds of `{t['recipe']}` ({t['images']:,} images, {t['epochs']} epoch) takes "
        f"**{t['ratio']:.2f}** [{t['low']:.2f}, {t['high']:.2f}] of {t['seeds']} times one run alone "
        f"({t['many_s']:.1f} s against {t['seeds']} × {t['one_s']:.1f} s; processes, data and scoring included; {where})."
    )
    write_block(PAGE, "throughput", [text])


def loops() -> None:
    rows, where = newest("loops")
    lines = [
        [r["net"], str(r["seeds"]), r["rival"], f"{r['ours_s']:.0f}", f"{r['rival_s']:.0f}", f"**{r['ratio']:.1f}**"]
        for r in rows
    ]
    head = ["net", "seeds", "against a loop of", "ours, s", "theirs, s", "times"]
    size = f"{rows[0]['images']:,} images, one epoch, default against default"
    note = f"Whole processes, from the command to the verdict and its page: {size}; {where}."
    write_block(PAGE, "loops", ["", *table(head, lines), "", note, ""])


def large() -> None:
    rows, where = newest("large")
    names = {"finetune": "fine-tuning (last stages)", "frozen": "frozen network, new last layer"}
    lines = [
        [
            names[r["mode"]], str(r["epochs"]), r["rival"], f"{r['ours_s']:.1f}", f"{r['rival_s']:.1f}",
            f"**{r['ratio']:.1f}** [{r['low']:.1f}, {r['high']:.1f}]",
        ]
        for r in rows
    ]  # fmt: skip
    head = ["what", "epochs", "rival", "ours, s", "theirs, s", "times"]
    note = (
        f"{rows[0]['photos']} JPEGs of 256 to 384 pixels, EfficientNet-Lite0 at 224 × 224, whole processes from the files to the "
        f"trained network, nothing kept from before; our default (bfloat16) against theirs; "
        f"{'one round' if rows[0]['rounds'] == 1 else str(rows[0]['rounds']) + ' rounds, medians'}; {where}."
    )
    write_block(PAGE, "large", ["", *table(head, lines), "", note, ""])


def waits() -> None:
    found, where = newest("waits")
    lines = []
    for what, by in found["waits"].items():
        before = by.get("before")
        ratio = f"{before / by['now']:.1f}" if before else ""
        lines.append([what, f"{before:.2f}" if before else "", f"{by['now']:.2f}", ratio, GOALS.get(what, "")])
    head = ["what", "0.1, s", "now, s", "times", "goal, s"]
    note = f"Whole processes on a terminal; medians of {found['rounds']} rounds, in turn; {where}. {GOALS_OF}"
    write_block(PAGE, "waits", ["", *table(head, lines), "", note, ""])


def growth() -> None:
    rows, where = newest("growth")
    lines = [
        [
            r["what"],
            ", ".join(f"{x:,.0f}" for x in r["sizes"]),
            ", ".join(f"{m['seconds']:.1f}" for m in r["measured"]),
            f"**{r['exponent']:.2f}**",
        ]
        for r in rows
    ]
    head = ["what grows", "sizes", "seconds", "exponent (of the larger half)"]
    picture = "![Seconds over size, on logarithmic axes](performance-growth.png)"
    write_block(PAGE, "growth", ["", *table(head, lines), "", f"{where}.", "", picture, ""])
    values = [
        {"what": r["what"], "size": x / r["sizes"][0], "seconds": m["seconds"] / r["measured"][0]["seconds"]}
        for r in rows
        for x, m in zip(r["sizes"], r["measured"], strict=True)
    ]
    named = in_order([r["what"] for r in rows])
    ticks = [1, 2, 5, 10, 20, 50, 100, 200]
    x = alt.X(
        "size:Q",
        title="size, as a multiple of the smallest",
        scale=alt.Scale(type="log", domain=[1, 100]),
        axis=alt.Axis(values=ticks),
    )
    y = alt.Y(
        "seconds:Q",
        title="seconds, as a multiple",
        scale=alt.Scale(type="log", domain=[0.5, 200]),
        axis=alt.Axis(values=[0.5, *ticks]),
    )
    lined = (
        alt.Chart(alt.Data(values=values))
        .mark_line(point=alt.OverlayMarkDef(size=50), strokeWidth=2)
        .encode(x=x, y=y, color=alt.Color("what:N", **named), shape=alt.Shape("what:N", **named))
    )
    most = max(v["size"] for v in values)
    work = alt.Chart(alt.Data(values=[{"size": 1, "seconds": 1}, {"size": most, "seconds": most}]))
    even = work.mark_line(strokeDash=[4, 3], color=COLOURS[7]).encode(x=x, y=y)
    (ROOT / "docs/performance-growth.png").write_bytes(png(alt.layer(even, lined).properties(width=420, height=280)))


def time_to() -> None:
    rows, where = newest("time_to")
    lines = []
    for r in rows:
        goal = f"{100 * r['target']:g} % of {r['dataset']}"
        accuracy = f"{100 * r['accuracy']:.2f} ± {100 * r['sd']:.2f} %, mean of {r['seeds']} seeds"
        accuracy += "" if r["reached"] else " (not reached)"
        lines.append([goal, f"`{r['recipe']}`", accuracy, f"{r['train_s']:.1f}", f"{r['total_s']:.1f}", "1", "1"])
        for p in r["peers"]:
            best = f"{100 * max(p['accuracies']):.2f} % after {len(p['accuracies'])} epochs"
            more = "" if p["reached"] else "over "
            lines.append([
                goal, p["name"], best + ("" if p["reached"] else ", never there"), f"{p['train_s']:.0f}", f"{p['total_s']:.0f}",
                f"**{more}{p['ratio']:.1f}**", f"**{more}{p['total_ratio']:.1f}**",
            ])  # fmt: skip
    head = [
        "goal",
        "who",
        "test accuracy",
        "training, s",
        "from the process's start, s",
        "times ours",
        "from the start",
    ]
    write_block(PAGE, "time-to", ["", *table(head, lines), "", f"{where}.", ""])


def recipes() -> None:
    measured = [(name, m) for name in shipped_recipes() for m in read_recipe(name).measured]
    lines = [
        [
            f"`{name}`", m.dataset, f"{100 * m.test_accuracy:.2f} ± {100 * m.sd:.2f}", str(m.n), f"{m.train_s:,.1f}",
            f"{m.hardware}, {m.date}",
        ]
        for name, m in measured
    ]  # fmt: skip
    head = ["recipe", "data", "test accuracy, % (mean ± sd)", "seeds", "training, s", "where and when"]
    write_block(PAGE, "recipes", ["", *table(head, lines), ""])


def gpu() -> None:
    found, where = newest("gpu")
    top = found["speed"]["ceiling"]
    speeds = [
        [
            r["recipe"], str(r["batch_size"]), f"{r['recorded']['images_per_s']:,.0f}", f"{r['by_kernel']['images_per_s']:,.0f}",
            f"**{r['by_kernel']['step_ms'] / r['recorded']['step_ms']:.1f}**", f"{100 * r['recorded']['share']:.1f}",
        ]
        for r in found["speed"]["rows"]
    ]  # fmt: skip
    goals = [
        [
            r["recipe"], f"{100 * r['accuracy']:.2f} ± {100 * r['sd']:.2f}", f"{100 * r['target']:g}", str(r["seeds"]),
            f"{r['median_train_s']:.2f}",
        ]
        for r in found["time_to"]
    ]  # fmt: skip
    rivals = [
        [
            r["model"],
            r["rival"],
            f"{r['our_images_per_s']:,.0f}",
            f"{r['rival_images_per_s']:,.0f}",
            f"**{r['ratio']:.1f}**",
        ]
        for r in found["peers"]
    ]
    best, many = found["best"], found["seeds"]
    (at_once,) = (name for name in many if name.endswith("at_once"))
    agreement = "; ".join(
        f"{r['recipe']} {100 * r['difference']:+.2f} ± {100 * r['se']:.2f} points ({len(r['gpu'])} seeds)"
        for r in found["verdict"]
    )
    write_block(
        PAGE,
        "gpu",
        [
            "",
            f"{where}. `make bench-gpu`, bfloat16 unless said otherwise; the tests that need a GPU ended with exit code "
            f"{found['correct']['exit_code']}.",
            "",
            *table(
                ["recipe", "batch", "images/s, step recorded", "kernel by kernel", "times",
                 f"% of {top['bf16'] / 1e12:.0f} TFLOP/s"],
                speeds,
            ),
            "",
            *table(["recipe", "test accuracy, % (mean ± sd)", "goal", "seeds", "training, s (median)"], goals),
            "",
            *table(["net, batch 64", "rival (fp32)", "ours, images/s", "theirs", "times"], rivals),
            "",
            f"- {many['seeds']} seeds of `{many['recipe']}`, {at_once.replace('_', ' ')}: {many[at_once]['whole_s']:.0f} s, "
            f"{many[at_once]['whole_s'] / many['one']['whole_s']:.1f} times one alone from the process's start; "
            f"without the start {many[at_once]['trains_s'] / many['one']['trains_s']:.1f} times.",
            f"- `{best['recipe']}`: {100 * best['test']:.2f} % of the test images, {100 * best['test_averaged']:.2f} "
            f"averaged with the mirrored picture, one seed, {best['train_s']:.0f} s of training.",
            f"- GPU against CPU, the same recipe in float32, validation accuracy: {agreement}.",
            "",
        ],
    )  # fmt: skip


if __name__ == "__main__":
    for name, part in {
        "race": race,
        "own": own,
        "recipes": recipes,
        "throughput": throughput,
        "loops": loops,
        "waits": waits,
        "large": large,
        "growth": growth,
        "time-to": time_to,
        "gpu": gpu,
    }.items():
        try:
            part()
        except LookupError:
            write_block(PAGE, name, ["Not measured yet."])
    print(f"written: {Path(PAGE)}")
