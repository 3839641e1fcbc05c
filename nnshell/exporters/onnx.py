"""The ONNX exporter: a graph, or nodes under construction, as an ONNX model.

A file written from a graph computes the graph's float meaning; the float engine runs the same
model. The integer engine lowers a quantized graph to ``ForeignGraph`` nodes and turns them into a
model here. Every tensor has a leading batch axis of any length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from nnshell import __version__
from nnshell.ir.flat import Tensor
from nnshell.ir.foreign import ForeignGraph, ForeignNode
from nnshell.ir.graph import Graph, Node, all_nodes
from nnshell.ir.types import TensorType
from nnshell.support.errors import GraphError

OPSET = 21  # every operator used here is in it, and ONNX Runtime runs it
IR_VERSION = 10  # the oldest that goes with the opset; later ones are refused by some runtimes

_ELEMENT_TYPES = {
    "float32": onnx.TensorProto.FLOAT,
    "float64": onnx.TensorProto.DOUBLE,
    "uint8": onnx.TensorProto.UINT8,
    "int8": onnx.TensorProto.INT8,
    "uint16": onnx.TensorProto.UINT16,
    "int16": onnx.TensorProto.INT16,
    "int32": onnx.TensorProto.INT32,
    "int64": onnx.TensorProto.INT64,
    "bool": onnx.TensorProto.BOOL,
}


@dataclass(frozen=True, slots=True)
class Port:
    """A graph input or output of the model; ``type`` has no batch axis."""

    name: str
    type: TensorType
    batched: bool = True


def export_onnx(graph: Graph, outputs: Sequence[str] | None = None) -> onnx.ModelProto:
    """The float meaning of ``graph`` as an ONNX model.

    ``outputs`` are the tensors to expose, by default the graph outputs: ``NODE`` is output 0 of a
    node, ``NODE[1]`` output 1, ``FUSION/NODE`` that of a node inside a fusion. Raises GraphError
    for a key that does not exist.
    """
    keys = list(dict.fromkeys(outputs if outputs is not None else _output_names(graph)))
    return GraphWriter(graph).model(keys)


def export_bytes(graph: Graph, outputs: Sequence[str] | None = None) -> bytes:
    """``export_onnx``, serialized."""
    return to_bytes(export_onnx(graph, outputs))


def foreign_to_model(
    build: ForeignGraph, inputs: Sequence[Port], outputs: Sequence[Port], name: str = "graph"
) -> onnx.ModelProto:
    """The nodes of ``build`` that lead to ``outputs`` as an ONNX model."""
    nodes = _leading_to({port.name for port in outputs}, build.nodes)
    used = {tensor for node in nodes for tensor in node.inputs}
    initializers = [
        onnx.numpy_helper.from_array(np.ascontiguousarray(value), tensor)
        for tensor, value in build.constants.items()
        if tensor in used
    ]
    model_graph = onnx.helper.make_graph(
        [node_proto(node) for node in nodes],
        name,
        [_port_proto(port) for port in inputs],
        [_port_proto(port) for port in outputs],
        initializers,
    )
    domains = {node.domain for node in nodes} - {""}
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    opsets += [onnx.helper.make_opsetid(domain, 1) for domain in sorted(domains)]
    return onnx.helper.make_model(
        model_graph,
        ir_version=IR_VERSION,
        opset_imports=opsets,
        producer_name="nnshell",
        producer_version=__version__,
    )


def foreign_to_bytes(
    build: ForeignGraph, inputs: Sequence[Port], outputs: Sequence[Port], name: str = "graph"
) -> bytes:
    """``foreign_to_model``, serialized."""
    return to_bytes(foreign_to_model(build, inputs, outputs, name))


def _keys(graph: Graph) -> Iterator[tuple[str, int, Node]]:
    """(key, output number, node) of every output of every node."""
    for name, node, _ in all_nodes(graph):
        for index in range(len(node.outputs)):
            yield Tensor(name, index).key, index, node


def _output_names(graph: Graph) -> list[str]:
    return [node.name for node in graph.outputs]


class GraphWriter:
    """Writes a graph node by node; ``tensors`` finds the ONNX tensor that a key names."""

    def __init__(self, graph: Graph, *, inner: bool = False) -> None:
        """With ``inner`` tensors within operators have keys as well, ``NODE:NAME``."""
        self.graph = graph
        self._inner = inner
        self.build = ForeignGraph()
        self.types = {key: node.outputs[index] for key, index, node in _keys(graph)}
        self.constants = {key for key, _, node in _keys(graph) if node.op.role == "constant"}
        for key in self.types:
            self.build.fresh(key)  # reserved, so that tensors can be called what their node is
        self.tensors: dict[str, str] = {}
        self._write(graph, "")

    @property
    def input_ports(self) -> list[Port]:
        """Name and type of each graph input, in order."""
        return [Port(node.name, node.type) for node in self.graph.inputs]

    def tensors_of(self, keys: Sequence[str]) -> dict[str, str]:
        """The ONNX tensors that keys name, called what their nodes are where that is possible."""
        for key in keys:
            if key not in self.tensors:
                raise GraphError(f"no tensor is called '{key}'", where=self.graph.name)
        self._name_tensors(keys)
        return {key: self.tensors[key] for key in keys}

    def model(self, keys: Sequence[str]) -> onnx.ModelProto:
        """The ONNX model with these keys as outputs; GraphError for one that is no tensor's."""
        self.tensors_of(keys)
        for key in keys:
            if self.tensors[key] != key:  # the same tensor as another key's
                self.build.node("Identity", [self.tensors[key]], output=key)
        outputs = [Port(key, self.types[key], key not in self.constants) for key in keys]
        return foreign_to_model(self.build, self.input_ports, outputs, self.graph.name)

    def _write(self, graph: Graph, scope: str, values: Sequence[str] = ()) -> list[str]:
        """Write ``graph``, a fusion's body with its inputs or the whole; its output tensors."""
        for node in graph.steps():
            key = f"{scope}{node.name}"
            number = node.op.port if node.op.role == "input" else None
            if number is not None:
                results: Sequence[str] = [self._write_input(node, number, values)]
            else:
                results = self._write_node(graph, node, key, scope)
            for index, tensor in enumerate(results):
                self.tensors[Tensor(key, index).key] = tensor
        return [self.tensors[f"{scope}{node.name}"] for node in graph.outputs]

    def _write_input(self, node: Node, index: int, values: Sequence[str]) -> str:
        """The tensor of a graph input, or what a fusion is given for its input."""
        return values[index] if values else node.name

    def _inputs(self, node: Node, scope: str) -> list[str]:
        return [
            self.tensors[f"{scope}{ref.node}[{ref.index}]" if ref.index else f"{scope}{ref.node}"]
            for ref in node.inputs
        ]

    def _write_node(self, graph: Graph, node: Node, key: str, scope: str) -> Sequence[str]:
        value = node.op.known_value
        if value is not None:
            return [self.build.constant(_narrowed(value), f"{key}_value")]
        inputs = self._inputs(node, scope)
        if node.op.role == "fusion":
            if node.body is None:
                raise GraphError("a fusion without a body", where=f"node {key}")
            return self._write(node.body, f"{key}/", inputs)
        types = graph.input_types(node)
        results = node.op.to_onnx(self.build, inputs, types, node.outputs)
        if self._inner and node.op.inner_ranges:
            tensors = node.op.inner_tensors(self.build, inputs, results, types)
            self.tensors.update({inner_key(key, name): x for name, x in tensors.items()})
        return results

    def _name_tensors(self, targets: Sequence[str]) -> None:
        """Call each tensor what the node that makes it is called, wanted keys first."""
        inputs = {node.name for node in self.graph.inputs}
        names: dict[str, str] = {name: name for name in inputs}
        for key in (*targets, *self.types):
            tensor = self.tensors[key]
            if tensor not in self.build.constants and key in self.types:
                names.setdefault(tensor, key)
        self.build.nodes = [renamed_node(node, names) for node in self.build.nodes]
        self.tensors = {key: names.get(tensor, tensor) for key, tensor in self.tensors.items()}


def inner_key(node: str, name: str) -> str:
    """The key of a tensor within an operator (``Operator.inner_tensors``)."""
    return f"{node}:{name}"


def renamed_node(node: ForeignNode, names: Mapping[str, str]) -> ForeignNode:
    inputs = tuple(names.get(tensor, tensor) for tensor in node.inputs)
    outputs = tuple(names.get(tensor, tensor) for tensor in node.outputs)
    return replace(node, name=outputs[0], inputs=inputs, outputs=outputs)


def _narrowed(value: NDArray[Any]) -> NDArray[Any]:
    """Real constants as float32, which is what the graph computes in.

    Subnormal weights, which training with weight decay leaves behind, become 0: they change no
    result, and processors multiply them up to a hundred times more slowly.
    """
    if value.dtype.kind != "f":
        return value
    narrow = value.astype(np.float32)
    return np.where(np.abs(narrow) < np.finfo(np.float32).tiny, np.float32(0), narrow)


def _leading_to(tensors: set[str], nodes: Sequence[ForeignNode]) -> list[ForeignNode]:
    """The nodes that ``tensors`` depend on; ``nodes`` are in order of execution."""
    needed = set(tensors)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    return kept[::-1]


def node_proto(node: ForeignNode) -> onnx.NodeProto:
    proto = onnx.helper.make_node(
        node.op, node.inputs, node.outputs, name=node.name, domain=node.domain
    )
    for name, value in node.attributes.items():
        argument: Any = value
        if isinstance(value, np.ndarray):
            argument = onnx.numpy_helper.from_array(value)
        proto.attribute.append(onnx.helper.make_attribute(name, argument))
    return proto


def _port_proto(port: Port) -> onnx.ValueInfoProto:
    batch = ["N"] if port.batched else []
    return onnx.helper.make_tensor_value_info(
        port.name, _ELEMENT_TYPES[port.type.dtype], [*batch, *port.type.shape]
    )


def to_bytes(model: onnx.ModelProto) -> bytes:
    """The model, serialized; GraphError beyond the 2 GB that one protobuf file can hold."""
    try:
        data: bytes = model.SerializeToString()
    except ValueError as error:
        raise GraphError("the model is too large to be written as one file") from error
    return data
