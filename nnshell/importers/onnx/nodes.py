"""From the nodes of a checked ONNX model to a graph; nodes that do not fit are collected."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from nnshell.importers.ends import add_outputs, batch_axis, batch_size_of, stand_in
from nnshell.importers.onnx.external import array_of
from nnshell.importers.onnx.file import ONNX_ERRORS, OnnxFile, Spelling, default_opset, first_line
from nnshell.importers.onnx.fold import FOLDABLE, Folder, array_inside, constant_of, malformed
from nnshell.importers.onnx.native import Native
from nnshell.importers.onnx.rectifiers import complete_ranges, insert_implied_rectifiers
from nnshell.importers.onnx.shapes import INPUT_TYPES, InputShape
from nnshell.importers.onnx.unsupported import advice
from nnshell.importers.onnx.weights import Weights, standing_in
from nnshell.importers.problems import Problem
from nnshell.ir.basic_operators import Input
from nnshell.ir.foreign import AttributeValue, ForeignNode
from nnshell.ir.graph import Graph, Node, Ref, Source
from nnshell.ir.types import Layout, Origin, TensorType
from nnshell.reading.context import ImportContext, Options
from nnshell.reading.registry import (
    IMPORTS,
    Imported,
    StoredTensor,
    Unsupported,
    Value,
    sanitized,
    without,
)

LOGGER = logging.getLogger(__name__)

# What an import function may run into on a malformed node that the checker let pass.
_MALFORMED = (ValueError, TypeError, IndexError, KeyError, ArithmeticError, AttributeError)


class Importer:
    """One pass over the nodes of a model whose inputs have known shapes.

    With ``batched`` false the first axis of the inputs is no batch axis: there is none.
    """

    def __init__(
        self,
        file: OnnxFile,
        model: onnx.ModelProto,
        shapes: Sequence[InputShape],
        options: Options,
        native: Native,
        *,
        batched: bool = True,
    ) -> None:
        self.file = file
        self.model = model
        self.shapes = shapes
        self.problems: list[Problem] = []
        self.batch_size = batch_size_of([each.shape for each in shapes]) if batched else 1
        self._batched = batched
        self._kept_real: set[str] = set()  # quantized constants that were real numbers before
        self._unknown: set[str] = set()  # tensors after a problem, of unknown shape
        self._native = native
        self._folder = Folder(default_opset(model), native)
        self._position = 0  # of the node that is being imported
        self._unnamed: Counter[str] = Counter()  # nodes without name and with several outputs
        self._inferred: dict[str, Any] | None = None
        outputs = [output.name for output in model.graph.output]
        uses = Counter(name for node in model.graph.node for name in node.input if name)
        uses.update(outputs)
        name = file.path.stem.encode(errors="replace").decode()  # file names may be any bytes
        graph = Graph(name, Source(file.path, file.sha256))
        self.context = ImportContext(
            graph,
            self.batch_size,
            any_batch=any(value.any_batch for value in shapes),
            uses=dict(uses),
            reserved={f"output_{index + 1}" for index in range(len(outputs))},
            options=options,
        )

    def run(self) -> Imported:
        """The graph and notes; only fit for use when there are no ``problems``."""
        for index, value in enumerate(self.shapes):
            self._add_input(index, value)
        for tensor in self.model.graph.initializer:
            self._add_initializer(tensor.name, tensor)
        for name, tensor in self.file.weights.items():
            self._add_initializer(name, tensor)
        for position, node in enumerate(self.model.graph.node):
            self._position = position
            self._import(node)
        outputs = [output.name for output in self.model.graph.output]
        self.problems += add_outputs(self.context, outputs, self._unknown, self.file.path.name)
        ranges = {ref.node: r for ref, r in self.context.ranges.items() if not ref.index}
        insert_implied_rectifiers(self.context.graph, ranges)
        complete_ranges(self.context.graph, ranges)
        for ref, limits in self.context.wide_ranges.items():
            if not ref.index:
                ranges.setdefault(ref.node, limits)
        return Imported(
            self.context.graph, tuple(self.context.notes), ranges, stored=self._stored()
        )

    def _stored(self) -> dict[str, StoredTensor]:
        """Integers of the file by node; a rectifier that was put back makes those of its input."""
        results = {}
        for ref, tensor in self.context.stored.items():
            implied = f"{ref.node}_activation"
            if not ref.index:
                results[implied if implied in self.context.graph else ref.node] = tensor
        return results

    # -- ends ------------------------------------------------------------------------------

    def _add_input(self, index: int, source: InputShape) -> None:
        batch_size = self.batch_size if self._batched else None
        batch = batch_axis(source.shape, batch_size, any_batch=source.any_batch)
        inner = without(source.shape, batch)
        layout = Layout.CHW if len(inner) == 3 else Layout.NONE
        op = Input(TensorType(inner, layout), index)
        origin = Origin(source.name, "input", self.file.path.name)
        name = f"input_{index + 1}"
        self.context.graph.add(Node(name, op, [], op.infer(()), origin))
        value = Value(Ref(name), source.shape, batch, source.dtype)
        self.context.values[source.name] = value
        self.context.makers[value.ref] = source.name

    def _add_initializer(self, name: str, tensor: onnx.TensorProto) -> None:
        try:
            with malformed(tensor.name):
                self.context.constants[name] = array_of(tensor, self.file.path)
        except Unsupported as problem:
            self.problems.append(Problem("initializer", name, problem.reason))
            self._unknown.add(name)

    # -- nodes -----------------------------------------------------------------------------

    def _import(self, node: onnx.NodeProto) -> None:
        spelling = self._spelling(node)
        inputs = {name for name in node.input if name}
        try:
            if inputs & self._unknown:
                self._check_operator(node.op_type)
                self._unknown.update(node.output)
            elif not self._evaluated(node):
                self._call_import_function(node, spelling)
        except Unsupported as problem:
            self._fail(node, spelling, problem.reason, problem.hint)
        except _MALFORMED as error:
            LOGGER.debug("importing %s", spelling, exc_info=True)
            self._fail(node, spelling, f"it is malformed: {first_line(error)}")

    def _spelling(self, node: onnx.NodeProto) -> Spelling:
        """Name and operator as in the file; a node that conversion added has its own."""
        first = node.output[0] if node.output else ""
        match = self.file.spellings.get(first, Spelling(node.name, node.op_type))
        return Spelling(match.name or first, match.op) if not match.name else match

    @staticmethod
    def _check_operator(op: str) -> None:
        if op not in IMPORTS and op not in FOLDABLE and op != "Constant":
            raise Unsupported("operator not supported", hint=advice(op))

    def _call_import_function(self, node: onnx.NodeProto, spelling: Spelling) -> None:
        function = IMPORTS.get(node.op_type)
        if function is None:
            raise Unsupported("operator not supported", hint=advice(node.op_type))
        named = self.file.spellings.get(node.output[0], spelling).name
        name = sanitized(named) if named else self._name_of_unnamed(node, spelling.op)
        origin = Origin(spelling.name, spelling.op, self.file.path.name, position=self._position)
        self.context.begin(_foreign(node), name, origin)
        function(self.context)

    def _name_of_unnamed(self, node: onnx.NodeProto, op: str) -> str:
        """After the node's output; with several outputs, numbered among those of its operator."""
        outputs = [name for name in node.output if name]
        if len(outputs) == 1:
            return f"{op}_{sanitized(outputs[0])}"
        number = self._unnamed[op]
        self._unnamed[op] += 1
        return f"{op}_{number}"

    def _evaluated(self, node: onnx.NodeProto) -> bool:
        """Whether the node's outputs are constants; they are then known."""
        constants = self.context.constants
        if node.op_type == "Constant":
            constants[node.output[0]] = constant_of(node)
            return True
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            return self._read_as_real(node)
        if node.op_type in ("Shape", "Size") and node.input[0] in self.context.values:
            constants[node.output[0]] = self._shape_arithmetic(node)
            return True
        if node.op_type not in FOLDABLE or any(n and n not in constants for n in node.input):
            return False
        inputs = _of_one_width([constants[name] if name else None for name in node.input])
        results = self._folder.evaluate(node, inputs)
        constants.update(zip([name for name in node.output if name], results, strict=True))
        return True

    def _read_as_real(self, node: onnx.NodeProto) -> bool:
        """A constant after quantization stays what it is; integers become real numbers.

        In float64, as a product of integers and a scale.
        """
        constants = self.context.constants
        value = constants.get(node.input[0])
        if value is None:
            return False
        name = node.output[0]
        if node.op_type == "QuantizeLinear":
            self._kept_real.add(name)
            constants[name] = value
        elif node.input[0] in self._kept_real:
            constants[name] = value
        else:
            constants[name] = self._dequantized(node, value)
        return True

    def _dequantized(self, node: onnx.NodeProto, value: NDArray[Any]) -> NDArray[Any]:
        operands = [self.context.constants.get(entry) for entry in node.input[1:] if entry]
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if any(entry is None for entry in operands) or attributes.get("block_size", 0):
            raise Unsupported("its scale is computed, or one for each block", accepted="constants")
        scale, zero = (
            np.zeros(1) if entry is None else entry for entry in (*operands, None, None)[:2]
        )
        axis = attributes.get("axis", 1)
        shape = [1] * value.ndim
        if max(scale.size, zero.size) > 1:
            shape[axis] = -1
        steps, zeros = (
            entry.astype(np.float64).reshape(shape if entry.size > 1 else ())
            for entry in (scale, zero)
        )
        real: NDArray[Any] = (value.astype(np.float64) - zeros) * steps
        return real

    def _shape_arithmetic(self, node: onnx.NodeProto) -> NDArray[Any]:
        shape = np.array(self.context.values[node.input[0]].shape, np.int64)
        if node.op_type == "Size":
            return np.array(shape.prod(), np.int64)
        limits = {attribute.name: attribute.i for attribute in node.attribute}
        return shape[limits.get("start", 0) : limits.get("end", len(shape))]

    # -- problems --------------------------------------------------------------------------

    def _fail(self, node: onnx.NodeProto, spelling: Spelling, reason: str, hint: str = "") -> None:
        """Record a problem and go on after the node where its output shapes are known."""
        self.problems.append(Problem(spelling.op, spelling.name, reason, hint))
        for name in node.output:
            if name and not self._stand_in(name):
                self._unknown.add(name)

    def _stand_in(self, name: str) -> bool:
        shape, dtype = self._inferred_type(name)
        return stand_in(self.context, name, shape, dtype, Layout.CHW)

    def _inferred_type(self, name: str) -> tuple[tuple[int, ...], str]:
        """Shape and element type as ONNX's shape inference sees them; an empty shape if unknown."""
        if self._inferred is None:
            self._inferred = _infer(self.model, self.file.weights, self._native)
        value = self._inferred.get(name)
        if value is None or not value.type.tensor_type.HasField("shape"):
            return (), ""
        dims = value.type.tensor_type.shape.dim
        dtype = INPUT_TYPES.get(value.type.tensor_type.elem_type, "other")
        return tuple(d.dim_value for d in dims), dtype


def _of_one_width(values: list[NDArray[Any] | None]) -> list[NDArray[Any] | None]:
    """Real constants in float64 where one is: those that the file stores as integers are."""
    widths = {value.dtype for value in values if value is not None}
    if not widths >= {np.dtype(np.float32), np.dtype(np.float64)}:
        return values
    return [
        value.astype(np.float64) if value is not None and value.dtype == np.float32 else value
        for value in values
    ]


def _infer(model: onnx.ModelProto, weights: Weights, native: Native) -> dict[str, Any]:
    try:
        with standing_in(model, weights):
            inferred = native.infer(model)
    except ONNX_ERRORS:
        return {}
    return {value.name: value for value in (*inferred.graph.value_info, *inferred.graph.output)}


def _foreign(node: onnx.NodeProto) -> ForeignNode:
    return ForeignNode(
        node.op_type,
        node.name,
        tuple(node.input),
        tuple(node.output),
        {attribute.name: _attribute(attribute) for attribute in node.attribute},
        node.domain,
    )


def _attribute(attribute: onnx.AttributeProto) -> AttributeValue:
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type == onnx.AttributeProto.STRING:
        return bytes(value).decode("utf-8", "replace")
    if attribute.type == onnx.AttributeProto.TENSOR:
        return array_inside(value)
    if attribute.type in (onnx.AttributeProto.INT, onnx.AttributeProto.FLOAT):
        number: int | float = value
        return number
    if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
        return tuple(value)
    if attribute.type == onnx.AttributeProto.STRINGS:
        return tuple(bytes(word).decode("utf-8", "replace") for word in value)
    raise Unsupported(f"attribute '{attribute.name}' is not a number, a list or a text")
