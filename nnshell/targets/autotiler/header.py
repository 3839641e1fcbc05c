"""model.h: scale and zero point of every tensor that leaves a node, as macros."""

from __future__ import annotations

from nnshell.ir.graph import Graph, Node
from nnshell.ir.qparams import QParams
from nnshell.targets.autotiler import names
from nnshell.targets.autotiler.fixed_scale import mantissa_and_shift
from nnshell.targets.autotiler.unit import hidden, slot_of, unit_of

_EXPLANATION = """\
/* Quantized scales of {name}. A tensor's real values are
 *     OUT_SCALE * (q - OUT_ZERO_POINT)
 * and, without floating point, close to
 *     ((q - OUT_ZERO_POINT) * OUT_QSCALE) >> OUT_QNORM
 * or, where there is only Q, q / 2^Q.
 * Weights and biases have a scale per output channel; theirs is that of channel 0.
 */
"""


def write_header(graph: Graph, name: str, *, anonymise: bool = False) -> str:
    """The text of model.h; ``name`` is the graph's C name, which all macros begin with."""
    guard = f"{name.upper()}_GRAPHINFO_H"
    blocks = [
        _block(f"{name}_{_label(graph, node, step, anonymise)}", node, step)
        for step, node in enumerate(graph.steps())
        if not hidden(graph, node)
    ]
    lines = [f"#ifndef {guard}", f"#define {guard}", _EXPLANATION.format(name=name)]
    return "\n".join((*lines, *blocks, f"#endif /* {guard} */")) + "\n"


def _label(graph: Graph, node: Node, step: int, anonymise: bool) -> str:
    """The node's name in its macros."""
    if node.op.boundary:
        return names.cap(names.identifier(node.name))
    slot = slot_of(graph, node) if node.op.role == "constant" else ""
    return f"S{step}_{slot}" if slot else unit_of(graph, node, step).label(anonymise)


def _block(prefix: str, node: Node, step: int) -> str:
    assert node.quantization is not None, f"{node.name} is not quantized"
    return "\n".join(
        (f"/* {step} {names.identifier_part(node.name)} */", *_lines(prefix, _shown(node)), "")
    )


def _shown(node: Node) -> QParams:
    assert node.quantization is not None
    records = node.quantization.outputs or node.quantization.inputs
    return records[0]


def _lines(prefix: str, record: QParams) -> tuple[str, ...]:
    if record.fraction_bits is not None:
        return (f"#define {prefix}_Q\t{record.fraction_bits}",)
    mantissa, shift = mantissa_and_shift(record.first_scale)
    return (
        f"#define {prefix}_OUT_SCALE\t{record.first_scale!r}",
        f"#define {prefix}_OUT_QSCALE\t{mantissa}",
        f"#define {prefix}_OUT_QNORM\t{shift}",
        f"#define {prefix}_OUT_ZERO_POINT\t{record.zero_point}",
    )
