"""One-way copies of runs in other trackers. A copy is only added to: what the run has and the copy has not. No torch."""

from fittingroom.export.mirrors import mlflow, tensorboard
from fittingroom.export.mirrors.record import Copied, RunRecord, read

__all__ = ["TRACKERS", "Copied", "RunRecord", "read"]

TRACKERS = {"mlflow": mlflow.reach, "tensorboard": tensorboard.reach}  # each (runs, to) → Tracker
