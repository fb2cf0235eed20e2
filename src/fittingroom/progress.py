"""What a person sees while something works: a bar in a terminal or a notebook, lines in a log; and what a program hears."""

from __future__ import annotations

import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fittingroom.spec.printable import for_terminal
from fittingroom.store.events import EpochEnded, Event, RunBegun, RunEnded, append
from fittingroom.store.fetch import Tick
from fittingroom.study.progress import SILENT
from fittingroom.study.progress import Progress as Listener

if TYPE_CHECKING:
    from fittingroom.store import Runs
    from fittingroom.study.execute import Update
    from fittingroom.study.job import Job
    from fittingroom.study.launch import ListenToJob

LOG_S = 30.0  # between two lines of a log about the same work
LINE_S = 0.5  # between two lines about runs or epochs that end faster than anybody reads
Bar = Callable[[float, str], None]  # the share (0 … 1) that is done, and words


def progress(quiet: bool = False, stderr: bool = True) -> Listener:
    """Who shows progress here: nobody if `quiet`, else a notebook's cell, or a terminal or log on standard error (or output)."""
    if quiet:
        return SILENT
    return Cell() if _in_notebook() else Terminal(stderr)


class Shown(Listener):
    """Notes are lines, long work is a bar."""

    @abstractmethod
    def note(self, line: str) -> None: ...

    @abstractmethod
    @contextmanager
    def bar(self, what: str) -> Iterator[Bar]:
        """A bar that is gone when the work is done."""
        yield lambda share, words: None

    @contextmanager
    def work(self, what: str) -> Iterator[Tick]:
        with self.bar(what) as bar:
            yield lambda share: bar(share, what)

    @contextmanager
    def jobs(self, jobs: Sequence[Job]) -> Iterator[ListenToJob]:
        with self.bar("starting") as bar:
            yield _Jobs(jobs, bar, self.note).listen


class Terminal(Shown):
    """A bar on a terminal, else a line now and then. On standard error, standard output stays for results."""

    def __init__(self, stderr: bool = True) -> None:
        self.console = Console(stderr=stderr, highlight=False)

    def note(self, line: str) -> None:
        self.console.print(for_terminal(line), markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, what: str) -> Iterator[Bar]:
        if not self.console.is_terminal:
            yield _Log(self.note)
            return
        columns = [
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
        ]
        shown = Progress(*columns, console=self.console, transient=True)
        task = shown.add_task(what, total=1.0)

        def update(share: float, words: str) -> None:
            shown.start()  # does nothing when it has begun: what is done at once needs no bar
            shown.update(task, completed=share, description=words)

        try:
            yield update
        finally:
            shown.stop()


class _Log:
    """A share that is told at the beginning of long work, and then not too often."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note, self.last = note, time.monotonic()

    def __call__(self, share: float, words: str) -> None:
        if time.monotonic() - self.last >= LOG_S:
            self.last = time.monotonic()
            self.note(f"{words}: {100 * share:.0f} %")


class Cell(Shown):
    """A notebook's cell: one display that changes, which needs no widgets and stays as its last state when it is saved."""

    def note(self, line: str) -> None:
        print(for_terminal(line))

    @contextmanager
    def bar(self, what: str) -> Iterator[Bar]:
        from IPython.display import HTML, display

        handle = None
        last = began = time.monotonic()

        def update(share: float, words: str) -> None:
            nonlocal handle, last
            now = time.monotonic()
            if now - last < 0.2 and share < 1:
                return
            last = now
            left = f", about {(now - began) * (1 - share) / share:,.0f} s left" if share > 0.05 and share < 1 else ""
            html = HTML(
                f'<progress max="1" value="{share:.4f}" style="vertical-align: middle"></progress> '
                f"{100 * share:.0f} % <small>{escape(words)}{left}</small>"
            )
            if handle is None:
                handle = display(html, display_id=True)
            else:
                handle.update(html)

        try:
            yield update
        finally:
            if handle is not None:
                handle.update(HTML(""))


class _Jobs:
    """What is known of jobs that run, by their number, as words beside one bar."""

    def __init__(self, jobs: Sequence[Job], bar: Bar, note: Callable[[str], None]) -> None:
        self.jobs, self.bar, self.note = jobs, bar, note
        self.done = 0
        self.told = -LINE_S
        self.began: dict[int, tuple[float, int]] = {}  # of each job's first update: when, and images before it
        self.accuracy: dict[int, str] = {}  # of each job, after its latest epoch
        self.share = dict.fromkeys(range(len(jobs)), 0.0)
        self.words = "starting"

    def listen(self, number: int, update: Update | None) -> None:
        """An update of job `number`; None when it has ended."""
        job = self.jobs[number]
        if update is None:
            self.done += 1
            self.share[number] = 1.0
            if len(self.jobs) > 1 and self._may_tell(self.done == len(self.jobs)):
                self.note(
                    f"{self.done} of {len(self.jobs)} runs: {job.title} on {job.recipe.data.name}, seed {job.seed}"
                )
        else:
            self._hear(number, job, update)
        total = sum(job.work for job in self.jobs) or 1.0
        self.bar(sum(self.share[n] * job.work for n, job in enumerate(self.jobs)) / total, self.words)

    def _may_tell(self, last: bool) -> bool:
        """Whether another line is due; the last one always is."""
        due = last or time.monotonic() - self.told >= LINE_S
        self.told = time.monotonic() if due else self.told
        return due

    def _hear(self, number: int, job: Job, update: Update) -> None:
        if update.said:
            self.note(f"note: {update.said}")
            return
        epochs = job.recipe.train.epochs
        self.share[number] = (update.epoch - 1 + update.images / update.of) / epochs
        images = (update.epoch - 1) * update.of + update.images
        start, before = self.began.setdefault(number, (time.monotonic(), images))
        passed = time.monotonic() - start
        rate = f"  {(images - before) / passed:,.0f} images/s" if passed > 0.5 else ""
        several = len(self.jobs) > 1
        name = job.title + (f" s{job.seed}  ({self.done} of {len(self.jobs)} runs done)" if several else "")
        loss = f"  loss {_loss(update.loss)}" if update.loss is not None else ""
        e = update.record
        if e and e.val_accuracy is not None:
            self.accuracy[number] = f"  val {100 * e.val_accuracy:.2f} %"
        self.words = f"{name}  epoch {update.epoch}/{epochs}{loss}{self.accuracy.get(number, '')}{rate}"
        if e and not several and self._may_tell(e.epoch == epochs):
            val = ""
            if e.val_accuracy is not None and e.val_loss is not None:
                val = f"  val loss {_loss(e.val_loss)} acc {100 * e.val_accuracy:.2f} %"
            self.note(
                f"epoch {e.epoch:>{len(str(epochs))}}/{epochs}  loss {_loss(e.train_loss)}  "
                f"train acc {100 * e.clean_accuracy:.2f} %{val}  {update.of / e.train_s:,.0f} images/s"
            )


def _loss(value: float) -> str:
    """Four digits, or three with an exponent where a training runs away."""
    return f"{value:.4f}" if value < 1000 else f"{value:.2e}"


class Recorded(Listener):
    """Passes everything on, and appends to a file what a program that watches should know: see `store.events`."""

    def __init__(self, inner: Listener, path: Path, runs: Runs) -> None:
        self.inner, self.path, self.runs = inner, path, runs

    def note(self, line: str) -> None:
        self.inner.note(line)

    @contextmanager
    def work(self, what: str) -> Iterator[Tick]:
        with self.inner.work(what) as tick:
            yield tick

    @contextmanager
    def jobs(self, jobs: Sequence[Job]) -> Iterator[ListenToJob]:
        begun: set[int] = set()
        with self.inner.jobs(jobs) as listen:

            def heard(number: int, update: Update | None) -> bool | None:
                job = jobs[number]
                if number not in begun:
                    begun.add(number)
                    recipe = job.recipe
                    about = {"recipe": recipe.name, "dataset": recipe.data.name, "epochs": recipe.train.epochs}
                    self.event(RunBegun(run=job.name, seed=job.seed, **about))  # type: ignore[arg-type]
                if update is None:
                    self.event(RunEnded(run=job.name, finished=job.folder(self.runs).done))
                elif update.record:
                    self.event(EpochEnded(run=job.name, epochs=job.recipe.train.epochs, record=update.record))
                return listen(number, update)

            yield heard

    def event(self, event: Event) -> None:
        append(self.path, event)


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell else None
    return type(found).__name__ == "ZMQInteractiveShell"
