"""What a graph is quantized from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from nnshell.ir.graph import Graph
from nnshell.quantization.imported import ImportedQuantization, quantize_imported
from nnshell.quantization.learned import Learned
from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.quantize import quantize_graph
from nnshell.quantization.ranges.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Basis:
    """Ranges that calibration saw, the user's options, and values that were learned."""

    statistics: Statistics
    options: QuantizationOptions = field(default_factory=QuantizationOptions)
    learned: Learned = field(default_factory=Learned)
    imported: ImportedQuantization | None = None  # where the statistics are the model file's

    def quantize(self, graph: Graph) -> None:
        """Quantize ``graph``; QuantizationError leaves it as it was."""
        if self.imported is not None:
            quantize_imported(graph, self.imported, self.options, self.learned)
            return
        quantize_graph(graph, self.statistics, self.options, self.learned)

    def with_options(self, options: QuantizationOptions) -> Basis:
        """The same statistics and learned values under other options."""
        return replace(self, options=options)

    def with_learned(self, more: Learned) -> Basis:
        """With the entries of ``more`` over what was learned before."""
        return replace(self, learned=self.learned.updated(more))
