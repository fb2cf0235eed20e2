"""One model on one set of labelled images: the headline figures that a run stores."""

from __future__ import annotations

import numpy as np

from fittingroom.metrics.calibration import calibration_error
from fittingroom.metrics.metric import ACCURACY, LOG_LOSS
from fittingroom.spec.records import Scores


def scores(logits_NK: np.ndarray, labels_N: np.ndarray) -> Scores:
    """All of a split's headline figures."""
    return Scores(
        n=len(labels_N),
        accuracy=ACCURACY.score(logits_NK, labels_N),
        loss=LOG_LOSS.score(logits_NK, labels_N),
        ece=calibration_error(logits_NK, labels_N),
    )
