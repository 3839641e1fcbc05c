"""Chains of moves over all axes, the batch axis of 1 too: the file's function, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest

from nnshell.execution.float_engine import FloatEngine
from nnshell.importers.onnx.importer import import_onnx
from nnshell.support.errors import ModelError

from .conftest import runtime
from .parts import ints, node, zeros

Save = Callable[..., Path]
SEEDS = 120
LARGEST = 200  # elements of a tensor


class Chain:
    """Nodes over a tensor ``x`` whose shape is followed along."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.inputs = [1] + [self.random.randint(1, 4) for _ in range(self.random.randint(1, 3))]
        self.shape = list(self.inputs)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray[Any, Any]] = {}
        steps = (self.gather, self.concat, self.slice, self.transpose, self.squeeze,
                 self.unsqueeze, self.reshape, self.multiply, self.reduce, self.pad)  # fmt: skip
        for _ in range(self.random.randint(2, 5)):
            if self.shape and math.prod(self.shape) <= LARGEST:
                self.random.choice(steps)()

    @property
    def last(self) -> str:
        return self.nodes[-1].output[0] if self.nodes else "x"

    def add(self, op: str, *constants: Any, shape: list[int], **attributes: Any) -> None:
        names = []
        for value in constants:
            names.append(f"c{len(self.constants)}")
            self.constants[names[-1]] = np.asarray(value)
        operands = [self.last, *names] if op != "Concat" else [self.last, self.last]
        self.nodes.append(node(op, *operands, outputs=(f"t{len(self.nodes)}",), **attributes))
        self.shape = shape

    def axis(self) -> int:
        return self.random.randrange(len(self.shape))

    def gather(self) -> None:
        axis = self.axis()
        indices = [
            self.random.randrange(self.shape[axis]) for _ in range(self.random.randint(1, 3))
        ]
        whole = np.array(indices if self.random.random() < 0.8 else indices[0], np.int64)
        shape = [*self.shape[:axis], *whole.shape, *self.shape[axis + 1 :]]
        self.add("Gather", whole, shape=shape, axis=axis)

    def concat(self) -> None:
        axis = self.axis()
        shape = [n * (2 if i == axis else 1) for i, n in enumerate(self.shape)]
        self.add("Concat", shape=shape, axis=axis)

    def slice(self) -> None:
        axis = self.axis()
        start = self.random.randrange(self.shape[axis])
        shape = [n - start if i == axis else n for i, n in enumerate(self.shape)]
        self.add("Slice", ints(start), ints(self.shape[axis]), ints(axis), shape=shape)

    def transpose(self) -> None:
        order = list(range(len(self.shape)))
        self.random.shuffle(order)
        self.add("Transpose", shape=[self.shape[i] for i in order], perm=order)

    def squeeze(self) -> None:
        ones = [i for i, n in enumerate(self.shape) if n == 1]
        if ones:
            gone = self.random.choice(ones)
            self.add("Squeeze", ints(gone), shape=self.shape[:gone] + self.shape[gone + 1 :])

    def unsqueeze(self) -> None:
        new = self.random.randint(0, len(self.shape))
        self.add("Unsqueeze", ints(new), shape=[*self.shape[:new], 1, *self.shape[new:]])

    def reshape(self) -> None:
        size = math.prod(self.shape)
        part = self.random.choice([n for n in range(1, size + 1) if size % n == 0])
        rest = size // part
        shape = self.random.choice([[part, rest], [1, part, rest], [size], [part, 1, rest]])
        self.add("Reshape", ints(*shape), shape=shape)

    def multiply(self) -> None:
        shape = [1 if self.random.random() < 0.4 else n for n in self.shape]
        shape = shape[self.random.randint(0, len(shape) - 1) :]
        numbers = np.random.default_rng(len(self.nodes)).normal(size=shape).astype(np.float32)
        self.add("Mul", numbers, shape=self.shape)

    def reduce(self) -> None:
        axis = self.axis()
        self.add("ReduceMean", ints(axis), keepdims=1,
                 shape=[1 if i == axis else n for i, n in enumerate(self.shape)])  # fmt: skip

    def pad(self) -> None:
        axis = self.axis()
        pads = [int(i == axis) for i in range(2 * len(self.shape))]
        shape = [n + 1 if i == axis else n for i, n in enumerate(self.shape)]
        self.add("Pad", np.array(pads), shape=shape)


def test_the_function_is_the_files_or_it_is_refused(save: Save) -> None:
    same = 0
    for seed in range(SEEDS):
        chain = Chain(seed)
        if not chain.nodes:
            continue
        path = save(
            nodes=chain.nodes,
            inputs={"x": chain.inputs},
            outputs=(chain.last,),
            constants=chain.constants,
        )
        x = np.random.default_rng(seed).normal(size=chain.inputs).astype(np.float32)
        (expected,) = runtime(path).run(None, {"x": x})
        try:
            graph = import_onnx(path).graph
        except ModelError:
            continue
        (result,) = FloatEngine(graph, threads=1).run([x]).values()
        np.testing.assert_allclose(
            result.reshape(-1), expected.reshape(-1), 1e-4, 1e-5, err_msg=f"seed {seed}"
        )
        same += 1
    assert same > SEEDS / 2


def test_a_sample_is_gathered_as_often_as_the_indices_say(save: Save) -> None:
    gather = node("Gather", "x", "i", axis=0)
    path = save(nodes=[gather], inputs={"x": [1, 3, 4]}, constants={"i": ints(0, -1)})
    graph = import_onnx(path).graph
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    (result,) = FloatEngine(graph, threads=1).run([x]).values()
    np.testing.assert_array_equal(result, np.stack([x[0], x[0]])[np.newaxis])


def test_a_product_over_samples_is_refused_for_what_it_is(save: Save) -> None:
    path = save(
        nodes=[node("Gemm", "x", "w", transA=1)],
        inputs={"x": [1, 12]},
        constants={"w": zeros(1, 5)},
    )
    with pytest.raises(ModelError, match="transA = 1; accepted: 0"):
        import_onnx(path)
