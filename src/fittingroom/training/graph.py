"""A training step as a CUDA graph: launched as a whole, where Python would launch its few hundred kernels one by one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# calls that are made kernel by kernel: the optimizer's state and the libraries' plans come to be in them
WARM_UP = 3


class Graphed:
    """`step(*inputs)`, recorded once and replayed from then on: the same kernels in the same order, so the same bytes.

    `step` works on tensors of the GPU alone, asks none of them for its value, and leaves what it did in memory that it finds
    again at the next call. Its randomness comes from `generator` and torch's own, which may be seeded anew between calls. Calls
    with inputs of other shapes than the first one's (the last batch of an epoch) are made kernel by kernel.
    """

    def __init__(self, step: Callable[..., None], generator: torch.Generator) -> None:
        self.step, self.generator = step, generator
        self.stream = torch.cuda.Stream()
        self.calls = 0
        self.shapes: list[torch.Size] = []
        self.inputs: list[Tensor] = []
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: Tensor) -> None:
        shapes = [given.shape for given in inputs]
        self.shapes = self.shapes or shapes
        usual = shapes == self.shapes
        if usual and self.graph is None and self.calls >= WARM_UP:
            self.graph = self._record(inputs)
        # one stream for both ways: a library that plans by its stream's memory plans the same
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            if usual and self.graph is not None:
                torch._foreach_copy_(self.inputs, list(inputs))
                self.graph.replay()
            else:
                self.step(*inputs)
        torch.cuda.current_stream().wait_stream(self.stream)
        self.calls += 1

    def _record(self, inputs: tuple[Tensor, ...]) -> torch.cuda.CUDAGraph:
        self.inputs = [given.clone() for given in inputs]
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph, stream=self.stream):
            self.step(*self.inputs)
        return graph
