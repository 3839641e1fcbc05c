"""Which integers the chip has kernels for: 8 bits. All others are for the simulated engine."""

from __future__ import annotations

from nnshell.ir.graph import Graph, all_nodes
from nnshell.ir.qparams import FLOAT_BITS, INT8_BITS
from nnshell.ir.requests import SQ8
from nnshell.support.errors import QuantizationError


def has_chip_widths(graph: Graph) -> bool:
    """Whether all integers of the graph have 8 bits, as the chip's kernels do."""
    return all(
        record.bits == INT8_BITS
        for _, node, _ in all_nodes(graph)
        if node.quantization is not None
        for record in (*node.quantization.inputs, *node.quantization.outputs)
    )


def check_chip_widths(graph: Graph) -> None:
    """Raises QuantizationError for the first node whose integers the chip does not have."""
    for key, node, _ in all_nodes(graph):
        quantization = node.quantization
        if quantization is None:
            continue
        for record in (*quantization.inputs, *quantization.outputs):
            if record.bits != INT8_BITS:
                what = "floats" if record.bits == FLOAT_BITS else f"{record.bits}-bit integers"
                raise QuantizationError(
                    f"works on {what}, and the chip's kernels have 8 bits",
                    where=f"node {key}",
                    hint="use --engine simulated, or quantize with 8 bits",
                )


def check_sq8(graph: Graph, what: str) -> None:
    """Raises QuantizationError for a node in another scheme: ``what`` knows SQ8 alone."""
    for key, node, _ in all_nodes(graph):
        quantization = node.quantization
        if quantization is not None and quantization.scheme != SQ8:
            raise QuantizationError(
                f"{what} is for SQ8, and it is quantized in {quantization.scheme}",
                where=f"node {key}",
                hint="aquant -s SQ8, or qtune --step STEP scheme=SQ8",
            )
