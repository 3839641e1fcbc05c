"""Reading an ONNX file: from bytes that may be anything to a checked model of a known opset.

What ONNX's own native code does with a model it does in a child process (``native``), and without
the large tensors (``weights``).
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import itertools
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx.version_converter
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from nnshell.importers.model_file import MAX_FILE_BYTES, model_bytes
from nnshell.importers.onnx.bounds import check_bounds
from nnshell.importers.onnx.codes import read_codes
from nnshell.importers.onnx.external import check_outside, is_outside, load, locations
from nnshell.importers.onnx.native import Native
from nnshell.importers.onnx.plain import restore_plain
from nnshell.importers.onnx.quantized import drop_ties, write_out_quantized
from nnshell.importers.onnx.weights import Weights, standing_in, take_weights, without_stand_ins
from nnshell.importers.onnx.wire import with_references
from nnshell.support.errors import ModelError

LOGGER = logging.getLogger(__name__)

OLDEST_OPSET = 7
NEWEST_OPSET = 26  # the newest that ONNX Runtime runs
OPSET = 21  # older files are brought to this one; newer ones stay what they are
DEFAULT_DOMAINS = ("", "ai.onnx")

_ERROR_KIND = re.compile(r"\[\w+Error\] *")  # the onnx package names its own errors in their text

# What the onnx package raises over a model that is not what it should be.
ONNX_ERRORS = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    onnx.version_converter.ConvertError,
    DecodeError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OSError,
    MemoryError,
)


@dataclass(frozen=True, slots=True)
class Spelling:
    """A node as the file spells it, before any conversion."""

    name: str
    op: str


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A readable file: initializers are no graph inputs, nodes are sorted and lead to outputs.

    ``weights`` are its large tensors, which ``model`` does not have; their numbers may still be in
    the file (``external``).
    """

    path: Path
    sha256: str
    model: onnx.ModelProto
    weights: dict[str, onnx.TensorProto]
    spellings: dict[str, Spelling]  # by the node's first output


def read_onnx(path: Path, native: Native) -> OnnxFile:
    """Read a model as it is in the file. Raises ModelError."""
    model, sha256 = _parsed(path)
    restore_plain(model, path.name)
    check_bounds(model, path.name)
    _forget_negative_extents(model)
    weights = take_weights(model)
    check_outside([*weights.values(), *_tensors(model.graph)], path)
    _load_external_data(model, path)
    if model.functions:
        model = _inlined(model, path, native, weights)
        weights |= take_weights(model)
    _check_opset(model, path)
    graph = model.graph
    if graph.sparse_initializer:
        raise ModelError("sparse initializers are not supported", where=path.name)
    constants = {tensor.name for tensor in graph.initializer} | weights.keys()
    replace_entries(graph.input, [value for value in graph.input if value.name not in constants])
    replace_entries(
        graph.node, live_nodes(_sorted(list(graph.node), path), [o.name for o in graph.output])
    )
    spellings = {n.output[0]: Spelling(n.name, n.op_type) for n in graph.node if n.output}
    return OnnxFile(path, sha256, model, weights, spellings)


def read_whole(path: Path) -> onnx.ModelProto:
    """The model with all its weights, nothing changed. Raises ModelError."""
    model, _ = _parsed(path)
    check_bounds(model, path.name)
    check_outside(_tensors(model.graph), path)
    _load_external_data(model, path)
    return model


def files_beside(path: Path) -> list[str]:
    """Names of the files that a model keeps its data in, besides its own. Raises ModelError."""
    model, _ = _parsed(path)
    return locations(_tensors(model.graph), path)


def converted(file: OnnxFile, native: Native) -> onnx.ModelProto:
    """The model checked and brought to the opset that the importer reads. Raises ModelError."""
    model = file.model
    for output in model.graph.output:
        output.type.tensor_type.shape.SetInParent()  # the checker wants one; nothing else does
    model.ir_version = max(model.ir_version, 8)  # initializers need not be graph inputs
    _check(file, native)
    if default_opset(model) >= OPSET:
        write_out_quantized(model, file.weights, file.path)
        drop_ties(model)
        read_codes(model, file.path.name)
        return model
    softmax_axes = _set_softmax_aside(model)
    resized = _old_resizes(model)
    try:
        with standing_in(model, file.weights):
            newer = without_stand_ins(native.convert(model, OPSET), file.weights)
    except ONNX_ERRORS as error:
        raise ModelError(
            f"the model cannot be converted to opset {OPSET}: {first_line(error)}",
            where=file.path.name,
            hint="export it again with opset 13 or newer",
        ) from error
    _put_softmax_back(newer, softmax_axes)
    _restore_old_resizes(newer, resized)
    replace_entries(
        newer.graph.node, live_nodes(list(newer.graph.node), [o.name for o in newer.graph.output])
    )
    write_out_quantized(newer, file.weights, file.path)
    drop_ties(newer)
    read_codes(newer, file.path.name)
    return newer


def _set_softmax_aside(model: onnx.ModelProto) -> dict[str, int]:
    """Hide the softmax of opset 12 and older from the converter; returns axes by output.

    It works on all axes from ``axis`` on as one. The converter writes that as three nodes, of
    which all but one are superfluous as soon as the shape is known.
    """
    axes: dict[str, int] = {}
    if default_opset(model) >= 13:
        return axes
    for node in model.graph.node:
        if node.op_type == "Softmax" and node.domain in DEFAULT_DOMAINS:
            axes[node.output[0]] = next((a.i for a in node.attribute if a.name == "axis"), 1)
            node.op_type = "Identity"
            del node.attribute[:]
    return axes


def _put_softmax_back(model: onnx.ModelProto, axes: dict[str, int]) -> None:
    """``flatten`` tells the import function that the node works on all axes from ``axis`` on."""
    for node in model.graph.node:
        if node.output and node.output[0] in axes:
            node.op_type = "Softmax"
            attributes = {"axis": axes[node.output[0]], "flatten": 1}
            node.attribute.extend(onnx.helper.make_attribute(*pair) for pair in attributes.items())


def _old_resizes(model: onnx.ModelProto) -> list[str]:
    """Outputs of the resizing nodes of opset 10 and older, in the order of the file."""
    if default_opset(model) > 10:
        return []
    return [n.output[0] for n in model.graph.node if n.op_type in ("Upsample", "Resize")]


def _restore_old_resizes(model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    """Give them the coordinates and names they had, of which the converter knows nothing.

    It keeps their number and order, and makes no others.
    """
    meant = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    result = [node for node in model.graph.node if node.op_type == "Resize"] if outputs else []
    for node, output in zip(result, outputs, strict=True):
        replace_entries(node.attribute, [a for a in node.attribute if a.name not in meant])
        node.attribute.extend(onnx.helper.make_attribute(*pair) for pair in meant.items())
        if node.output[0] != output:
            _rename(model, node.output[0], output)


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for names in (node.input, node.output):
            replace_entries(names, [new if name == old else name for name in names])


def default_opset(model: onnx.ModelProto) -> int:
    """The opset of the operators without domain; 0 when the file names none."""
    results = [o.version for o in model.opset_import if o.domain in DEFAULT_DOMAINS]
    return max(results, default=0)


def first_line(error: Exception) -> str:
    """The first line of an error of onnx's that says something, at most 300 characters."""
    text = _ERROR_KIND.sub("", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _parsed(path: Path) -> tuple[onnx.ModelProto, str]:
    """The model, its large data still in the file, and the SHA-256 of that."""
    content, sha256 = _content(path)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except ONNX_ERRORS as error:
        raise _not_onnx(path) from error
    if not model.ir_version or not model.HasField("graph") or not model.graph.output:
        raise _not_onnx(path)
    if _has_broken_text(model):
        raise _not_onnx(path)
    return model, sha256


def _content(path: Path) -> tuple[bytes, str]:
    with contextlib.suppress(OSError, ValueError):  # refused where it is read as a whole
        if (slim := with_references(path, MAX_FILE_BYTES)) is not None:
            return slim
    data = model_bytes(path)
    return data, hashlib.sha256(data).hexdigest()


def _load_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Read what tensors of the model keep outside it. Raises ModelError."""
    for tensor in _tensors(model.graph):
        if not is_outside(tensor):
            continue
        try:
            load(tensor, path)
        except ONNX_ERRORS as error:
            raise ModelError(
                f"external data of '{tensor.name}' cannot be read: {first_line(error)}",
                where=path.name,
            ) from error


def _has_broken_text(message: Any) -> bool:
    """Whether a text anywhere in the model is not UTF-8; protobuf hands it over as bytes."""
    if isinstance(message, onnx.TensorProto):  # to list its fields is to copy its numbers
        entries = [(entry.key, entry.value) for entry in message.external_data]
        texts = (message.name, message.doc_string, *itertools.chain(*entries))
        return any(isinstance(text, bytes) for text in texts)
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        single = field.type == field.TYPE_STRING and isinstance(value, str | bytes)
        for entry in [value] if single or hasattr(value, "ListFields") else value:
            if isinstance(entry, bytes) or (
                field.type == field.TYPE_MESSAGE and _has_broken_text(entry)
            ):
                return True
    return False


def _not_onnx(path: Path) -> ModelError:
    return ModelError(
        "the file is not an ONNX model, or is damaged",
        where=path.name,
        hint="export or download it again",
    )


def _check_opset(model: onnx.ModelProto, path: Path) -> None:
    opset = default_opset(model)
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ModelError(
            f"the model has opset {opset}; accepted: {OLDEST_OPSET} to {NEWEST_OPSET}",
            where=path.name,
            hint="export it again with another opset, 13 to 18 for example",
        )


def _forget_negative_extents(model: onnx.ModelProto) -> None:
    """Exporters write -1 for an axis they leave open; ONNX has no extent for that."""
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_value < 0:
                axis.ClearField("dim_value")


def _check(file: OnnxFile, native: Native) -> None:
    try:
        with standing_in(file.model, file.weights):
            native.check(file.model)
    except ONNX_ERRORS as error:
        raise ModelError(
            f"the model is not valid: {first_line(error)}",
            where=file.path.name,
            hint="export or download it again",
        ) from error


def _inlined(
    model: onnx.ModelProto, path: Path, native: Native, weights: Weights
) -> onnx.ModelProto:
    """Functions that the file defines, written out where they are called."""
    try:
        with standing_in(model, weights):
            return without_stand_ins(native.inline(model), weights)
    except ONNX_ERRORS as error:
        raise ModelError(
            f"the model's functions cannot be written out: {first_line(error)}", where=path.name
        ) from error


# -- external data -------------------------------------------------------------------------


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _tensors(inner)


# -- order and liveness --------------------------------------------------------------------


def node_inputs(node: onnx.NodeProto) -> set[str]:
    """Tensors that a node reads, those that its subgraphs take from outside included."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            results = {output for inner in graph.node for output in inner.output}
            results |= {value.name for value in graph.input}
            for inner in graph.node:
                names |= node_inputs(inner) - results
            names |= {output.name for output in graph.output} - results
    return names


def _sorted(nodes: list[onnx.NodeProto], path: Path) -> list[onnx.NodeProto]:
    """Nodes after those they read from; the file's order where that is one."""
    makers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    readers: dict[int, list[int]] = {index: [] for index in range(len(nodes))}
    waiting = []
    for index, node in enumerate(nodes):
        sources = {makers[name] for name in node_inputs(node) if name in makers}
        waiting.append(len(sources))
        for source in sources:
            readers[source].append(index)
    ready = [index for index, count in enumerate(waiting) if not count]  # a heap: it is sorted
    ordered = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(nodes[index])
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    if len(ordered) < len(nodes):
        stuck = next(index for index, count in enumerate(waiting) if count)
        name = nodes[stuck].name or nodes[stuck].op_type
        raise ModelError(f"the model has a cycle through '{name}'", where=path.name)
    return ordered


def live_nodes(nodes: list[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that ``outputs`` depend on."""
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= node_inputs(node)
    return kept[::-1]


def replace_entries(field: Any, entries: Sequence[object]) -> None:
    """Give a repeated protobuf field other entries."""
    copies = list(entries)
    del field[:]
    field.extend(copies)
