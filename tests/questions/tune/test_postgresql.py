"""A search that several processes share in a real PostgreSQL, and what a wrong address or password gives."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from waiting import PATIENCE_S, until

from fittingroom.questions import tune as room
from fittingroom.spec.errors import FittingroomError

BINARIES = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "s3cret:pass/word"  # with what a URL must write as %3A and %2F
WRITTEN = "s3cret%3Apass%2Fword"

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Server:
    port: int

    def url(self, password: str = WRITTEN, host: str = "127.0.0.1", port: int = 0, base: str = "postgres") -> str:
        return f"postgresql://tuner:{password}@{host}:{port or self.port}/{base}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """PostgreSQL of Debian's package on loopback, asking for a password, in a folder of its own."""
    pytest.importorskip("psycopg", reason="the extra postgresql is not installed")
    if not (BINARIES / "initdb").exists():
        pytest.skip(f"no PostgreSQL in {BINARIES}; Debian has it as the package postgresql-15")
    become: list[str] = []
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        if not shutil.which("runuser") or subprocess.run(["id", "postgres"], capture_output=True).returncode:
            pytest.skip("PostgreSQL does not run as root, and there is no runuser or no user postgres")
        become = ["runuser", "-u", "postgres", "--"]
    with tempfile.TemporaryDirectory(prefix="fittingroom-postgresql-") as name:  # pytest's own are closed to others
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if become:
            shutil.chown(folder, "postgres")
            shutil.chown(folder / "password", "postgres")

        def as_user(*command: str | Path) -> None:
            done = subprocess.run([*become, *map(str, command)], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr

        as_user(
            BINARIES / "initdb", "--pgdata", "data", "--username", "tuner", "--auth", "scram-sha-256",
            "--pwfile", "password", "--no-sync", "--encoding", "UTF8",
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off"
        as_user(BINARIES / "pg_ctl", "--pgdata", "data", "--log", "log", "--wait", "--options", settings, "start")
        try:
            yield Server(port)
        finally:
            as_user(BINARIES / "pg_ctl", "--pgdata", "data", "--wait", "--mode", "immediate", "stop")


HOLDS = """
import time
from pathlib import Path
from torch import nn
HERE = Path(__file__).parent
class Net(nn.Linear):
    def forward(self, x):
        while self.training and len(x) > 2 and (HERE / "hold").exists():
            time.sleep(0.01)
        return super().forward(x.flatten(1))
def build(channels, size, classes):
    return Net(784, classes)
"""
WORDS = (
    "readme-004-mlp", "model={ kind = 'python', target = 'holding:build' }", "data.limit=600", "train.epochs=2",
    "optimizer.lr=log(1e-6, 1e-1)", "train.batch_size=int(16, 128, log)", "--batch", "2", "--at-once", "1",
    "--trials", "10", "--pruner", "median", "--name", "shared",
)  # fmt: skip


class Tune:
    """`fittingroom tune WORDS`, whose words on standard error are read while it runs."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fittingroom", "tune", *words], env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self.searched = threading.Event()  # or ended before it had
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("the winner is"):
                self.searched.set()
        self.searched.set()

    def stop(self, how: signal.Signals) -> str:
        """End it; all that it said."""
        assert self.process.stdout is not None
        with self.process:
            self.process.send_signal(how)
            said = self.process.stdout.read()
            self.process.wait(PATIENCE_S)
            self.reader.join()
        return said + "".join(self.lines)


@pytest.fixture
def storage(server: Server) -> Iterator[optuna.storages.RDBStorage]:
    opened = room.open_storage(server.url())
    assert isinstance(opened, optuna.storages.RDBStorage)
    yield opened
    for study in optuna.get_all_study_summaries(opened):
        optuna.delete_study(study_name=study.study_name, storage=opened)
    opened.remove_session()
    opened.engine.dispose()


def trials_of(storage: optuna.storages.RDBStorage) -> list[optuna.trial.FrozenTrial]:
    """Those of the search, which may not be there yet."""
    studies = storage.get_all_studies()
    return storage.get_all_trials(studies[0]._study_id) if studies else []


@pytest.mark.main_job
def test_two_processes_share_a_search(server: Server, storage: optuna.storages.RDBStorage, tmp_path: Path) -> None:
    """Each is held in its first training until both have trials of their own."""
    (tmp_path / "holding.py").write_text(HOLDS)
    (tmp_path / "hold").touch()
    first = Tune(*WORDS, "--storage", server.url())
    until(lambda: first.searched.is_set() or len(trials_of(storage)) == 2)
    second = Tune(*WORDS, "--storage", server.url(), "--resume")
    until(lambda: first.searched.is_set() or second.searched.is_set() or len(trials_of(storage)) == 4)
    (tmp_path / "hold").unlink()
    said = []
    for tune in (first, second):
        assert tune.searched.wait(PATIENCE_S)
        said.append(tune.stop(signal.SIGKILL))
        assert "the winner is trial" in said[-1] and "Traceback" not in said[-1], said[-1]
    trials = trials_of(storage)
    assert len(trials) == 10, "trials in all"
    assert {t.state.name for t in trials} <= {"COMPLETE", "PRUNED"}
    own = [
        {int(re.findall(r"\d+", line)[0]) for line in text.splitlines() if line.startswith("trial ")} for text in said
    ]
    assert own[0] | own[1] == set(range(10)) and not own[0] & own[1] and min(map(len, own)) >= 2
    assert len({t.user_attrs["driver"] for t in trials}) == 2
    assert len({t.user_attrs["run"] for t in trials}) == 10  # no trial was trained by both


def test_interrupted_it_says_how_to_go_on_without_the_password(
    server: Server, storage: optuna.storages.RDBStorage, tmp_path: Path
) -> None:
    """What stands on a screen is photographed, pasted and logged."""
    (tmp_path / "holding.py").write_text(HOLDS)
    (tmp_path / "hold").touch()
    tune = Tune(*WORDS, "--storage", server.url())
    until(lambda: tune.searched.is_set() or list(tmp_path.glob("runs/*/run.json")))
    said = tune.stop(signal.SIGINT)
    assert tune.process.returncode == 130 and "Go on with:\n  fittingroom tune readme-004-mlp" in said, said
    assert "--resume" in said and "Traceback" not in said
    assert WRITTEN not in said and PASSWORD not in said


def test_a_wrong_password_is_one_message_that_does_not_tell_it(server: Server, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fittingroom", "tune", "readme-004-mlp", "--storage", server.url("not%40it")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("error: cannot open the storage ")
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert "password authentication failed" in done.stderr and "127.0.0.1" in done.stderr
    assert not any(secret in done.stderr for secret in (PASSWORD, WRITTEN, "not%40it", "not@it"))


def test_a_wrong_host_and_a_data_base_that_is_not_there(server: Server) -> None:
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        places = {
            server.url(port=nobody.getsockname()[1]): "refused",
            server.url(base="nothing"): '"nothing" does not exist',
        }
        for url, reason in places.items():
            with pytest.raises(FittingroomError, match=f"^cannot open the storage .*{reason}") as caught:
                room.open_storage(url)
            assert WRITTEN not in str(caught.value) and PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://tuner:{secret}@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?user=tuner&password={secret}",
        "postgresql://tuner:{secret}@127.0.0.1:port/x",
        "postgresql://tuner:{secret}@127.0.0.1:1/x@y",
        "postgresql+psycopg://tuner:{secret}@127.0.0.1:1/x",
        "postgresql+nothing://tuner:{secret}@127.0.0.1:1/x",
        "nothing://tuner:{secret}@127.0.0.1:1/x",
    ],
)
def test_however_a_password_is_given_it_is_not_told(url: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(FittingroomError) as caught:
        room.open_storage(url.format(secret="hunter2"))
    assert "hunter2" not in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith("cannot open the storage ")
