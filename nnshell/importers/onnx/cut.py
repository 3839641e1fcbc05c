"""Where an ONNX network ends: other outputs than the file's, before anything else is made of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import onnx

from nnshell.importers.cutting import FileNode, chosen_outputs, without_application
from nnshell.importers.onnx.file import OnnxFile, live_nodes, node_inputs, replace_entries
from nnshell.reading.registry import IMPORTS, sanitized

_LOG = logging.getLogger(__name__)

CHOOSING = frozenset({"ArgMax", "ArgMin", "NonMaxSuppression", "TopK"})
LAYERS = frozenset(
    {
        "AveragePool",
        "Conv",
        "ConvTranspose",
        "GRU",
        "Gemm",
        "LSTM",
        "MatMul",
        "MaxPool",
        "QLinearConv",
        "QLinearMatMul",
        "RNN",
    }
)


def cut_off(file: OnnxFile, names: Sequence[str] | None) -> None:
    """Make ``names`` the outputs of the model; None leaves out what chooses at its end.

    Raises ModelError for a name that the model does not have.
    """
    graph = file.model.graph
    nodes = [_file_node(node) for node in graph.node]
    outputs = [output.name for output in graph.output]
    if names is not None:
        _end_at(graph, chosen_outputs(names, nodes, outputs, file.path.name))
        return
    inputs = [value.name for value in graph.input]
    choosing = CHOOSING - IMPORTS.keys()
    cut = without_application(nodes, inputs, outputs, choosing, LAYERS)
    if cut is not None:
        _LOG.warning("%s", cut.note(file.path.name))
        _end_at(graph, cut.outputs)


def _file_node(node: onnx.NodeProto) -> FileNode:
    outputs = tuple(node.output)
    unnamed = f"{node.op_type}_{sanitized(outputs[0])}" if outputs else ""
    names = (node.name, sanitized(node.name)) if node.name else (unnamed,)
    inputs = tuple(dict.fromkeys((*filter(None, node.input), *sorted(node_inputs(node)))))
    return FileNode(node.op_type, names, inputs, outputs)


def _end_at(graph: onnx.GraphProto, outputs: Sequence[str]) -> None:
    known = {value.name: value for value in (*graph.value_info, *graph.output)}
    values = []
    for name in outputs:
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        values.append(known.get(name, value))
    replace_entries(graph.output, values)
    replace_entries(graph.node, live_nodes(list(graph.node), outputs))
