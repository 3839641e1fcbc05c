"""The fastest engine that gives the integers of the reference, whichever that is here.

Compiled kernels run where they lie in the cache. Where they do not, the lowered graph runs, and
once that has taken a while they are compiled beside it, for the rest of the run and for later.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from nnshell.execution.integer_engine import IntegerEngine
from nnshell.execution.native_compiler import compile_beside, compiler, is_compiled, variant
from nnshell.ir.graph import Graph
from nnshell.support.errors import NNShellError

_LOG = logging.getLogger(__name__)
_WORTH_COMPILING_SECONDS = 1.0  # about half of what compiling takes


class ExactEngine:
    """Runs a quantized graph over batches; ``implementation`` says which engine does it.

    ``keys`` and ``target`` are as in ``IntegerEngine``. Raises QuantizationError when the graph is
    not quantized, InputError for a key that does not exist.
    """

    def __init__(
        self, graph: Graph, keys: Sequence[str] | None = None, target: str = "simulation"
    ) -> None:
        reference = IntegerEngine(graph, target)
        self.keys = list(keys) if keys is not None else list(reference.outputs)
        for key in self.keys:
            reference.record(key)
        self._graph = graph.copy()  # as it is now
        self._target = target
        self._seconds = 0.0
        self._compiling = False
        self._engine: Any = self._native() or self._lowered()

    @property
    def implementation(self) -> str:
        """ "native", "lowered" or "reference"."""
        return self._name

    def run(self, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Integers by key, samples first. ``batch`` is as in ``IntegerEngine.run``."""
        if self._compiling:
            self._engine = self._native() or self._engine
        start = perf_counter()
        results: dict[str, NDArray[Any]] = self._engine.run(batch)
        self._seconds += perf_counter() - start
        if not self._compiling and self._may_be_faster():
            self._compiling = True
            compile_beside(variant())
        return results

    def _may_be_faster(self) -> bool:
        slow = self._name != "native" and self._seconds > _WORTH_COMPILING_SECONDS
        return slow and variant().fast and bool(compiler()) and not is_compiled(variant())

    def _native(self) -> Any:
        """The native engine, where its kernels are compiled and have a fast form."""
        if not (variant().fast and is_compiled(variant())):
            return None
        from nnshell.execution.native_engine import NativeEngine

        self._compiling = False
        try:
            engine = NativeEngine(self._graph, self.keys, self._target)
        except NNShellError as error:
            _LOG.debug("%s does not run natively: %s", self._graph.name, error)
            self._seconds = float("-inf")  # and never will
            return None
        self._name = "native"
        return engine

    def _lowered(self) -> Any:
        from nnshell.execution.fast_engine import FastEngine

        engine = FastEngine(self._graph, self.keys, self._target)
        self._name = "reference" if engine.fallback_reason else "lowered"
        return engine
