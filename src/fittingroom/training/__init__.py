"""The training loop and what it is made of. Knows no disk, no progress bar and no test set."""

from fittingroom.training.device import choose_device, choose_precision, prepare_process
from fittingroom.training.fit import Snapshot, fit
from fittingroom.training.predict import predict

__all__ = ["Snapshot", "choose_device", "choose_precision", "fit", "predict", "prepare_process"]
