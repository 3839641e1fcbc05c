"""The float engine: ONNX Runtime over the exported graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.sessions import RUNTIME_ERRORS, Session, one_line
from nnshell.exporters.onnx import export_bytes
from nnshell.ir.graph import Graph
from nnshell.ir.types import TensorType
from nnshell.support.errors import GraphError, InputError, NNShellError


class FloatEngine:
    """Runs a graph in float32 over batches.

    ``keys`` are the tensors to fetch (``NODE``, ``NODE[1]``, ``FUSION/NODE``), by default the
    graph outputs; ``threads`` are those of one operator, by default one per core. The graph is
    read once, when the engine is made. Raises GraphError when ONNX Runtime refuses the graph.
    """

    def __init__(
        self, graph: Graph, keys: Sequence[str] | None = None, threads: int | None = None
    ) -> None:
        self.inputs: list[tuple[str, TensorType]] = [(n.name, n.type) for n in graph.inputs]
        self.keys = list(keys) if keys is not None else [node.name for node in graph.outputs]
        self._name = graph.name
        try:
            self._session = Session(export_bytes(graph, self.keys), threads=threads)
        except RUNTIME_ERRORS as error:
            raise GraphError(one_line(error), where=f"graph {graph.name} in float") from error

    def run(self, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Arrays by key, batch axis first.

        ``batch`` has one array per graph input, in the model's order, each (samples, *shape).
        Raises InputError when they do not fit.
        """
        return self._run(self._session, batch)

    def _run(self, session: Session, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        feeds = self._feeds(batch)
        try:
            results = session.run(self.keys, feeds)
        except RUNTIME_ERRORS as error:
            raise NNShellError(one_line(error), where=f"graph {self._name} in float") from error
        return dict(zip(self.keys, results, strict=True))

    def _feeds(self, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if len(batch) != len(self.inputs):
            raise InputError(f"the graph has {len(self.inputs)} inputs, {len(batch)} were given")
        if len({len(array) for array in batch if array.ndim}) > 1:
            raise InputError("the inputs have different numbers of samples")
        feeds = {}
        for array, (name, tensor) in zip(batch, self.inputs, strict=True):
            if array.shape[1:] != tensor.shape or not array.ndim:
                value = "x".join(str(n) for n in array.shape)
                raise InputError(f"wants samples of shape {tensor}, not {value}", where=name)
            feeds[name] = np.ascontiguousarray(array, tensor.dtype)
        return feeds
