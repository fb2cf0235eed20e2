"""`fittingroom bench`: our own speed, beside what this machine could do."""

from __future__ import annotations

from typing import Annotated

import typer

from fittingroom.cli.options import Device, Home, Json, names_and_changes

USUAL = ("readme-002-cnn1", "readme-002-cnn2", "fast-fashion", "fast-mnist")


def bench(
    which: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE]... [KEY=VALUE]...", help="Recipes (default: two of the READMEs' and the fast ones)."
        ),
    ] = None,
    device: Device = "auto",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Measure how fast recipes train here, as a share of what this machine's matrix product can do. Let nothing else run."""
    from fittingroom.cli import show
    from fittingroom.metrics.words import human, percent
    from fittingroom.spec.read import read_recipe
    from fittingroom.study.bench import bench as measure
    from fittingroom.study.cost import machine

    names, changes = names_and_changes(which)
    top, speeds = measure([read_recipe(name, changes) for name in names or USUAL], device, home)
    if as_json:
        show.as_json({
            "machine": machine(), "ceiling": top.model_dump(mode="json"), "speeds": [s.model_dump(mode="json") for s in speeds]
        })  # fmt: skip
        return
    head = ["recipe", "precision", "batch", "images/s", "FLOP/s", "of ceiling %", "overhead ms"]
    head += ["10,000 images s", "1 image ms", "memory MB"]
    lines = [
        [
            s.recipe, s.precision, str(s.batch_size), f"{s.images_per_s:,.0f}", human(s.flops_per_s), percent(s.share, 0),
            f"{1e3 * s.overhead_s:.2f}", f"{s.evaluate_s:.2f}", f"{1e3 * s.latency_1_s:.2f}",
            "–" if s.peak_memory_bytes is None else f"{s.peak_memory_bytes / 1e6:,.0f}",
        ]
        for s in speeds
    ]  # fmt: skip
    show.table(head, lines)
    print(
        f"\nceiling: {human(top.fp32)}FLOP/s in fp32, {human(top.bf16)}FLOP/s in bf16; {machine()}, {top.threads} threads"
    )
    if not all(s.quiet for s in speeds):
        print("warning: something else used this machine meanwhile; the figures are too low")
