"""The ONNX importer: from a file to a graph without batch axis and without shape arithmetic.

    read, check, convert to a known opset
    fix all extents of the graph inputs
    node by node: constants are evaluated, everything else goes to its import function
    connect the outputs, drop what leads to none, verify

Every node that cannot be imported is collected, and all are reported at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nnshell.importers.model_file import imported_by
from nnshell.importers.onnx.cut import cut_off
from nnshell.importers.onnx.file import converted, read_onnx
from nnshell.importers.onnx.fold import FOLDABLE
from nnshell.importers.onnx.native import Native
from nnshell.importers.onnx.nodes import Importer
from nnshell.importers.onnx.refusals import refuse_unreadable
from nnshell.importers.onnx.shapes import known_shapes, set_input_shapes
from nnshell.ir.basic_operators import Input, Reshape
from nnshell.ir.graph import Graph, Node
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.verify import verify
from nnshell.ops.transpose import Transpose
from nnshell.reading.context import Options
from nnshell.reading.registry import IMPORTS, Imported

# the operators that become nodes, and those that are evaluated on constants, by ONNX name
__all__ = ["FOLDABLE", "IMPORTS", "import_onnx"]

_TO_CHW = (2, 0, 1)


def import_onnx(
    path: Path | str,
    *,
    fold_batchnorm: bool = True,
    subs: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    outputs: Sequence[str] | None = None,
) -> Imported:
    """Read an ONNX model of opset 7 or newer.

    ``subs`` gives the extents that the file leaves open by their names; ``input_shapes`` gives
    whole shapes, batch axis included, by the name of the input; ``outputs`` are the
    tensors or nodes that the graph ends at, by default the file's outputs, without a last step
    that only chooses (ArgMax, TopK, NonMaxSuppression). Raises ModelError for a file that
    is missing, damaged or not supported; the message then lists every node at fault.
    """
    with Native() as native:
        return _imported(
            Path(path),
            native,
            Options(fold_batchnorm),
            subs or {},
            input_shapes or {},
            outputs,
        )


def _imported(
    path: Path,
    native: Native,
    options: Options,
    subs: Mapping[str, int],
    input_shapes: Mapping[str, Sequence[int]],
    outputs: Sequence[str] | None,
) -> Imported:
    file = read_onnx(path, native)
    cut_off(file, outputs)
    refuse_unreadable(file)
    model = converted(file, native)
    shapes = known_shapes(model, file.path.name, subs, input_shapes)
    set_input_shapes(model, shapes)

    def importer(batched: bool) -> Importer:
        return Importer(file, model, shapes, options, native, batched=batched)

    return _finished(imported_by(importer, file.path.name))


def _see_channels_last(graph: Graph, node: Node) -> None:
    """Exporters write the transpose of one channel to the front as a reshape, which it is."""
    shape = node.type.shape
    if len(shape) != 3 or shape[2] != 1 or shape[0] == 1:
        return
    for reader, _ in graph.consumers(node.name):
        if isinstance(reader.op, Reshape) and reader.type.shape == (1, *shape[:2]):
            reader.op = Transpose(_TO_CHW)
            reader.outputs = reader.op.infer((node.type,))


def _finished(imported: Imported) -> Imported:
    graph = imported.graph
    graph.prune()
    for node in graph.inputs:
        _see_channels_last(graph, node)
        consumers = graph.consumers(node.name)
        to_chw = [isinstance(n.op, Transpose) and n.op.perm == _TO_CHW for n, _ in consumers]
        if isinstance(node.op, Input) and to_chw and all(to_chw):
            value = TensorType(node.type.shape, Layout.HWC, node.type.dtype)
            node.op = Input(value, node.op.index)
    graph.infer_types()
    verify(graph)
    return imported
