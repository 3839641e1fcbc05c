"""Where a TFLite network ends: other outputs than the file's, before anything is made of it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace

from nnshell.importers.cutting import FileNode, chosen_outputs, without_application
from nnshell.importers.tflite.file import OperatorEntry, TfliteFile
from nnshell.importers.tflite.names import operator_name, tensor_keys

_LOG = logging.getLogger(__name__)

CHOOSING = frozenset(
    {
        "ARG_MAX",
        "ARG_MIN",
        "CUSTOM TFLite_Detection_PostProcess",
        "NON_MAX_SUPPRESSION_V4",
        "NON_MAX_SUPPRESSION_V5",
        "TOPK_V2",
    }
)
LAYERS = frozenset(
    {
        "AVERAGE_POOL_2D",
        "BATCH_MATMUL",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "MAX_POOL_2D",
        "TRANSPOSE_CONV",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "UNIDIRECTIONAL_SEQUENCE_RNN",
    }
)


def cut_off(file: TfliteFile, names: Sequence[str] | None, imported: Collection[str]) -> TfliteFile:
    """The file with ``names`` as outputs; None leaves out what chooses at its end.

    ``imported`` are the operators that become nodes, which are never left out. Raises ModelError
    for a name that the file does not have.
    """
    keys = tensor_keys(file)
    nodes = [_file_node(operator, keys) for operator in file.operators]
    outputs = [keys[index] for index in file.outputs]
    if names is not None:
        return _ending_at(file, chosen_outputs(names, nodes, outputs, file.path.name))
    inputs = [keys[index] for index in file.inputs]
    cut = without_application(nodes, inputs, outputs, CHOOSING.difference(imported), LAYERS)
    if cut is None:
        return file
    _LOG.warning("%s", cut.note(file.path.name))
    return _ending_at(file, cut.outputs)


def _file_node(operator: OperatorEntry, keys: Sequence[str]) -> FileNode:
    inputs = tuple(keys[index] for index in operator.inputs if index >= 0)
    outputs = tuple(keys[index] for index in operator.outputs)
    return FileNode(operator.op, (operator_name(operator),), inputs, outputs)


def _ending_at(file: TfliteFile, outputs: Sequence[str]) -> TfliteFile:
    numbers = {key: index for index, key in enumerate(tensor_keys(file))}
    ends = tuple(numbers[name] for name in outputs)
    needed, kept = set(ends), []
    for operator in reversed(file.operators):
        if needed.intersection(operator.outputs):
            kept.append(operator)
            needed.update(operator.inputs)
    return replace(file, outputs=ends, operators=tuple(reversed(kept)))
