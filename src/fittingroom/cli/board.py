"""What a person sees while something trains: a progress bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fittingroom.spec.errors import without_passwords

if TYPE_CHECKING:
    from fittingroom.store import RunFolder, Runs
    from fittingroom.study.execute import Progress as Sign
    from fittingroom.study.plan import Job
    from fittingroom.study.run import Plan


class Board:
    """Listens to jobs by number. Writes to standard error, so that standard output stays for results."""

    def __init__(self, jobs: Sequence[Job], quiet: bool) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.jobs, self.quiet = jobs, quiet
        self.live = self.console.is_terminal and not quiet and bool(jobs)
        self.done = 0
        self.began: dict[int, tuple[float, int]] = {}  # of each job's first sign: when, and images before it
        self.accuracy: dict[int, str] = {}  # of each job, after its latest epoch
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self.console,
            transient=True,
            disable=not self.live,
        )
        self.task = self.bar.add_task("starting", total=sum(job.work for job in jobs) or 1)
        self.share = dict.fromkeys(range(len(jobs)), 0.0)

    def __enter__(self) -> Board:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def say(self, line: str) -> None:
        if not self.quiet:
            self.console.print(line, markup=False, soft_wrap=True)

    def listen(self, number: int, sign: Sign | None) -> None:
        """A sign of life of job `number`; None when it has ended."""
        job = self.jobs[number]
        if sign is None:
            self.done += 1
            self.share[number] = 1.0
            if len(self.jobs) > 1:
                self.say(
                    f"{self.done} of {len(self.jobs)} runs: {job.recipe.name} on {job.recipe.data.name}, seed {job.seed}"
                )
        else:
            epochs = job.recipe.train.epochs
            self.share[number] = (sign.epoch - 1 + sign.images / sign.of) / epochs
            images = (sign.epoch - 1) * sign.of + sign.images
            start, before = self.began.setdefault(number, (time.monotonic(), images))
            passed = time.monotonic() - start
            rate = f"  {(images - before) / passed:,.0f} images/s" if passed > 0.5 else ""
            name = job.recipe.name + (f" s{job.seed}" if len(self.jobs) > 1 else "")
            if len(self.jobs) > 1:
                name += f"  ({self.done} of {len(self.jobs)} runs done)"
            loss = f"  loss {_loss(sign.loss)}" if sign.loss is not None else ""
            if sign.record and sign.record.val_accuracy is not None:
                self.accuracy[number] = f"  val {100 * sign.record.val_accuracy:.2f} %"
            best = self.accuracy.get(number, "")
            self.bar.update(self.task, description=f"{name}  epoch {sign.epoch}/{epochs}{loss}{best}{rate}")
            if sign.record and len(self.jobs) == 1:
                e = sign.record
                val = (
                    f"  val loss {_loss(e.val_loss)} acc {100 * e.val_accuracy:.2f} %"
                    if e.val_accuracy is not None and e.val_loss is not None
                    else ""
                )
                self.say(
                    f"epoch {e.epoch:>{len(str(epochs))}}/{epochs}  loss {_loss(e.train_loss)}  "
                    f"train acc {100 * e.clean_accuracy:.2f} %{val}  {sign.of / e.train_s:,.0f} images/s"
                )
        self.bar.update(
            self.task, completed=sum(s * j.work for s, j in zip(self.share.values(), self.jobs, strict=True))
        )


def _loss(value: float) -> str:
    """Four digits, or three with an exponent where a training runs away."""
    return f"{value:.4f}" if value < 1000 else f"{value:.2e}"


@contextmanager
def share_of(what: str, quiet: bool) -> Iterator[Callable[[float], None]]:
    """A bar for work whose done share (0 … 1) is told to the function that this gives; no bar before it is."""
    console = Console(stderr=True, highlight=False)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    task = bar.add_task(what, total=1.0)

    def tell(share: float) -> None:
        bar.start()  # does nothing when it has begun
        bar.update(task, completed=share)

    try:
        yield tell
    finally:
        bar.stop()


def train_missing(study: Plan, runs: Runs, source: Sequence[str], quiet: bool, costs: bool = True) -> list[RunFolder]:
    """Train what `study` still needs, before a person's eyes; `source` says where the data came from."""
    from fittingroom.study.run import run_study

    with (
        resumable(lambda: f"whole epochs and finished runs are saved in {runs.path}"),
        Board(study.waiting, quiet) as board,
    ):
        for line in [*source, *(f"warning: {w}" for w in study.cautions)]:
            board.say(line)
        here = len(study.jobs) - len(study.waiting)
        board.say(
            f"{len(study.jobs)} runs: {here} finished, {len(study.waiting)} to train"
            + (" on Ray" if study.by != "local" else f", {study.workers} at a time" if study.workers > 1 else "")
        )
        return run_study(study, runs, board.listen, board.say, costs)


@contextmanager
def resumable(saved: Callable[[], str], flag: str = "") -> Iterator[None]:
    """After Ctrl-C or SIGTERM inside: say what is safe and how to go on, and leave with 130."""
    try:
        yield
    except KeyboardInterrupt:
        words = [word for word in sys.argv[1:] if word not in ("--resume", "--fresh")]
        again = without_passwords(shlex.join(["fittingroom", *words, *([flag] if flag else [])]))
        print(f"\nstopped; {saved()}. Go on with:\n  {again}", file=sys.stderr)
        raise typer.Exit(130) from None
