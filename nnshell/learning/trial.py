"""A quantized copy of a graph that takes over what is learned, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

from nnshell.execution.engines import EngineName, make_engine
from nnshell.inputs.input_set import Batch
from nnshell.ir.flat import FlatGraph, Item, Tensor, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import FLOAT_BITS
from nnshell.learning.blocks import is_filter
from nnshell.quantization import Basis, Learned
from nnshell.support.errors import InputError

Runner: TypeAlias = Callable[[Sequence[NDArray[Any]]], list[NDArray[Any]]]


class Trial:
    """The graph, samples, and what was learned so far; the graph itself stays as it is.

    ``batches`` are None where nothing is run.
    """

    def __init__(self, graph: Graph, basis: Basis, batches: Sequence[Batch] | None) -> None:
        graph.require_quantized()
        if batches is not None and not batches:
            raise InputError("there are no samples to learn from", hint="check the file pattern")
        self.graph, self.batches = graph, batches or ()
        self.before = basis  # what the graph was quantized from
        self.found = Learned()
        self._twin = graph.copy()

    @property
    def flat(self) -> FlatGraph:
        """Of the graph quantized with what was learned so far."""
        return flatten(self._twin)

    @property
    def basis(self) -> Basis:
        """What the graph is to be quantized from, with what was learned so far."""
        return self.before.with_learned(self.found)

    def learn(self, found: Learned) -> None:
        """Quantize the copy with ``found`` on top of what was learned so far."""
        self.found = self.found.updated(found)
        self.basis.quantize(self._twin)

    def tensors(
        self, name: EngineName, tensors: Sequence[Tensor], samples: int | None = None
    ) -> dict[Tensor, list[NDArray[Any]]]:
        """Values by tensor, an array for each batch: of the float graph, or of the simulation.

        ``samples`` are how many suffice; by default all.
        """
        run = self.runner(name, tensors)
        results = [run(batch.arrays) for batch in self._first(samples)]
        return {t: [result[place] for result in results] for place, t in enumerate(tensors)}

    def runner(self, name: EngineName, tensors: Sequence[Tensor]) -> Runner:
        """What computes tensors from one array for each graph input."""
        keys = [tensor.key for tensor in tensors]
        engine = make_engine(self._twin, name, keys=list(dict.fromkeys(keys)))

        def run(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
            outputs = engine.run(arrays)
            return [outputs[key] for key in keys]

        return run

    def _first(self, samples: int | None) -> Iterator[Batch]:
        count = 0
        for batch in self.batches:
            if samples is None or count < samples:
                count += len(batch)
                yield batch

    def filters(self) -> list[Item]:
        """Filters with integer weights, in order."""
        return [item for item in self.flat.items if is_filter(item) and _integral(item)]


def _integral(item: Item) -> bool:
    quantization = item.node.quantization
    return quantization is not None and quantization.inputs[1].bits != FLOAT_BITS
