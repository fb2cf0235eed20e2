"""Runs in MLflow: an experiment for each data set, and a run's bundle as a model that MLflow loads and serves."""

from __future__ import annotations

import os
import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import numpy as np

from fittingroom.export.mirrors.record import Copied, Point, RunRecord, Tracker, Value
from fittingroom.spec.changes import inline
from fittingroom.spec.errors import FittingroomError, need, without_passwords
from fittingroom.store import Runs
from fittingroom.store.bundles import GRAPH
from fittingroom.store.litter import scratch
from fittingroom.store.runs import safe_name

SCHEMES = ("sqlite", "http", "https", "file", "postgresql", "mysql", "mssql")
NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}  # MLflow asks when it is imported
UNLESS_SET = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",  # it would put the uv.lock of whatever project we are called in into the model
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # of 7, with which a server that only says 503 keeps one for four minutes
    "GIT_PYTHON_REFRESH": "quiet",
}
KNOCK_S = 10.0
IN_ONE_REQUEST = {"params": 100, "metrics": 1000}  # MLflow's limits
LONGEST = 500  # characters of a parameter that every MLflow takes; since 2.8 it takes 6,000
MODEL = "model"
RECIPE = "fittingroom.recipe"
T = TypeVar("T")


def reach(runs: Runs, to: str) -> Tracker:
    """MLflow at the tracking URI `to`; "" is the database `mlflow.db` beside the runs. Raises `FittingroomError`."""
    for module in ("mlflow", "sqlalchemy", "pandas"):
        need(module, "mirroring to MLflow", "mlflow")
    uri = to or f"sqlite:///{(runs.path / 'mlflow.db').resolve()}"
    scheme = urlsplit(uri).scheme.partition("+")[0]
    file = unquote(uri.partition(":///")[2].partition("?")[0])  # of SQLite
    if scheme not in SCHEMES or (scheme == "sqlite" and file in ("", ":memory:")):
        raise FittingroomError(
            f"{without_passwords(uri)} is no tracking URI; give sqlite:///FILE.db, http://HOST:PORT or another of: "
            + ", ".join(f"{s}:" for s in SCHEMES)
        )
    shown, beside = without_passwords(uri), Path(file).parent if scheme == "sqlite" else runs.path
    if scheme == "sqlite" and not beside.is_dir():
        raise FittingroomError(f"there is no folder {beside}; make it, or name another place with --to")
    os.environ.update(NO_TELEMETRY)
    for name, value in UNLESS_SET.items():
        os.environ.setdefault(name, value)
    allow = ""
    if scheme == "file":  # MLflow would rather not any more, but who asks for it means it
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
        allow = "MLFLOW_ALLOW_FILE_STORE=true "
    from mlflow import MlflowClient

    with _explained(shown):
        _knock(uri, scheme)
        client = MlflowClient(tracking_uri=uri)
    artifacts = "" if scheme in ("http", "https", "file") else (beside.resolve() / "mlartifacts").as_uri()
    at = shlex.quote(shown)
    look = f"{allow}mlflow ui --backend-store-uri {at}"
    if find_spec("flask") is None:  # the extra leaves out half of MLflow by size: its pages and what they need
        look += "  # once: pip install mlflow"
    return Tracker(
        to=shown,
        look=f"open {shown}" if scheme in ("http", "https") else look,
        serve=f"{allow}MLFLOW_TRACKING_URI={at} mlflow models serve --env-manager local --model-uri",
        copy=partial(_copy, client, shown, artifacts),
    )


def _knock(uri: str, scheme: str) -> None:
    """Raises whatever comes of one short try, where MLflow would try for minutes."""
    import requests
    import sqlalchemy

    if scheme in ("http", "https"):
        with suppress(requests.exceptions.SSLError):  # somebody is there; MLflow has settings of its own for these
            requests.get(uri, timeout=KNOCK_S)
    elif scheme != "file":
        with sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool).connect() as connection:
            tables = sqlalchemy.inspect(connection).get_table_names()
        if tables and "experiments" not in tables:  # MLflow would add its own to them
            raise FittingroomError(f"{without_passwords(uri)} is the database of something else; name another")


@contextmanager
def _explained(shown: str) -> Iterator[None]:
    """What MLflow, the network, a database or a disk has against it, as one line."""
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except requests.RequestException:
        raise FittingroomError(f"no answer from {shown}; is an MLflow server running there?") from None
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise FittingroomError(without_passwords(f"cannot mirror to {shown}: {first}")) from None


def _copy(client: Any, shown: str, artifacts: str, record: RunRecord) -> Copied:
    """Bring a run's copy up to the run. What is there already is asked for, not remembered."""
    with _explained(shown):
        experiment = _experiment(client, record, artifacts)
        run = _find(client, experiment, record) or _begin(client, experiment, record)
        run_id = run.info.run_id
        there = {(m.key, m.step) for key in run.data.metrics for m in client.get_metric_history(run_id, key)}
        new = [p for p in record.points() if (_key(p), p.epoch) not in there]
        finished = record.metrics is not None
        if new or not there or finished != (run.info.status == "FINISHED"):
            _write(client, run_id, record, new)
        model = _model(client, experiment, run_id, record)
    return Copied(record.folder.name, run_id, len(record.epochs), len(new), finished, model)


def _experiment(client: Any, record: RunRecord, artifacts: str) -> str:
    name = record.data.name
    found = client.get_experiment_by_name(name)
    if found is None:
        place = f"{artifacts}/{safe_name(name)}" if artifacts else None
        return str(client.create_experiment(name, artifact_location=place))
    if found.lifecycle_stage == "deleted":
        raise FittingroomError(
            f'the experiment "{name}" was deleted in MLflow; restore it first: '
            f"mlflow experiments restore --experiment-id {found.experiment_id}"
        )
    return str(found.experiment_id)


def _find(client: Any, experiment: str, record: RunRecord) -> Any:
    """The run's earlier copy, by what it is and when it was started: a run that began anew is another one."""
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in _identity(record).items())
    found = client.search_runs([experiment], wanted)
    return next((run for run in found if run.data.tags.get(RECIPE) == record.recipe.name), None)


def _begin(client: Any, experiment: str, record: RunRecord) -> Any:
    env = record.environment
    tags = {
        RECIPE: record.recipe.name,
        "fittingroom.seed": record.seed,
        "fittingroom.data_digest": record.data.digest,
        "fittingroom.version": env.fittingroom,
        "fittingroom.torch": env.torch,
        "fittingroom.hardware": env.cpu if env.device == "cpu" else env.device_name,
        "fittingroom.status": "running",
        "mlflow.source.name": "fittingroom",
        "mlflow.note.content": record.recipe.description,
    }
    text = {key: str(value) for key, value in tags.items() if value != ""}
    return client.create_run(
        experiment,
        start_time=round(1000 * record.started_s),
        tags=_identity(record) | text,
        run_name=record.folder.name,
    )


def _identity(record: RunRecord) -> dict[str, str]:
    return {"fittingroom.digest": record.digest, "fittingroom.started": record.environment.started}


def _write(client: Any, run_id: str, record: RunRecord, new: Sequence[Point]) -> None:
    """Files first and the status last: what was interrupted is not taken for whole."""
    from mlflow.entities import Metric, Param

    with scratch("fittingroom") as folder:
        for name, draw in record.figures().items():
            (folder / f"{name}.png").write_bytes(draw())
        client.log_artifacts(run_id, str(folder), "figures")
    client.log_artifact(run_id, str(record.folder.path / "recipe.toml"))
    if record.metrics:
        client.log_artifact(run_id, str(record.folder.path / "metrics.json"))
    for params in _parts([Param(*item) for item in _params(record).items()], IN_ONE_REQUEST["params"]):
        client.log_batch(run_id, params=params, synchronous=True)
    values = [Metric(_key(p), p.value, round(1000 * p.time_s), p.epoch) for p in new]
    for metrics in _parts(values, IN_ONE_REQUEST["metrics"]):
        client.log_batch(run_id, metrics=metrics, synchronous=True)
    if record.metrics:
        client.set_tag(run_id, "fittingroom.status", "finished")
        client.set_terminated(run_id, "FINISHED", end_time=round(1000 * record.last_s))


def _key(point: Point) -> str:
    return point.name.replace("/", "_")


def _params(record: RunRecord) -> dict[str, str]:
    """Parameters as MLflow takes them: names without odd characters, values not too long (recipe.toml has them whole)."""

    def cut(value: Value) -> str:
        text = value if isinstance(value, str) else inline(value)
        return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"

    return {re.sub(r"[^\w.\- :]", "_", name)[:250]: cut(value) for name, value in record.params.items()}


def _parts(items: Sequence[T], size: int) -> Iterator[list[T]]:
    yield from (list(items[i : i + size]) for i in range(0, len(items), size))


def _model(client: Any, experiment: str, run_id: str, record: RunRecord) -> str:
    """The URI of the run's bundle as a model, which is uploaded unless it is there; "" if the run was not exported."""
    bundle = record.folder.bundle
    if not record.metrics or not bundle.there:
        return ""
    bundle.graph()  # refuses a damaged one
    tags = {"fittingroom.graph": bundle.facts.sha256[GRAPH]}
    for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        if model.tags.items() >= tags.items() and model.status == "READY":
            return str(model.model_uri)
    from mlflow import pyfunc
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    facts = bundle.facts
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *facts.framing.shape))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, len(facts.classes)))]),
    )
    model = client.create_logged_model(experiment, name=MODEL, source_run_id=run_id, tags=tags)
    about = Model(
        artifact_path=model.artifact_location,
        model_uuid=model.model_id,
        model_id=model.model_id,
        run_id=run_id,
        metadata={"classes": list(facts.classes)},
    )
    with scratch("fittingroom") as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it recommends an example, from which to guess what the signature says
            pyfunc.save_model(
                f"{folder}/{MODEL}",
                loader_module="fittingroom.inference.pyfunc",
                data_path=str(bundle.path),
                mlflow_model=about,
                signature=signature,
                pip_requirements=[f"fittingroom[serve]>={facts.made_with}"],
            )
        client.log_model_artifacts(model.model_id, f"{folder}/{MODEL}")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=record.metrics.selected_epoch)])
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_uri)
