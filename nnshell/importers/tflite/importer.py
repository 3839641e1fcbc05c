"""The TFLite importer: from a file to a graph without batch axis and without shape arithmetic.

    read
    operator by operator: constants are evaluated, everything else becomes nodes in ONNX spelling
    connect the outputs, drop what leads to none, reshapes before linear layers too; verify

Feature maps keep the file's order, height x width x channels; `adjust` changes it. Every operator
that cannot be imported is collected, and all are reported at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnshell.importers.model_file import imported_by
from nnshell.importers.tflite.cut import cut_off
from nnshell.importers.tflite.file import TensorEntry, TfliteFile, read_tflite
from nnshell.importers.tflite.names import tensor_keys
from nnshell.importers.tflite.nodes import Importer
from nnshell.importers.tflite.operators import TRANSLATIONS
from nnshell.ir.basic_operators import Reshape
from nnshell.ir.graph import Graph
from nnshell.ir.verify import verify
from nnshell.ops.linear import Linear
from nnshell.reading.context import MAX_ELEMENTS
from nnshell.reading.registry import Imported
from nnshell.support.errors import ModelError

_LOG = logging.getLogger(__name__)

_MOST_AXES = 8


def import_tflite(
    path: Path | str,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    quantized: bool = False,
    outputs: Sequence[str] | None = None,
) -> Imported:
    """Read a TFLite model; integers in it are taken as the real numbers that they stand for.

    ``input_shapes`` gives whole shapes, batch axis included, by the name of the input.
    ``outputs`` are the tensors or operators that the graph ends at, by default the file's outputs,
    without a last step that only chooses (ARG_MAX, TOPK_V2 and the like). With ``quantized`` the
    ranges of activations are taken from the file as well. Raises ModelError for
    a file that is missing, damaged or not supported; the message then lists every operator at
    fault.
    """
    file = cut_off(read_tflite(Path(path)), outputs, TRANSLATIONS)
    shapes = _input_shapes(file, input_shapes or {})
    if file.subgraphs > 1:
        _LOG.warning("%s: only the first of its %d graphs is read", file.path.name, file.subgraphs)

    def importer(batched: bool) -> Importer:
        return Importer(file, shapes, batched=batched, quantized=quantized)

    return _finished(imported_by(importer, file.path.name))


def _input_shapes(file: TfliteFile, values: Mapping[str, Sequence[int]]) -> list[tuple[int, ...]]:
    """Shapes of all graph inputs, as the file or ``given`` has them."""
    keys = tensor_keys(file)
    names = [(f"input_{number + 1}", keys[index]) for number, index in enumerate(file.inputs)]
    known = {name for pair in names for name in pair}
    for name in values:
        if name not in known:
            raise ModelError(
                f"the model has no input called '{name}'",
                where=file.path.name,
                hint=f"it has {', '.join(sorted(known)) or 'none'}",
            )
    shapes = []
    for pair, index in zip(names, file.inputs, strict=True):
        chosen = next((values[name] for name in pair if name in values), None)
        shapes.append(_input_shape(file, file.tensors[index], chosen))
    return shapes


def _input_shape(
    file: TfliteFile, tensor: TensorEntry, chosen: Sequence[int] | None
) -> tuple[int, ...]:
    shape = tensor.shape if chosen is None else tuple(int(n) for n in chosen)
    bad = min(shape, default=1) < 1 or math.prod(shape) > MAX_ELEMENTS or len(shape) > _MOST_AXES
    if bad:
        raise ModelError(
            f"input '{tensor.name}' has shape {list(shape)}",
            where=file.path.name,
            hint="open it with --input_shapes input_1=[1,HEIGHT,WIDTH,CHANNELS]",
        )
    return shape


def _finished(imported: Imported) -> Imported:
    graph = imported.graph
    graph.prune()
    for node in [node for node in graph if isinstance(node.op, Linear)]:
        _read_before_reshapes(graph, node.name)
    graph.infer_types()
    verify(graph)
    return imported


def _read_before_reshapes(graph: Graph, linear: str) -> None:
    """A linear layer reads in memory order: a reshape that only it reads goes."""
    node = graph[linear]
    while True:
        reshape = graph.producer(node)
        if not isinstance(reshape.op, Reshape) or len(graph.consumers(reshape.name)) != 1:
            return
        node.inputs[0] = reshape.inputs[0]
        del graph.nodes[reshape.name]
        _LOG.info("removing unnecessary reshape before linear %s", reshape.name)
