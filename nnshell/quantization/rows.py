"""The quantization of a graph as rows: what `qshow` prints and writes as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnshell.ir.facts import POOLS
from nnshell.ir.graph import Graph, Node, all_nodes
from nnshell.ir.qparams import FLOAT_BITS, INT8_BITS, NodeQuantization, QParams
from nnshell.ir.requests import SQ8
from nnshell.numeric.fixed_point import Multiplier, derive_multiplier
from nnshell.numeric.kernels.filters import FilterKernel
from nnshell.numeric.kernels.fixed import FixedFilterKernel
from nnshell.numeric.kernels.recurrent import RecurrentKernel
from nnshell.numeric.kernels.sums import SumKernel
from nnshell.numeric.qmn import fraction_of

_MATRIX = 2  # axes of weights


@dataclass(frozen=True, slots=True)
class Record:
    """Scale and zero point of one tensor; the scale is channel 0's where there are ``channels``.

    The range is that of the whole tensor. ``bits`` is how many of an int8 are used, ``FLOAT_BITS``
    when the tensor stays float in the simulation.
    """

    scale: float
    zero_point: int
    dtype: str
    minimum: float
    maximum: float
    bits: int = INT8_BITS
    channels: int = 1
    fraction_bits: int | None = None  # of a fixed-point record
    width: int = INT8_BITS  # bits of an integer that are used
    forced: bool = False  # a kernel fixes it

    @classmethod
    def of(cls, record: QParams) -> Record:
        """The first channel's scale, and the extremes of all channels."""
        low, high = float(np.min(record.minimum)), float(np.max(record.maximum))
        return cls(
            record.first_scale,
            record.zero_point,
            record.dtype,
            low,
            high,
            record.bits,
            int(record.scale.size),
            record.fraction_bits,
            record.width,
            record.forced,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values by name; bits and channels only where they are not the usual ones."""
        others = {"bits": self.bits} if self.bits != INT8_BITS and self.dtype == "int8" else {}
        others |= {"channels": self.channels} if self.channels > 1 else {}
        if self.fraction_bits is not None:
            others |= {"bits": self.width, "fraction_bits": self.fraction_bits}
        return {
            "scale": self.scale,
            "zero_point": self.zero_point,
            "dtype": self.dtype,
            "min": self.minimum,
            "max": self.maximum,
            **others,
        }

    @property
    def fixed_point(self) -> str:
        """Qm.n with m + n bits, as NNTool prints it; empty for a record with another scale."""
        if self.fraction_bits is None:
            return ""
        return fixed_point_text(self.width, self.fraction_bits) + " forced" * self.forced

    def __str__(self) -> str:
        """NNTool's notation: ``min<(i8-zp)*scale<max``; scales per channel are counted."""
        if self.fixed_point:
            return self.fixed_point
        if self.bits == FLOAT_BITS:
            return "float"
        if self.channels > 1:
            return f"{self.minimum:.3f}<{self._integer}, {self.channels} scales<{self.maximum:.3f}"
        return f"{self.minimum:.3f}<{self._integer}*{self.scale:.8f}<{self.maximum:.3f}"

    def brief(self) -> str:
        """The same with four significant digits."""
        if self.fixed_point:
            return self.fixed_point
        if self.bits == FLOAT_BITS:
            return "float"
        if self.channels > 1:
            return f"{self.minimum:.4g}<{self._integer}, {self.channels} scales<{self.maximum:.4g}"
        return f"{self.minimum:.4g}<{self._integer}*{self.scale:.4g}<{self.maximum:.4g}"

    @property
    def _integer(self) -> str:
        kind = f"i{self.bits}" if self.dtype == "int8" else self.dtype
        kind = kind.replace("uint", "u").replace("int", "i")
        integer = f"({kind}-{self.zero_point})" if self.zero_point else kind
        return integer.replace("--", "+")


def fixed_point_text(width: int, fraction_bits: int) -> str:
    """Qm.n, or M>>n where there are more fraction bits than bits."""
    if fraction_bits > width:
        return f"M{width}>>{fraction_bits}"
    return f"Q{width - fraction_bits}.{fraction_bits}"


@dataclass(frozen=True, slots=True)
class QuantizationRow:
    """One node, constant or inner node of a fusion. Empty tuples and None do not apply."""

    step: int
    inner_step: int | None  # position among the fusion's nodes
    name: str
    op: str
    scheme: str
    inputs: tuple[Record, ...] = ()  # activations
    outputs: tuple[Record, ...] = ()
    weight_scales: tuple[float, ...] = ()
    weight_dtype: str = ""
    weight_bits: int = INT8_BITS
    weight_axis: int | None = None
    bias_scales: tuple[float, ...] = ()
    multiplier: tuple[int, ...] = ()
    shift: tuple[int, ...] = ()
    available_bits: tuple[int, ...] = ()
    scaled_input: int | None = None
    input_multiplier: int | None = None
    input_shift: int | None = None
    fixed_weights: Record | None = None  # of a fixed-point filter: one record for the tensor
    fixed_bias: Record | None = None
    accumulator: Record | None = None

    @property
    def label(self) -> str:
        """The step as tables print it: ``3``, inside fusions ``3_0``."""
        return f"{self.step}" if self.inner_step is None else f"{self.step}_{self.inner_step}"

    def to_json(self) -> dict[str, Any]:
        """The outward form; keys that do not apply are left out."""
        row: dict[str, Any] = {
            "step": self.step,
            "name": self.name,
            "op": self.op,
            "scheme": self.scheme,
            "inputs": [record.to_json() for record in self.inputs],
            "outputs": [record.to_json() for record in self.outputs],
            "multiplier": list(self.multiplier),
            "shift": list(self.shift),
        }
        if self.weight_scales:
            row["weights"] = {
                "scale": list(self.weight_scales),
                "dtype": self.weight_dtype,
                "axis": self.weight_axis,
            }
            if self.weight_bits != INT8_BITS:
                row["weights"]["bits"] = self.weight_bits
        fixed = ("weights", self.fixed_weights), ("bias", self.fixed_bias)
        for name, record in (*fixed, ("accumulator", self.accumulator)):
            if record is not None:
                row[name] = record.to_json()
        if self.scaled_input is not None:
            row["scaled_input"] = self.scaled_input
            row["input_multiplier"] = self.input_multiplier
            row["input_shift"] = self.input_shift
        return {key: value for key, value in row.items() if value != []}


def quantization_rows(graph: Graph) -> list[QuantizationRow]:
    """All nodes in step order, inner nodes after their fusion's number.

    Raises QuantizationError when the graph is not quantized.
    """
    graph.require_quantized()
    return list(_rows(graph))


def _rows(graph: Graph) -> Iterator[QuantizationRow]:
    steps = graph.step_numbers()
    positions: dict[str, int] = {}
    for name, node, holder in all_nodes(graph):
        outer, separator, _ = name.partition("/")
        inner = None
        if separator:
            inner = positions.get(outer, 0)
            positions[outer] = inner + 1
        yield _row(name, node, holder, steps[outer], inner)


def _row(name: str, node: Node, holder: Graph, step: int, inner: int | None) -> QuantizationRow:
    quantization = node.quantization
    assert quantization is not None
    row: dict[str, Any] = {
        "inputs": tuple(
            Record.of(record)
            for index, record in enumerate(quantization.inputs)
            if not _from_constant(node, holder, index)
        ),
        "outputs": tuple(Record.of(record) for record in quantization.outputs),
    }
    kernel = quantization.kernel
    if isinstance(kernel, FilterKernel):
        row |= _weights(quantization.inputs[1]) | {"bias_scales": _floats(quantization.inputs[2])}
    if isinstance(kernel, FixedFilterKernel):
        row |= _fixed_filter(quantization, kernel)
    if isinstance(kernel, SumKernel):
        row |= {
            "scaled_input": kernel.scaled_input,
            "input_multiplier": int(kernel.input_scaling.multiplier[0]),
            "input_shift": int(kernel.input_scaling.shift[0]),
        }
    if isinstance(kernel, RecurrentKernel):
        row |= _recurrent(quantization, kernel)
    scaling = getattr(kernel, "scaling", None)
    if node.op.role in POOLS and quantization.scheme == SQ8:  # always 1: a pool keeps its record
        scaling = derive_multiplier(
            quantization.input.first_scale / quantization.output.first_scale
        )
    if isinstance(scaling, Multiplier) and not _stays_float(quantization):
        row |= _scaling(scaling)
    return QuantizationRow(step, inner, name, _kind(node), quantization.scheme, **row)


def _recurrent(quantization: NodeQuantization, kernel: RecurrentKernel) -> dict[str, Any]:
    """Scales of all matrices and biases, multipliers of all gates, in the order of slots."""
    constants = zip(quantization.inputs, quantization.constants, strict=True)
    stored = [(record, np.ndim(value)) for record, value in constants if value is not None]
    scalings = kernel.scalings.values()
    return {
        "weight_scales": tuple(r.first_scale for r, rank in stored if rank == _MATRIX),
        "weight_dtype": "int8",
        "bias_scales": tuple(r.first_scale for r, _ in stored if r.dtype == "int32"),
        "multiplier": tuple(int(entry.multiplier[0]) for entry in scalings),
        "shift": tuple(int(entry.shift[0]) for entry in scalings),
    }


def _fixed_filter(quantization: NodeQuantization, kernel: FixedFilterKernel) -> dict[str, Any]:
    """Records of weights, bias and sums, and how far results are shifted to the right."""
    shift = fraction_of(kernel.accumulator) - fraction_of(quantization.output)
    return {
        "fixed_weights": Record.of(quantization.inputs[1]),
        "fixed_bias": Record.of(quantization.inputs[2]),
        "accumulator": Record.of(kernel.accumulator),
        "shift": (shift,),
    }


def _stays_float(quantization: NodeQuantization) -> bool:
    """Whether the node computes in float, as a part of it is not quantized in the simulation."""
    return any(
        record.bits == FLOAT_BITS for record in (*quantization.inputs, *quantization.outputs)
    )


def _kind(node: Node) -> str:
    """The operator as topology names it; a fusion by what it fuses."""
    return str(getattr(node.op, "name", "")) or node.kind


def _from_constant(node: Node, holder: Graph, index: int) -> bool:
    """Whether an input is a constant; inside a fusion, one of the operator's parameters."""
    if holder.producer(node, index).op.role == "constant":
        return True
    return (
        index in node.op.parameters
        and node.quantization is not None
        and (bool(node.quantization.constants) and node.quantization.constants[index] is not None)
    )


def _weights(record: QParams) -> dict[str, Any]:
    return {
        "weight_scales": _floats(record),
        "weight_dtype": record.dtype,
        "weight_bits": record.bits,
        "weight_axis": record.axis,
    }


def _floats(record: QParams) -> tuple[float, ...]:
    return tuple(float(scale) for scale in np.ravel(record.scale))


def _scaling(scaling: Multiplier) -> dict[str, Any]:
    return {
        "multiplier": tuple(int(n) for n in scaling.multiplier),
        "shift": tuple(int(n) for n in scaling.shift),
        "available_bits": tuple(int(n) for n in scaling.available_bits),
    }
