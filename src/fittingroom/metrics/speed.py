"""How fast trainings are here, and what the machine could do."""

from __future__ import annotations

from fittingroom.spec.records import Record


class Ceiling(Record):
    """What the machine's matrix product does, FLOPs a second, as measured."""

    device: str
    threads: int
    fp32: float
    bf16: float
    tiles: bool = False  # whether bfloat16 has units of its own (AMX, tensor cores)

    def of(self, precision: str) -> float:
        """What a training in `precision` can reach at most.

        Vectors that multiply two bfloat16 numbers where they multiply one float32 do half as many of these, even if the float32
        product that torch brings along does fewer.

        >>> Ceiling(device="cpu", threads=2, fp32=200.0, bf16=900.0).of("fp32")
        450.0
        """
        return self.bf16 if precision == "bf16" else max(self.fp32, 0.0 if self.tiles else self.bf16 / 2)


class Speed(Record):
    """How fast a recipe trains and predicts, and which share of the ceiling that is."""

    recipe: str
    dataset: str
    precision: str
    batch_size: int
    images_per_s: float
    flops_per_s: float  # of the layers that `describe` counts, forward and backward
    ceiling: Ceiling  # the mean of before and after
    share: float  # of the ceiling in its precision
    overhead_s: float  # of a step with two images: what no larger batch makes cheaper
    evaluate_s: float  # of 10,000 images, in float32
    latency_1_s: float
    peak_memory_bytes: int | None
    quiet: bool  # whether nothing else used the machine meanwhile
