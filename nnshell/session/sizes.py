"""How large a network is: its parameters in float and quantized, as files, and on the chip.

Only what the model file holds counts as a float parameter: zeros added in place of a bias that the
file leaves out are the kernel's, and count as quantized bytes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nnshell.exporters.onnx import export_bytes, to_bytes
from nnshell.exporters.simulated import export_simulated
from nnshell.ir.flat import flatten
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import FLOAT_BITS
from nnshell.session.project import Project
from nnshell.session.simulation import one_inference
from nnshell.support.html import html_table

_FLOAT_BYTES = 4
_MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes. Those of quantized forms are None until the graph is quantized."""

    model: str
    parameters: int  # that the model file holds
    float_bytes: int
    int8_bytes: int | None  # weights at their bits, biases as int32
    file_bytes: int | None  # the model file; None when there is none
    float_file_bytes: int  # exported as float ONNX
    qdq_file_bytes: int | None  # exported with quantized weights
    simulated_file_bytes: int | None  # exported with integers kept in floats
    l2_bytes: int
    l3_bytes: int

    @property
    def ratio(self) -> float | None:
        """Quantized bytes to float bytes."""
        return None if self.int8_bytes is None else self.int8_bytes / max(self.float_bytes, 1)

    def rows(self) -> list[tuple[str, int, float | None]]:
        """(what, bytes, share of the float parameters) of what is known."""
        entries = (
            ("parameters as float32", self.float_bytes),
            ("parameters quantized", self.int8_bytes),
            ("model file", self.file_bytes),
            ("exported, float", self.float_file_bytes),
            ("exported, quantized (qdq)", self.qdq_file_bytes),
            ("exported, integers kept in floats", self.simulated_file_bytes),
            ("chip: L2 at its fullest", self.l2_bytes),
            ("chip: L3, constants and what spills", self.l3_bytes),
        )
        return [(what, n, n / max(self.float_bytes, 1)) for what, n in entries if n is not None]

    def sentences(self) -> tuple[str, ...]:
        """What the numbers say."""
        lines = [
            f"{self.parameters:,} parameters are {self.float_bytes:,} bytes as float32 "
            f"({self.float_bytes / _MEGABYTE:.4f} MB)"
        ]
        if self.int8_bytes is not None and self.ratio is not None:
            lines.append(
                f"quantized they are {100 * self.ratio:.2f} % of that: weights at their bits, "
                "biases as int32"
            )
        if self.simulated_file_bytes is not None:
            lines.append("integers that are kept in floats, as a simulation has them, save nothing")
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        """Parameters and sizes by name; units are part of the names."""
        return {
            "model": self.model,
            "parameters": self.parameters,
            "float_bytes": self.float_bytes,
            "int8_bytes": self.int8_bytes,
            "ratio": self.ratio,
            "file_bytes": self.file_bytes,
            "float_file_bytes": self.float_file_bytes,
            "qdq_file_bytes": self.qdq_file_bytes,
            "simulated_file_bytes": self.simulated_file_bytes,
            "l2_bytes": self.l2_bytes,
            "l3_bytes": self.l3_bytes,
        }

    def _repr_html_(self) -> str:
        return html_table(f"{self.model}: sizes", ("What", "Bytes", "Of float"), self.rows())


def measure_sizes(project: Project) -> Sizes:
    """Sizes of a project's network in every form that it has."""
    graph, report = project.graph, one_inference(project)
    parameters = sum(
        node.type.size
        for node in graph
        if node.op.known_value is not None and node.origin.foreign_name
    )
    source = graph.source.path if graph.source is not None else None
    quantized = graph.quantized
    return Sizes(
        project.name,
        parameters,
        _FLOAT_BYTES * parameters,
        quantized_bytes(graph) if quantized else None,
        source.stat().st_size if source is not None and source.is_file() else None,
        len(export_bytes(graph)),
        len(to_bytes(export_simulated(graph, integers=True))) if quantized else None,
        len(to_bytes(export_simulated(graph))) if quantized else None,
        report.l2_peak_bytes,
        report.l3_bytes,
    )


def quantized_bytes(graph: Graph) -> int:
    """Constants of a quantized graph: packed at their bits, int32 biases with 4 bytes."""
    bits = 0
    flat = flatten(graph)
    for item in flat.items:
        quantization = item.node.quantization
        if item.node.op.known_value is None or quantization is None:
            continue
        record = quantization.output
        width = {"int8": record.bits, "uint8": 8, "int16": 16, "uint16": 16}.get(record.dtype, 32)
        bits += item.node.type.size * (32 if record.bits == FLOAT_BITS else width)
    return -(-bits // 8)
