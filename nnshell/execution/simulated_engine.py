"""The simulated engine: any number of bits, at the speed of the float graph.

ONNX Runtime runs the graph with a quantize-dequantize pair after every tensor; its own rewriting
of such pairs into integer operators is off, as those round differently and are slower here.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.chunks import samples_per_chunk
from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.sessions import RUNTIME_ERRORS, Session, one_line
from nnshell.exporters.onnx import to_bytes
from nnshell.exporters.simulated import export_simulated, is_rounded
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import QParams
from nnshell.support.cores import usable_cores
from nnshell.support.errors import GraphError


class SimulatedEngine(FloatEngine):
    """Runs a quantized graph in rounded floats; keys, batches and errors are as in FloatEngine.

    Raises QuantizationError when the graph is not quantized.
    """

    def __init__(
        self, graph: Graph, keys: Sequence[str] | None = None, threads: int | None = None
    ) -> None:
        self.inputs = [(node.name, node.type) for node in graph.inputs]
        self.keys = list(keys) if keys is not None else [node.name for node in graph.outputs]
        self._name = graph.name
        self._chunk = samples_per_chunk(graph)
        self._threads = threads if threads is not None else usable_cores()
        self._read = _rounded_inputs(graph, self.keys)
        self._model = to_bytes(export_simulated(graph, self.keys))
        self._session = self._open(1)  # rounding is too little work to share

    @cached_property
    def _all_cores(self) -> Session:
        """For one sample alone."""
        return self._session if self._threads == 1 else self._open(self._threads)

    @cached_property
    def _cores(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads)

    def run(self, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """As in FloatEngine; each core takes samples of its own, so many as keep its cache warm."""
        samples = len(batch[0]) if batch else 0
        if samples <= 1:
            return self._run(self._all_cores, batch)
        rounds = -(-samples // (self._chunk * self._threads))  # all cores take as many parts
        size = -(-samples // (rounds * self._threads))
        parts = [[a[i : i + size] for a in batch] for i in range(0, samples, size)]
        each = map if self._threads == 1 else self._cores.map
        done = list(each(super().run, parts))
        return {key: np.concatenate([part[key] for part in done]) for key in self.keys}

    def _run(self, session: Session, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """As in FloatEngine; the file's inputs are as they were given, their readers' are not."""
        results = super()._run(session, batch)
        for key, record in self._read.items():
            results[key] = record.dequantize(record.quantize(results[key]))
        return results

    def _open(self, threads: int) -> Session:
        try:
            return Session(self._model, threads=threads, entries={"session.disable_quant_qdq": "1"})
        except RUNTIME_ERRORS as error:
            raise GraphError(one_line(error), where=f"graph {self._name} simulated") from error


def _rounded_inputs(graph: Graph, keys: Sequence[str]) -> dict[str, QParams]:
    """Records of the graph inputs among the keys, as far as the simulation rounds them."""
    quantizations = {node.name: node.quantization for node in graph.inputs if node.name in keys}
    records = {name: each.output for name, each in quantizations.items() if each is not None}
    return {name: record for name, record in records.items() if is_rounded(record)}
