"""The float engine for calibration: runs batches and gives a few numbers for each tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.sessions import RUNTIME_ERRORS, Session
from nnshell.exporters.reductions import export_reductions, reduction_name
from nnshell.ir.graph import Graph
from nnshell.support.errors import GraphError


class ReductionEngine(FloatEngine):
    """Runs a graph in float32 and reduces the tensors in ``wanted`` inside ONNX Runtime.

    ``wanted`` has the names of reductions (``nnshell.exporters.reductions``) by tensor key.
    """

    def __init__(
        self, graph: Graph, wanted: Mapping[str, Sequence[str]], threads: int | None = None
    ) -> None:
        self._wanted = {key: tuple(names) for key, names in wanted.items()}
        self.inputs = [(node.name, node.type) for node in graph.inputs]
        self.keys = [reduction_name(key, name) for key in wanted for name in wanted[key]]
        self._name = graph.name
        try:
            self._session = Session(export_reductions(graph, wanted), threads=threads)
        except RUNTIME_ERRORS as error:
            reason = " ".join(str(error).split())
            where = f"graph {graph.name} in float"
            raise GraphError(f"ONNX Runtime: {reason}", where=where) from error

    def reduce(self, batch: Sequence[NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
        """Reductions by tensor key and name."""
        outputs = self.run(batch)
        return {
            key: {name: outputs[reduction_name(key, name)] for name in names}
            for key, names in self._wanted.items()
        }
