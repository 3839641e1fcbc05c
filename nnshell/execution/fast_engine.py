"""The fast integer engine: the whole quantized graph as one ONNX graph of exact float arithmetic.

It gives what ``IntegerEngine`` gives, to the bit (``nnshell.ir.integer_graph``), for as many
samples at a time as keep the caches warm. Where a graph cannot be lowered exactly, the reference
runs instead and ``fallback_reason`` says why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.chunks import samples_per_chunk
from nnshell.execution.integer_engine import IntegerEngine, result_tensors
from nnshell.execution.sessions import RUNTIME_ERRORS, Session
from nnshell.exporters.onnx import Port, foreign_to_bytes
from nnshell.ir.arithmetic import arithmetic_of
from nnshell.ir.basic_operators import Constant
from nnshell.ir.flat import FlatGraph, Item, Tensor, flatten
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.graph import Graph
from nnshell.ir.integer_graph import CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.types import TensorType
from nnshell.lowering.requantize import settled
from nnshell.ops.clip import Clip
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.relu import Relu, Relu6, ReluN
from nnshell.support.errors import InputError, NNShellError

_LOG = logging.getLogger(__name__)

# Optimizers of ONNX Runtime that change the order or the place of a rounding, or a border.
_INEXACT = (
    "CastChainElimination",
    "ConvAddActivationFusion",
    "ConvAddFusion",
    "ConvBNFusion",
    "ConvMulFusion",
    "DivMulFusion",
    "EnsureUniqueDQForNodeUnit",
    "GemmSumFusion",
    "MatMulAddFusion",
    "MatMulScaleFusion",
    "MatMul_BatchNormalization_Fusion",
    "Pad_Fusion",
    "QDQPropagationTransformer",
    "QDQS8ToU8Transformer",
    "QDQSelectorActionTransformer",
    "WeightBiasQuantization",
)


_BEFORE_REQUANTIZATION = (Relu, Relu6, ReluN, Clip, MaxPool)


class FastEngine:
    """Runs a quantized graph over batches in ONNX Runtime, bit for bit as the reference.

    ``keys`` are the tensors to compute, by default the graph outputs; ``target`` is as in
    ``IntegerEngine``; ``threads`` are those of one operator, by default one per core. The graph is
    read once, when the engine is made. Raises QuantizationError when the graph is not quantized,
    InputError for a key that does not exist.
    """

    def __init__(
        self,
        graph: Graph,
        keys: Sequence[str] | None = None,
        target: str = "simulation",
        threads: int | None = None,
    ) -> None:
        self._reference = IntegerEngine(graph, target)
        self.inputs = self._reference.inputs
        self.keys = list(keys) if keys is not None else list(self._reference.outputs)
        self.fallback_reason = ""
        self._name = graph.name
        for key in self.keys:
            self._reference.record(key)
        try:
            self._lowered = _Lowered(graph, self.keys, target == "chip")
            self._session = _session(self._lowered, threads)
        except CannotLower as error:
            self.fallback_reason = str(error)
        if self.fallback_reason:
            _LOG.debug("%s runs in the reference engine: %s", graph.name, self.fallback_reason)

    @property
    def implementation(self) -> str:
        """ "lowered", or "reference" where the graph could not be lowered."""
        return "reference" if self.fallback_reason else "lowered"

    def run(self, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Integers by key, samples first, with the element type of their record.

        ``batch`` is as in ``IntegerEngine.run``. Raises InputError when it does not fit.
        """
        if self.fallback_reason:
            return self._reference.run(batch, self.keys)
        feeds = self._reference.checked(batch)
        samples = len(batch[0])
        parts = [self._run_chunk(feeds, chunk) for chunk in self._chunks(samples)]
        joined = {name: _joined([part[name] for part in parts]) for name in parts[0]}
        return {key: joined[name] for key, name in self._lowered.outputs.items()}

    def _chunks(self, samples: int) -> Iterator[slice]:
        size = self._lowered.chunk
        return (slice(start, start + size) for start in range(0, max(samples, 1), size))

    def _run_chunk(
        self, feeds: Mapping[str, NDArray[Any]], chunk: slice
    ) -> dict[str, NDArray[Any]]:
        names = list(dict.fromkeys(self._lowered.outputs.values()))
        values = {name: np.ascontiguousarray(a[chunk], np.float32) for name, a in feeds.items()}
        try:
            results = self._session.run(names, values)
        except RUNTIME_ERRORS as error:
            reason = f"ONNX Runtime: {' '.join(str(error).split())}"
            raise NNShellError(reason, where=f"graph {self._name} in int8") from error
        return dict(zip(names, results, strict=True))


def _session(lowered: _Lowered, threads: int | None) -> Session:
    model = lowered.model()
    try:
        return open_exact_session(model, threads)
    except RUNTIME_ERRORS as error:
        raise CannotLower(f"ONNX Runtime: {' '.join(str(error).split())}") from error


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class _Lowered:
    """The ONNX graph of some tensors of a quantized graph.

    ``outputs`` says which of its outputs holds a key; ``chunk`` is how many samples to run at once.
    """

    def __init__(self, graph: Graph, keys: Sequence[str], chip: bool) -> None:
        self._graph = graph
        self._flat: FlatGraph = flatten(graph)
        self._build = IntegerGraph(chip, quantize_linear_is_exact())
        for node in graph.inputs:
            self._build.fresh(node.name)  # reserved
        self._tensors: dict[Tensor, IntegerTensor] = {}
        expected = result_tensors(graph, self._flat)
        kept = {expected[key] for key in keys}
        needed = self._flat.needed(kept)
        for item in self._flat.items:
            if item.path in needed:
                self._build.deferring = self._may_defer(item, kept)
                self._tensors.update(zip(item.outputs, self._lower(item), strict=True))
        self._ports: dict[str, Port] = {}
        self.outputs = {key: self._output(expected[key]) for key in keys}
        self.chunk = samples_per_chunk(self._flat)

    def model(self) -> bytes:
        """The ONNX model, serialized; inputs as the graph has them, an output for each key."""
        inputs = [Port(node.name, TensorType(node.type.shape)) for node in self._graph.inputs]
        ports = list(self._ports.values())
        return foreign_to_bytes(self._build, inputs, ports, self._graph.name)

    def _lower(self, item: Item) -> tuple[IntegerTensor, ...]:
        op, quantization = item.node.op, _quantization(item)
        if op.role == "constant":
            return (IntegerTensor("", (), 0, 0, constant=True),)
        if op.role == "input":
            return (self._input(item, quantization.output),)
        inputs = [self._operand(item, index) for index in range(len(item.inputs))]
        try:
            meaning = arithmetic_of(op, quantization.scheme)
            result = meaning.lower(quantization, self._build, inputs, item.node.outputs)
        except CannotLower as error:
            raise CannotLower(f"node {item.path}: {error}") from None
        return result if self._build.deferring else tuple(settled(self._build, x) for x in result)

    def _may_defer(self, item: Item, kept: set[Tensor]) -> bool:
        """Whether a single operator reads the node, one that works before requantization."""
        if len(item.outputs) != 1 or item.outputs[0] in kept:
            return False
        readers = self._flat.readers[item.outputs[0]]
        return len(readers) == 1 and isinstance(readers[0].item.node.op, _BEFORE_REQUANTIZATION)

    def _operand(self, item: Item, index: int) -> IntegerTensor:
        """An activation, or the integers of a constant; weights are in the kernel."""
        tensor = item.inputs[index]
        known = _quantization(item).constants
        value = known[index] if known else None
        if not isinstance(self._flat.maker(tensor).node.op, Constant):
            return self._tensors[tensor]
        if value is None:
            return self._tensors[tensor]
        return self._build.integers(np.asarray(value)[np.newaxis], tensor.path)

    def _input(self, item: Item, record: QParams) -> IntegerTensor:
        """floor(x / scale + 0.5) + zero point, saturated, in float64; pixels as they are."""
        build, name, shape = self._build, item.node.name, item.node.type.shape
        low, high = record.limits
        if record.dtype in ("uint8", "uint16"):
            return IntegerTensor(name, shape, low, high)
        scaled = build.node(
            "Div", [build.cast(name, "float64"), build.number(record.first_scale, True)]
        )
        rounded = build.node("Floor", [build.node("Add", [scaled, build.number(0.5, True)])])
        if record.zero_point:
            rounded = build.node("Add", [rounded, build.number(record.zero_point, True)])
        bounds = (build.number(low, True), build.number(high, True))
        clipped = build.node("Clip", [rounded, *bounds])
        return build.narrowed(IntegerTensor(clipped, shape, low, high, True))

    def _output(self, tensor: Tensor) -> str:
        """The model output with the integers of ``tensor`` in its record's element type."""
        item = self._flat.maker(tensor)
        dtype = _quantization(item).outputs[tensor.index].dtype
        result = self._tensors[tensor]
        same = result.narrow if result.narrow and result.narrow_type == dtype else ""
        name = self._build.node("Identity", [same or self._build.cast(result.name, dtype)])
        self._ports[name] = Port(name, replace(TensorType(result.shape), dtype=dtype))
        return name


def _quantization(item: Item) -> NodeQuantization:
    assert item.node.quantization is not None, f"{item.path} is not quantized"
    return item.node.quantization


def open_exact_session(model: bytes, threads: int | None = None) -> Session:
    """A session whose optimizer leaves every rounding where it is."""
    return Session(model, threads=threads, disabled=_INEXACT)


@cache
def quantize_linear_is_exact() -> bool:
    """Whether this ONNX Runtime divides in float32 and rounds halves to even, as specified."""
    random = np.random.default_rng(0)
    scale = np.exp(random.uniform(-2, 12, 64)).astype(np.float32)
    zero_point = random.integers(-128, 128, 64).astype(np.int8)
    halves = (np.arange(-260, 261) + 0.5)[:, np.newaxis] * scale
    x = np.stack([np.rint(halves), np.rint(halves) + 1, halves]).astype(np.float32)
    x = x.reshape(1, -1, scale.size).transpose(0, 2, 1).copy()
    build = ForeignGraph()
    operands = [build.constant(scale), build.constant(zero_point)]
    name = build.node("QuantizeLinear", ["x", *operands], {"axis": 1})
    shape = x.shape[1:]
    ports = [Port("x", TensorType(shape))], [Port(name, TensorType(shape, dtype="int8"))]
    try:
        result = open_exact_session(foreign_to_bytes(build, *ports), 1).run([name], {"x": x})[0]
    except RUNTIME_ERRORS:
        return False
    units = np.rint(x / scale[:, np.newaxis]) + zero_point[:, np.newaxis]
    return bool((result == np.clip(units, -128, 127)).all())


__all__ = ["FastEngine", "InputError", "open_exact_session", "quantize_linear_is_exact"]
