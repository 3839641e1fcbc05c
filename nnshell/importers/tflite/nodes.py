"""From the operators of a TFLite file to a graph, by way of nodes in ONNX spelling.

Each operator is translated (``operators``, ``moves``) to one or a few nodes as ONNX would spell
them, and those go to the import functions that the operators of the graph register: what an
operator means is written once. Operators that do not fit are collected.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nnshell.importers.ends import add_outputs, batch_axis, batch_size_of, stand_in
from nnshell.importers.problems import Problem
from nnshell.importers.tflite.constants import REAL_TYPES, ConstantReader
from nnshell.importers.tflite.file import OperatorEntry, OptionValue, TensorEntry, TfliteFile
from nnshell.importers.tflite.fold import FOLDABLE, fold
from nnshell.importers.tflite.names import constant_names, operator_name, tensor_keys
from nnshell.importers.tflite.ranges import ranges_of, stored_record
from nnshell.importers.tflite.unsupported import advice
from nnshell.ir.basic_operators import Constant, Input
from nnshell.ir.foreign import AttributeValue, ForeignNode
from nnshell.ir.graph import Graph, Node, Ref, Source
from nnshell.ir.permutations import inverse
from nnshell.ir.qparams import QParams
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, Origin, TensorType
from nnshell.ops.channels_last import ChannelsLast
from nnshell.reading.context import ImportContext, Naming, Options
from nnshell.reading.registry import IMPORTS, Imported, StoredTensor, Unsupported, Value, without

LOGGER = logging.getLogger(__name__)

# What a translation may run into on an operator whose file lies about it.
_MALFORMED = (ValueError, TypeError, IndexError, KeyError, ArithmeticError, AttributeError)

# Operators that may clip in place of a rectifier: converters then drop it.
_SATURATING = (
    "ADD",
    "AVERAGE_POOL_2D",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "MAX_POOL_2D",
)

# The schema's fused activations by number.
_NONE, _RELU, _RELU_N1_TO_1, _RELU6, _TANH, _SIGN_BIT = range(6)


class Importer:
    """One pass over the operators of a file whose inputs have known shapes.

    With ``batched`` false the first axis of the inputs is no batch axis: there is none.
    """

    def __init__(
        self,
        file: TfliteFile,
        shapes: Sequence[tuple[int, ...]],
        *,
        batched: bool = True,
        quantized: bool = False,
    ) -> None:
        self.file = file
        self.tensor_ranges = ranges_of(file) if quantized else {}
        self._ranges: dict[str, Range] | None = {} if quantized else None
        self.shapes = shapes
        self.problems: list[Problem] = []
        self.keys = tensor_keys(file)
        self.batch_size = batch_size_of(shapes) if batched else 1
        self._batched = batched
        self._unknown: set[str] = set()  # tensors after a problem, of unknown shape
        self._seen: set[str] = set()  # nodes of operators that were imported before
        self._constants = ConstantReader()
        self._names = {self.keys[i]: name for i, name in constant_names(file).items()}
        uses = Counter(self.keys[i] for op in file.operators for i in op.inputs if i >= 0)
        uses.update(self.keys[i] for i in file.outputs)
        name = file.path.stem.encode(errors="replace").decode()  # file names may be any bytes
        self.context = ImportContext(
            Graph(name, Source(file.path, file.sha256)),
            self.batch_size,
            any_batch=any(file.tensors[i].any_batch for i in file.inputs),
            uses=dict(uses),
            reserved={f"output_{index + 1}" for index in range(len(file.outputs))},
            options=Options(),
            naming=Naming(self._names, "bias"),
        )

    def run(self) -> Imported:
        """The graph; only fit for use when there are no ``problems``."""
        for number, (index, shape) in enumerate(zip(self.file.inputs, self.shapes, strict=True)):
            self._add_input(number, self.file.tensors[index], shape)
        results = {index for operator in self.file.operators for index in operator.outputs}
        for tensor in self.file.tensors:
            if tensor.data is not None and tensor.index not in results:
                self._add_constant(tensor)
        self._new_nodes()  # the inputs, which are no operator's
        for operator in self.file.operators:
            self._import(operator)
        outputs = [self.keys[index] for index in self.file.outputs]
        self.problems += add_outputs(self.context, outputs, self._unknown, self.file.path.name)
        return Imported(
            self.context.graph,
            tuple(self.context.notes),
            self._ranges,
            self._stored_records(),
            self._stored(),
        )

    def _stored(self) -> dict[str, StoredTensor]:
        """Integers of the file by the node that makes the tensor."""
        results: dict[str, StoredTensor] = {}
        for tensor in self.file.tensors:
            value = self.context.values.get(self.keys[tensor.index])
            record = tensor.quantization
            if value is None or value.ref.index or record is None or record.scale.size != 1:
                continue
            zero = int(record.zero_point[0]) if record.zero_point.size else 0
            entry = StoredTensor(tensor.index, float(record.scale[0]), zero, tensor.dtype)
            results.setdefault(value.ref.node, entry)
        return results

    def _stored_records(self) -> dict[str, QParams]:
        """Records of the file by the constants of the graph that have its tensors' names."""
        if self._ranges is None:
            return {}
        results = {}
        for tensor in self.file.tensors:
            name, record = self._names.get(self.keys[tensor.index], ""), stored_record(tensor)
            if name in self.context.graph and record is not None:
                results[name] = record
        return results

    # -- ends ------------------------------------------------------------------------------

    def _add_input(self, number: int, tensor: TensorEntry, shape: tuple[int, ...]) -> None:
        batch_size = self.batch_size if self._batched else None
        batch = batch_axis(shape, batch_size, any_batch=tensor.any_batch)
        inner = without(shape, batch)
        images = len(inner) == 3 and batch == 0
        op = Input(TensorType(inner, Layout.HWC if images else Layout.NONE), number)
        origin = Origin(self.keys[tensor.index], "input", self.file.path.name)
        name = f"input_{number + 1}"
        self.context.graph.add(Node(name, op, [], op.infer(()), origin))
        value = Value(Ref(name), shape, batch, _element_type(tensor))
        self.context.values[self.keys[tensor.index]] = value
        self.context.makers[value.ref] = self.keys[tensor.index]
        self._note_ranges([name], tensor.index)

    def _new_nodes(self) -> list[str]:
        """Nodes that were added since this was asked last: the graph's last ones."""
        names = list(
            itertools.takewhile(
                lambda name: name not in self._seen, reversed(self.context.graph.nodes)
            )
        )
        self._seen.update(names)
        return names

    def _note_ranges(self, names: Iterable[str], tensor: int) -> None:
        """The nodes of an operator take the range of the tensor that it makes."""
        if self._ranges is not None and tensor in self.tensor_ranges:
            self._ranges.update(dict.fromkeys(names, self.tensor_ranges[tensor]))

    def _add_constant(self, tensor: TensorEntry) -> None:
        try:
            self.context.constants[self.keys[tensor.index]] = self._constants.read(tensor)
        except Unsupported as problem:
            self.problems.append(Problem("constant", tensor.name, problem.reason))
            self._unknown.add(self.keys[tensor.index])

    # -- operators -------------------------------------------------------------------------

    def _import(self, operator: OperatorEntry) -> None:
        from nnshell.importers.tflite.operators import TRANSLATIONS

        outputs = [self.keys[index] for index in operator.outputs]
        inputs = {self.keys[index] for index in operator.inputs if index >= 0}
        try:
            if operator.op not in TRANSLATIONS and operator.op not in FOLDABLE:
                raise Unsupported("operator not supported", hint=advice(operator.op))
            if inputs & self._unknown:
                self._unknown.update(outputs)
            elif not self._folded(operator):
                if operator.op not in TRANSLATIONS:
                    raise Unsupported(
                        "its inputs are computed by the network",
                        accepted="constants",
                        hint=advice(operator.op),
                    )
                TRANSLATIONS[operator.op](Step(self, operator))
                self._note_ranges(self._new_nodes(), operator.outputs[0])
        except Unsupported as problem:
            self._fail(operator, problem.reason, problem.hint)
        except _MALFORMED as error:
            LOGGER.debug("importing %s", operator_name(operator), exc_info=True)
            text = " ".join(str(error).split())[:200] or type(error).__name__
            self._fail(operator, f"it is malformed: {text}")

    def _folded(self, operator: OperatorEntry) -> bool:
        """Whether the operator's outputs are constants; they are then known, by its name."""
        context = self.context
        keys = [self.keys[index] if index >= 0 else "" for index in operator.inputs]
        if operator.op == "SHAPE" and keys and keys[0] in context.values:
            results = [np.array(context.values[keys[0]].shape, np.int32)]
        elif operator.op in FOLDABLE and all(not k or k in context.constants for k in keys):
            values = [context.constants[key] if key else None for key in keys]
            results = fold(operator, values, [self.file.tensors[i] for i in operator.outputs])
        else:
            return False
        for index, result in zip(operator.outputs, results, strict=True):
            context.constants[self.keys[index]] = result
            self._names[self.keys[index]] = operator_name(operator)
        LOGGER.debug("%s is a constant", operator_name(operator))
        return True

    # -- problems --------------------------------------------------------------------------

    def _fail(self, operator: OperatorEntry, reason: str, hint: str = "") -> None:
        """Record a problem and go on after the operator where the file gives its shapes."""
        self.problems.append(Problem(operator.op, operator_name(operator), reason, hint))
        for index in operator.outputs:
            if not self._stand_in(self.file.tensors[index]):
                self._unknown.add(self.keys[index])

    def _stand_in(self, tensor: TensorEntry) -> bool:
        key, dtype = self.keys[tensor.index], _element_type(tensor)
        return stand_in(self.context, key, tensor.shape, dtype, Layout.NONE)


def _element_type(tensor: TensorEntry) -> str:
    """What the graph computes in: real numbers for floats, and for integers with a scale."""
    scaled = tensor.quantization is not None and tensor.quantization.scale.size > 0
    return "float32" if tensor.dtype in REAL_TYPES or scaled else tensor.dtype


class Step:
    """An operator being translated: its options and tensors, and the nodes it becomes."""

    def __init__(self, importer: Importer, operator: OperatorEntry) -> None:
        self.operator = operator
        self.context = importer.context
        self.tensors = importer.file.tensors
        self.name = operator_name(operator)
        self.inputs = [importer.keys[index] if index >= 0 else "" for index in operator.inputs]
        self.outputs = [importer.keys[index] for index in operator.outputs]
        self._names = importer._names
        self._tensor_ranges = importer.tensor_ranges
        self._origin = Origin(self.name, operator.op, importer.file.path.name)
        self._made = 0
        if not self.outputs:
            raise Unsupported("it has no output")

    # -- what the file says ----------------------------------------------------------------

    def option(self, name: str, default: OptionValue | None = None) -> Any:
        """An option as the file has it; Unsupported when it is missing and has no default."""
        value = self.operator.options.get(name, default)
        if value is None:
            raise Unsupported(f"its option {name} is missing")
        return value

    def key(self, index: int) -> str:
        """The tensor in input ``index``; "" when it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def operands(self, count: int) -> list[str]:
        """The first ``count`` inputs, none of which may be left out."""
        result = self.inputs[:count]
        if len(result) < count or "" in result:
            raise Unsupported(f"it has {len(self.inputs)} inputs", accepted=f"{count}")
        return result

    def value(self, index: int) -> Value:
        """Input ``index``, real numbers that the network computes."""
        return self._reading(index).value(index)

    def constant(self, index: int) -> NDArray[Any]:
        """Input ``index``, a constant."""
        tensor = self._reading(index).tensor(index)
        if tensor is None:
            raise Unsupported(f"input {index} is missing")
        return tensor

    def integers(self, index: int) -> tuple[int, ...]:
        """Input ``index``, constant integers."""
        self.constant(index)
        return self._reading(index).integers_in(index) or ()

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of input ``index``, which the network computes, as the file sees it."""
        return self._reading(index).any_value(index).shape

    def file_shape(self, output: int) -> tuple[int, ...]:
        """What the file says of an output; empty where it leaves that open."""
        shape = self.tensors[self.operator.outputs[output]].shape
        if not shape or min(shape) < 1:
            raise Unsupported("its shape is missing")
        return shape

    def axis(self, axis: int, rank: int) -> int:
        """The axis of the ONNX spelling that ``axis`` of a tensor of ``rank`` stands for."""
        return self.context.axis(axis, rank)

    def as_vector(self, index: int) -> str:
        """Input ``index`` read in memory order, without a node: as linear layers read it."""
        value = self.value(index)
        ref = self.context.at_batch(value, 0)
        key = self.fresh()
        size = int(np.prod(value.inner, dtype=object))
        self.context.values[key] = Value(ref, (self.context.batch_size, size), 0)
        return key

    def _reading(self, index: int) -> ImportContext:
        self.context.node = self._node(self.operator.op, self.inputs, self.outputs, {})
        return self.context

    # -- what it becomes -------------------------------------------------------------------

    def fresh(self) -> str:
        """A tensor between the nodes that the operator becomes."""
        self._made += 1
        key = f"{self.name}/{self._made}"
        self.context.uses[key] = 1
        return key

    def made_constant(self, value: NDArray[Any], named: str = "") -> str:
        """A constant that the file does not have, or has in another form as tensor ``named``."""
        key = self.fresh()
        self.context.constants[key] = value
        if named in self._names:
            self._names[key] = self._names[named]
        return key

    def emit(
        self,
        op: str,
        inputs: Sequence[str],
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        outputs: Sequence[str] | None = None,
        suffix: str = "",
    ) -> str:
        """Import a node in ONNX spelling; returns its first output's tensor."""
        result = list(outputs) if outputs is not None else self.outputs
        node = self._node(op, inputs, result, attributes or {})
        self.context.begin(node, f"{self.name}{suffix}", self._origin)
        IMPORTS[op](self.context)
        return result[0]

    def begin(self) -> ImportContext:
        """The context, at a node of the graph that is called after the operator."""
        node = self._node(self.operator.op, self.inputs, self.outputs, {})
        self.context.node, self.context.name = node, self.name
        self.context.origin = self._origin
        return self.context

    def emit_activated(
        self, op: str, inputs: Sequence[str], attributes: Mapping[str, AttributeValue] | None = None
    ) -> None:
        """``emit``, and the operator's fused activation after it."""
        self.activated(lambda result: self.emit(op, inputs, attributes, outputs=[result]))

    def activated(self, emit: Callable[[str], object]) -> None:
        """Run ``emit`` on the tensor to make, and put the fused activation after that."""
        kind = self.option("FusedActivationFunction", _NONE)
        if kind == _NONE:
            kind = self._implied_activation()
        if kind == _NONE:
            emit(self.outputs[0])
            return
        between = self.fresh()
        emit(between)
        self.activation(kind, between)

    def _implied_activation(self) -> int:
        """The rectifier that a quantized file leaves to saturation: nothing below 0 is kept."""
        limits = self._tensor_ranges.get(self.operator.outputs[0])
        if limits is None or limits.minimum != 0 or self.operator.op not in _SATURATING:
            return _NONE
        return _RELU6 if round(limits.maximum) == 6 else _RELU

    def activation(self, kind: int, key: str, suffix: str = "_activation") -> None:
        """Append the activation that an operator of the file has fused into it."""
        if kind == _RELU:
            self.emit("Relu", [key], suffix=suffix)
        elif kind in (_RELU6, _RELU_N1_TO_1):
            self.clip(key, *((0.0, 6.0) if kind == _RELU6 else (-1.0, 1.0)), suffix=suffix)
        elif kind == _TANH:
            self.emit("Tanh", [key], suffix=suffix)
        else:
            raise Unsupported(
                f"FusedActivationFunction = {'SIGN_BIT' if kind == _SIGN_BIT else kind}",
                accepted="NONE, RELU, RELU_N1_TO_1, RELU6, TANH",
            )

    def clip(self, key: str, low: float | None, high: float | None, suffix: str = "") -> None:
        """Append a Clip of ``key``; None leaves an end open."""
        bounds = [
            self.made_constant(np.array(bound, np.float32)) if bound is not None else ""
            for bound in (low, high)
        ]
        self.emit("Clip", [key, *bounds], suffix=suffix)

    def channels_last(
        self,
        op: str,
        operands: Sequence[str],
        attributes: Mapping[str, AttributeValue],
        output: str,
        weights: tuple[int, ...] = (),
    ) -> None:
        """Import ``op``, whose kernel takes channels first, over input 0, which has them last.

        ``operands`` are the other inputs; ``weights`` brings the first of them from the file's
        order into the kernel's, and the graph keeps it in the file's.
        """
        context = self.context
        graph = context.graph
        value = self.value(0)
        if len(value.shape) != 4:
            shape = "x".join(str(n) for n in value.shape)
            raise Unsupported(
                f"its input has shape {shape}", accepted="batch x height x width x channels"
            )
        self._reading(0)
        context.name = self.name
        argument = context.at_batch(value, 0)
        height, width, channels = graph.type_of(argument).shape
        first = Input(TensorType((channels, height, width), Layout.CHW), -1)
        probe = graph.add(Node(context.unique("probe"), first, [], first.infer(())))
        inside = self.fresh()
        turned = (value.shape[0], channels, height, width)
        context.values[inside] = Value(Ref(probe.name), turned, 0)
        result = context.values[
            self.emit(op, [inside, *operands], attributes, outputs=[self.fresh()])
        ]
        if result.ref.node == probe.name:  # it changes nothing
            context.values[output] = value
        else:
            node = graph[result.ref.node]
            self._wrap(node, argument, weights)
            self._reading(0)
            context.node = replace(context.node, outputs=(output,))
            context.produce(Ref(node.name), 0)
        del graph.nodes[probe.name]

    def _wrap(self, node: Node, argument: Ref, weights: tuple[int, ...]) -> None:
        """Make a node on channels first one on ``given``, whose channels are last."""
        graph = self.context.graph
        node.inputs[0] = argument
        node.op = ChannelsLast(node.op, weights)
        if weights:
            constant = graph[node.inputs[1].node]
            value = graph.constant(node.inputs[1])
            assert value is not None
            constant.op = Constant(np.ascontiguousarray(value.transpose(inverse(weights))))
            constant.outputs = constant.op.infer(())
        node.outputs = node.op.infer(graph.input_types(node))

    def pass_on(self, key: str) -> None:
        """The output is the input: nothing is computed."""
        self.emit("Identity", [key])

    def refuse(self, option: str, *, accepted: str = "", hint: str = "") -> NoReturn:
        """Raise Unsupported, which names the option and its value."""
        value = self.operator.options.get(option)
        raise Unsupported(f"{option} = {value}", accepted=accepted, hint=hint)

    def _node(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, AttributeValue],
    ) -> ForeignNode:
        return ForeignNode(op, self.name, tuple(inputs), tuple(outputs), attributes)
