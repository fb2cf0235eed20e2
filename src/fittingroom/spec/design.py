"""How scored images hang together: which belong to one group, which were scored by one model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Design:
    """What N scored images share. None: each is alone; all were scored by the same models.

    >>> Design(groups_N=np.array([0, 0, 1])).of(np.array([0, 1])).groups
    1
    """

    groups_N: np.ndarray | None = None  # numbers of what belongs together: a patient's, a video's pictures
    folds_N: np.ndarray | None = None  # of a cross-validation: the part with which each image was held out
    repeats_RN: np.ndarray | None = (
        None  # where the parts were drawn anew for each of R seeds: those of all, in their order
    )

    def of(self, rows: np.ndarray) -> Design:
        """That of these rows alone."""
        known = self.groups_N, self.folds_N, self.repeats_RN
        return Design(*(None if number is None else number[..., rows] for number in known))

    def parts(self, seeds: int) -> np.ndarray | None:
        """The parts (R,N) with which images were held out that so many seeds scored: one row where all had the same parts."""
        repeats = 0 if self.repeats_RN is None else len(self.repeats_RN)
        if self.repeats_RN is not None and (seeds == repeats or 1 < seeds < repeats):
            return self.repeats_RN[:seeds]  # of one by itself: its own, below
        return None if self.folds_N is None else self.folds_N[None]

    @property
    def groups(self) -> int:
        """How many groups there are; 0 where each image is alone."""
        return 0 if self.groups_N is None else len(np.unique(self.groups_N))

    @property
    def folds(self) -> int:
        """How many parts there are; 0 without a cross-validation."""
        return 0 if self.folds_N is None else len(np.unique(self.folds_N))


ALONE = Design()
