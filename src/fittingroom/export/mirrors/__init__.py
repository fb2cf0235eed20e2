"""One-way copies of runs in other trackers. A copy is only added to: what the run has and the copy has not. No torch."""

from fittingroom.export.mirrors import mlflow, tensorboard
from fittingroom.export.mirrors.told import Copied, Told, read

__all__ = ["TRACKERS", "Copied", "Told", "read"]

TRACKERS = {"mlflow": mlflow.reach, "tensorboard": tensorboard.reach}  # each (runs, to) → Tracker
