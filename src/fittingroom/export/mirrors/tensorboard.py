"""Runs in TensorBoard: a folder for each run, and in it an event file for each time that something new was mirrored."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from fittingroom.export.mirrors.record import Copied, RunRecord, Tracker
from fittingroom.spec.errors import FittingroomError, need
from fittingroom.store import Runs
from fittingroom.store.atomic import write
from fittingroom.store.runs import recipe_toml

Event = tuple[str, int, float, Callable[[], dict[str, Any]]]  # tag, epoch, Unix time (s), and what makes the rest
OURS = "events.out.tfevents.*.fittingroom.*"


def reach(runs: Runs, to: str) -> Tracker:
    """TensorBoard's files in the folder `to`; "" is `tensorboard` beside the runs. Raises `FittingroomError`."""
    need("tensorboard", "mirroring to TensorBoard", "tensorboard")
    if "://" in to:
        raise FittingroomError(f"TensorBoard reads files; give --to a folder instead of {to}")
    folder = Path(to) if to else runs.path / "tensorboard"
    return Tracker(str(folder), f"tensorboard --logdir {shlex.quote(str(folder))}", partial(_copy, folder))


def _copy(logs: Path, record: RunRecord) -> Copied:
    """Add what is new as one more file: a TensorBoard that is looking on finds it, where it would miss a changed one.

    The files of a run that has begun anew are replaced.
    """
    folder = logs / record.folder.name
    there = sorted(folder.glob("[!.]*"))
    if not all(file.match(OURS) for file in there):
        raise FittingroomError(f"{folder} is there and holds other things; name another folder with --to")
    begun = f"events.out.tfevents.{record.started_s:010.0f}.fittingroom.{record.digest[:10]}"
    ours = [file for file in there if file.name.startswith(begun)]
    known = {key for file in ours for key in _keys(file)}
    new = [event for event in _events(record) if event[:2] not in known]
    if new:
        write(folder / f"{begun}.{len(ours):04}", _encoded(new))
    for file in set(there) - set(ours):
        file.unlink()
    points = {(point.name, point.epoch) for point in record.points()}
    added = sum(event[:2] in points for event in new)
    return Copied(record.folder.name, str(folder), len(record.epochs), added, record.metrics is not None)


def _keys(file: Path) -> Iterator[tuple[str, int]]:
    """Tag and epoch of all that is in an event file."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for event in EventFileLoader(str(file)).Load():
        yield from ((value.tag, event.step) for value in event.summary.value)


def _events(record: RunRecord) -> Iterator[Event]:
    """All that a run's event files hold in the end."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    def image(draw: Callable[[], bytes]) -> dict[str, Any]:
        png = draw()
        with Image.open(io.BytesIO(png)) as picture:
            width, height = picture.size
        return {"image": Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)}

    def hparams(content: Any) -> dict[str, Any]:
        return {"metadata": metadata.create_summary_metadata(content), "tensor": metadata.NULL_TENSOR}

    begin = hparams_pb(record.params, trial_id=record.folder.name, start_time_secs=record.started_s).value[0]
    yield begin.tag, 0, record.started_s, lambda: {"metadata": begin.metadata, "tensor": begin.tensor}
    text = f"{record.recipe.description}\n\n```toml\n{recipe_toml(record.recipe)}```"
    words = {"metadata": create_summary_metadata("recipe", ""), "tensor": make_tensor_proto([text.encode()])}
    yield "recipe", 0, record.started_s, lambda: words
    for point in record.points():
        yield point.name, point.epoch, point.time_s, partial(dict, simple_value=point.value)
    for name, draw in record.figures().items():
        epoch = 0 if name == "structure" else len(record.epochs)
        yield f"figures/{name}", epoch, record.last_s, partial(image, draw)
    if record.metrics:
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=record.last_s)
        content = plugin_data_pb2.HParamsPluginData(session_end_info=end)
        yield metadata.SESSION_END_INFO_TAG, 0, record.last_s, lambda: hparams(content)


def _encoded(events: Iterable[Event]) -> bytes:
    """An event file's content, without the name of this machine that TensorBoard's own writer gives to files."""
    from tensorboard.compat.proto.event_pb2 import Event as Proto
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    file = io.BytesIO()
    records = RecordWriter(file)
    records.write(Proto(file_version="brain.Event:2").SerializeToString())
    for tag, epoch, time_s, make in events:
        summary = Summary(value=[Summary.Value(tag=tag, **make())])
        records.write(Proto(wall_time=time_s, step=epoch, summary=summary).SerializeToString())
    return file.getvalue()
