"""What a search found, and what of it was luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fittingroom.metrics.metric import METRICS, Metric
from fittingroom.metrics.verdict import Comparison
from fittingroom.spec.records import TrialFacts
from fittingroom.spec.space import Dimension


@dataclass(frozen=True)
class Searched:
    """All that is known of a search that has ended. `fresh` are the winner's validation scores with seeds of their own."""

    name: str
    recipe: str
    dataset: str
    objectives: tuple[str, ...]
    trials: Sequence[TrialFacts]
    best: TrialFacts
    front: set[int]  # of several objectives, the trials that none beats in all
    importance: Mapping[str, float]
    dimensions: Mapping[str, Dimension]
    comparison: Comparison
    fresh: Sequence[float]

    @property
    def metric(self) -> Metric:
        return METRICS[self.objectives[0]]

    @property
    def ranked(self) -> list[TrialFacts]:
        """The completed trials, the best first."""
        sign = -1 if self.metric.larger_is_better else 1
        done = [trial for trial in self.trials if trial.state == "complete"]
        return sorted(done, key=lambda trial: (sign * trial.values[0], trial.number))

    def sentences(self) -> list[str]:
        """What happened, what the best trial promised, and what became of the promise."""
        by, states = self.metric, [trial.state for trial in self.trials]
        n = {state: states.count(state) for state in ("complete", "pruned", "failed")}
        tried = f"{len(states)} trial{'s' * (len(states) != 1)} of {self.recipe} on {self.dataset}: {n['complete']} completed"
        tried += "".join(f", {n[state]} {state}" for state in ("pruned", "failed") if n[state])
        promised, mean = self.best.values[0], float(np.mean(self.fresh))
        spread = f" ± {by.show(float(np.std(self.fresh, ddof=1)))}" if len(self.fresh) > 1 else ""
        luck = (promised - mean) * (1 if by.larger_is_better else -1)
        amount = f"{by.scale * luck:.{by.digits}f}"
        steps = f" {by.steps}" if by.steps else ""
        kept = (
            f"{amount}{steps} of it were the luck of being picked"
            if float(amount) > 0
            else "so its score was no luck of being picked"
        )
        return [
            f"{tried}.",
            f"Trial {self.best.number} was best on validation with {by.show(promised)}{by.unit}; trained again with "
            f"{len(self.fresh)} fresh seed{'s' * (len(self.fresh) > 1)} it has {by.show(mean)}{spread}{by.unit} there: {kept}.",
            *self.comparison.sentences,
        ]

    def json(self) -> dict[str, Any]:
        return {
            "search": self.name,
            "objectives": self.objectives,
            "trials": [trial.model_dump(mode="json") for trial in self.trials],
            "best": self.best.model_dump(mode="json"),
            "front": sorted(self.front),
            "importance": dict(self.importance),
            "fresh_validation": list(self.fresh),
            "comparison": self.comparison.model_dump(mode="json"),
        }


def shown(value: Any) -> str:
    """A parameter's value in a table.

    >>> shown(0.00123456), shown({"dense": 64})
    ('0.001235', 'dense 64')
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(shown(v) if isinstance(v, list) else f"{k} {shown(v)}" for k, v in value.items())
    if isinstance(value, list):
        return " + ".join(map(shown, value))
    return str(value)
