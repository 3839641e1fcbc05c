"""Random graphs of all registered operators: chains and branches around filters, pools, moves.

Operators come from the registry with the examples they give of themselves, so a new one is in the
company as soon as it is registered. Between them stand convolutions, pools, pads and transposes,
channels last too, and adapters that bring a tensor to the shape that an example wants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.engines import tensor_keys
from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.basic_operators import Input, Output, Reshape
from nnshell.ir.examples import random_inputs
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.operator import OPERATORS, Example, Operator
from nnshell.ir.types import Layout, Origin, TensorType
from nnshell.ir.work import Window
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.linear import Linear
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.pad import Pad
from nnshell.ops.relu import Relu
from nnshell.ops.resize import NearestNeighborResizer
from nnshell.ops.transpose import Transpose
from nnshell.support.errors import GraphError

Batch = list[NDArray[Any]]
LARGEST = 1500  # elements of a tensor
WILDEST = 1e4  # a value beyond it makes comparisons meaningless
_NUDGE = np.float32(1 + 2e-6)
_WORST = 2e-4  # change of an output, relative to its largest value, that a nudge may make


@cache
def examples() -> tuple[Example, ...]:
    """Of every registered operator that has any."""
    return tuple(example for kind in sorted(OPERATORS) for example in OPERATORS[kind].examples())


@dataclass(frozen=True, eq=False)
class Company:
    """A graph, samples for it, and what it is made of."""

    graph: Graph
    batch: Batch
    seed: int
    rejected: int  # drawn before it, and too sensitive to compare

    @property
    def kinds(self) -> set[str]:
        return {node.kind for node in self.graph}


def company(seed: int, size: int = 6) -> Company:
    """The graph of a seed: the first of its draws whose float results are well behaved."""
    for attempt in range(100):
        random = Random(f"{seed}/{attempt}")
        graph = _Builder(random).build(random.randint(2, size))
        batch = [
            array * np.float32(0.5) if array.dtype == np.float32 else array
            for array in random_inputs(graph, 6, seed)
        ]
        if _behaves(graph, batch):
            return Company(graph, batch, seed, attempt)
    raise AssertionError(f"no draw of seed {seed} behaves")


def _behaves(graph: Graph, batch: Batch) -> bool:
    """Whether values are moderate and a change in the last digits stays one."""
    engine = FloatEngine(graph, tensor_keys(graph), threads=1)
    with np.errstate(all="ignore"):
        plain = engine.run(batch)
        nudged = engine.run([a * _NUDGE if a.dtype == np.float32 else a for a in batch])
    for key, values in plain.items():
        if not np.isfinite(values).all() or np.abs(values).max(initial=0) > WILDEST:
            return False
        largest = float(np.abs(values).max(initial=0)) + 1e-6
        if np.abs(values - nudged[key]).max(initial=0) > _WORST * largest:
            return False
    return True


class _Builder:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.numbers = np.random.default_rng(random.randrange(1 << 30))
        self.graph = Graph("company")
        self.tensors: list[Ref] = []

    def build(self, count: int) -> Graph:
        first = self.random.choice(examples())
        kind = next(t for t, v in _operands(first) if v is None)
        self._input(kind)
        self._place(first)
        self.tensors = [ref for ref in self.tensors if self._type(ref).dtype == "float32"]
        for _ in range(count):
            self._step()
        self._outputs()
        self.graph.prune()
        self.graph.infer_types()
        return self.graph

    # -- steps -----------------------------------------------------------------------------

    def _step(self) -> None:
        steps = ((6, self._any_example), (2, self._filter), (2, self._pool), (1, self._pad))
        more = ((2, self._transpose), (1, self._relu), (1, self._branch), (1, self._channels_last))
        weights, chosen = zip(*steps, *more, strict=True)
        self.random.choices(chosen, weights)[0]()

    def _any_example(self) -> None:
        """Of any operator alike, however many examples it gives."""
        kind = self.random.choice(sorted({example.op.kind for example in examples()}))
        self._place(self.random.choice([e for e in examples() if e.op.kind == kind]))

    def _relu(self) -> None:
        self._node(Relu(), self._last())

    def _branch(self) -> None:
        """An earlier tensor is taken up again."""
        self.tensors.append(self.random.choice(self.tensors))

    def _filter(self) -> None:
        kernel = self.random.choice((1, 3))
        pads = self.random.choice((0, kernel // 2))
        x = self._image(self._last(), 3)
        channels = self._shape(x)[0]
        groups = channels if self.random.random() < 0.3 else 1
        filters = groups if groups > 1 else self.random.randint(1, 6)
        self._conv(x, filters, kernel, pads, groups)

    def _pool(self) -> None:
        x = self._image(self._last(), 3)
        pads = (1, 1, 1, 1) if self.random.random() < 0.3 else (0, 0, 0, 0)
        window = Window((2, 2), (2, 2)) if not any(pads) else Window((3, 3), (2, 2), (1, 1), pads)
        self._node(self.random.choice((MaxPool, AveragePool))(window), x)

    def _pad(self) -> None:
        x = self._last()
        pads = tuple((self.random.randint(0, 1), self.random.randint(0, 1)) for _ in self._shape(x))
        if pads:
            self._node(Pad(pads, self.random.choice((0.0, 0.0, 1.0))), x)

    def _transpose(self) -> None:
        x = self._last()
        order = list(range(len(self._shape(x))))
        self.random.shuffle(order)
        if len(order) > 1:
            self._node(Transpose(tuple(order)), x)

    def _channels_last(self) -> None:
        """An example between transposes, as exporters that keep channels last write it."""
        x = self._image(self._last(), 1)
        self._node(Transpose((1, 2, 0)), x)
        fitting = [e for e in examples() if len(_operands(e)) == 1]
        self._place(self.random.choice(fitting))
        x = self._last()
        if len(self._shape(x)) == 3:
            self._node(Transpose((2, 0, 1)), x)

    # -- an example among what there is ----------------------------------------------------

    def _place(self, example: Example) -> None:
        operands = _operands(example)
        pixels = any(t.dtype != "float32" for t, v in operands if v is None)
        if pixels and len(self.graph) > 1:
            return  # they are for graph inputs
        refs = self._as_it_comes(example, operands)
        if refs is None:
            refs = [self._constant(v) if v is not None else self._fitting(t) for t, v in operands]
        self._node(example.op, *refs)

    def _as_it_comes(
        self, example: Example, operands: Sequence[tuple[TensorType, NDArray[Any] | None]]
    ) -> list[Ref] | None:
        """The operator on the last tensor, whatever its shape, where it takes that."""
        x = self._last()
        wanted = {t.shape for t, v in operands if v is None}
        if len(wanted) != 1 or self._type(x).dtype != next(iter(operands))[0].dtype:
            return None
        constants = [None if v is None else TensorType(v.shape) for _, v in operands]
        types = [self._type(x) if t is None else t for t in constants]
        try:
            outputs = example.op.infer(types)
        except (GraphError, ValueError, IndexError):
            return None
        if max(t.size for t in outputs) > LARGEST:
            return None
        alike = [ref for ref in self.tensors if self._type(ref).shape == self._shape(x)]
        refs, first = [], True
        for _, value in operands:
            if value is not None:
                refs.append(self._constant(value))
            else:
                refs.append(x if first else self.random.choice(alike))
                first = False
        return refs

    def _fitting(self, wanted: TensorType) -> Ref:
        """A tensor of a type: one that there is, or the last one, adapted."""
        alike = [ref for ref in self.tensors if self._type(ref) == wanted]
        if alike and self.random.random() < 0.7:
            return self.random.choice(alike)
        x = self._last()
        shape = wanted.shape
        if self._shape(x) == shape:
            return x
        if math.prod(self._shape(x)) == math.prod(shape):
            return self._node(Reshape(shape), x)
        if wanted.layout is Layout.HWC:
            channels_first = (shape[2], *shape[:2])
            x = self._image(self._fitting(TensorType(channels_first, Layout.CHW)), 1)
            return self._node(Transpose((1, 2, 0)), x)
        if len(shape) == 3 and len(self._shape(x)) == 3:
            if self._shape(x)[1:] != shape[1:]:
                x = self._node(NearestNeighborResizer(shape[1:], "asymmetric"), x)
            return x if self._shape(x) == shape else self._conv(x, shape[0], 1, 0, 1)
        x = self._linear(x, math.prod(shape))
        return x if self._shape(x) == shape else self._node(Reshape(shape), x)

    def _image(self, x: Ref, least: int) -> Ref:
        """The tensor as a feature map of at least ``least`` rows and columns."""
        shape = self._shape(x)
        if len(shape) == 3 and min(shape[1:]) >= least and math.prod(shape) <= LARGEST:
            return x
        if len(shape) != 3:
            return self._node(Reshape((2, 4, 4)), self._linear(x, 32))
        size = tuple(min(max(n, least), 8) for n in shape[1:])
        x = self._node(NearestNeighborResizer((size[0], size[1]), "asymmetric"), x)
        return x if shape[0] <= 16 else self._conv(x, 4, 1, 0, 1)

    # -- nodes -----------------------------------------------------------------------------

    def _conv(self, x: Ref, filters: int, kernel: int, pads: int, groups: int) -> Ref:
        fan_in = self._shape(x)[0] // groups * kernel * kernel
        weights = self._normal(filters, self._shape(x)[0] // groups, kernel, kernel)
        window = Window((kernel, kernel), pads=(pads,) * 4)
        operands = (weights / np.float32(math.sqrt(fan_in)), self._normal(filters))
        return self._node(Conv2D(window, groups), x, *map(self._constant, operands))

    def _linear(self, x: Ref, outputs: int) -> Ref:
        size = math.prod(self._shape(x))
        weights = self._normal(outputs, size) / np.float32(math.sqrt(size))
        return self._node(Linear(), x, *map(self._constant, (weights, self._normal(outputs))))

    def _normal(self, *shape: int) -> NDArray[np.float32]:
        return self.numbers.normal(size=shape).astype(np.float32)

    def _input(self, kind: TensorType) -> Ref:
        index = len(self.graph.inputs)
        node = Node(f"input_{index + 1}", Input(kind, index), [], (kind,))
        self.tensors.append(Ref(self.graph.add(node).name))
        return self.tensors[-1]

    def _constant(self, value: NDArray[Any]) -> Ref:
        return Ref(self.graph.add(constant_node(self.graph.unique_name("k"), value)).name)

    def _node(self, op: Operator, *refs: Ref) -> Ref:
        name = self.graph.unique_name(f"n{len(self.graph)}_{op.kind}")
        types = op.infer([self._type(ref) for ref in refs])
        self.graph.add(Node(name, op, list(refs), types, Origin(name)))
        self.tensors += [Ref(name, index) for index in range(len(types))]
        return self.tensors[-1]

    def _outputs(self) -> None:
        computed = [ref for ref in self.tensors if self._type(ref).dtype == "float32"]
        computed = [ref for ref in computed if self.graph[ref.node].op.role != "input"]
        extra = self.random.sample(computed, min(len(computed), self.random.randint(0, 1)))
        for index, ref in enumerate(dict.fromkeys((computed[-1], *extra))):
            kind = self._type(ref)
            self.graph.add(Node(f"output_{index + 1}", Output(index), [ref], (kind,)))

    def _last(self) -> Ref:
        x = self.tensors[-1]
        return self._linear(x, 24) if math.prod(self._shape(x)) > LARGEST else x

    def _type(self, ref: Ref) -> TensorType:
        return self.graph.type_of(ref)

    def _shape(self, ref: Ref) -> tuple[int, ...]:
        return self._type(ref).shape


def _operands(example: Example) -> list[tuple[TensorType, NDArray[Any] | None]]:
    constants = example.constants or (None,) * len(example.inputs)
    return list(zip(example.inputs, constants, strict=True))
