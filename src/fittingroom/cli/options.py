"""Options that several commands share, so that one word means one thing everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path | None,
    typer.Option("--home", help="Where data live (default: FITTINGROOM_HOME or the platform's cache folder)."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")]
RunsDir = Annotated[Path, typer.Option("--runs", help="The folder of runs and reports.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
AtOnce = Annotated[
    int | None,
    typer.Option("--at-once", min=1, help="Runs that share the machine (default: one a core; on a GPU one)."),
]
RefuseFaults = Annotated[
    bool, typer.Option("--strict", help="Refuse pictures that cannot be used, instead of leaving them out.")
]
Data = Annotated[str, typer.Option(help="A data set's name, or a path of pictures, instead of the recipe's.")]
Launcher = Annotated[
    str, typer.Option("--launcher", help="Who trains: local, ray (a cluster on this machine), or ray=ADDRESS.")
]
Costs = Annotated[
    bool, typer.Option("--costs", help="Measure what recipes cost here, too, where nothing was trained just now.")
]
Events = Annotated[
    Path | None,
    typer.Option(
        "--events", envvar="FITTINGROOM_EVENTS", help="Append what happens to this file, one JSON object a line."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Png = Annotated[Path | None, typer.Option("--png", help="A folder for each figure as a PNG, for slides.")]
Listed = Annotated[
    Path | None, typer.Option("--list", help="A CSV of the pictures that this speaks of, one a row, to work through.")
]
MetricName = Annotated[
    str,
    typer.Option(
        "--metric",
        help="What decides: accuracy (default), balanced_accuracy, macro_f1, sensitivity, specificity, precision, roc_auc, "
        "average_precision, log_loss, brier, top_2_accuracy …",
    ),
]
At = Annotated[
    str,
    typer.Option(
        "--at",
        metavar="AIM",
        help="Answer by thresholds that are chosen on validation: sensitivity=0.95, specificity=0.9, precision=0.9, or "
        "costs=10:1 (a miss, a false alarm). In a comparison what that leaves open decides, unless --metric says otherwise.",
    ),
]
Positive = Annotated[
    str, typer.Option("--positive", metavar="CLASS", help="The class that is looked for (default: of two, the second).")
]
Effect = Annotated[
    float | None,
    typer.Option(
        help="The difference you care about, in the metric's own size (0.005 by default: half a point of accuracy)."
    ),
]
Same = Annotated[
    float | None,
    typer.Option(
        help="A difference that makes none for you, as the metric is shown: 0.3 is 0.3 points (default: 0.1 on MNIST, 0.3 on "
        "Fashion-MNIST, else 1; none for metrics that are not counted in points)."
    ),
]
Seeds = Annotated[int, typer.Option(min=1, help="Seeds 0 … N-1 for each recipe.")]
Host = Annotated[str, typer.Option(help="Where to listen; another than this machine needs a token.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(envvar="FITTINGROOM_TOKEN_FILE", help="A file whose text is the token, instead of --token."),
]
TlsCert = Annotated[Path | None, typer.Option("--tls-cert", help="Speak TLS with this certificate (PEM).")]
TlsKey = Annotated[
    Path | None, typer.Option("--tls-key", help="The certificate's key, where it is in a file of its own.")
]
BehindProxy = Annotated[
    bool,
    typer.Option(
        "--behind-proxy", help="Believe X-Forwarded-Host and -Proto: only where every request comes through a proxy."
    ),
]
AllowHost = Annotated[
    list[str] | None, typer.Option(help="Another name by which this machine is called; may be given several times.")
]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")]
Which = Annotated[
    list[str],
    typer.Argument(metavar="STUDY|RUN...", help="Studies by name or file, run folders, beginnings of their names."),
]
