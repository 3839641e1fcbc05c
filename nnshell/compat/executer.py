"""How programs of NNTool before its ``nntool.api`` ran graphs: ``GraphExecuter`` with a mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nnshell.compat.graph import NNGraph


@dataclass(frozen=True, slots=True)
class QuantizationMode:
    """Whether a graph runs in floats, in integers, or in integers shown as real values."""

    quantize: bool = False
    dequantize: bool = False

    @classmethod
    def none(cls) -> QuantizationMode:
        return cls()

    @classmethod
    def all(cls) -> QuantizationMode:
        return cls(quantize=True)

    @classmethod
    def all_dequantize(cls) -> QuantizationMode:
        return cls(quantize=True, dequantize=True)


class GraphExecuter:
    """Runs a graph on one sample."""

    def __init__(self, graph: NNGraph, qrecs: Any = None) -> None:
        self._graph = graph

    def execute(
        self, in_tensors: Sequence[Any], qmode: QuantizationMode | None = None, **_: Any
    ) -> list[list[Any]]:
        """The outputs of every step, as ``NNGraph.execute``."""
        mode = qmode or QuantizationMode.none()
        outputs: list[list[Any]] = self._graph.execute(
            in_tensors, quantize=mode.quantize, dequantize=mode.dequantize
        )
        return outputs
