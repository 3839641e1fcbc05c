"""Nodes as a model file spells them, free of onnx types.

Importers turn a file into ``ForeignNode`` objects and hand them to the functions registered in
``ops``; operators write themselves as ``ForeignNode`` objects into a ``ForeignGraph`` for the ONNX
exporter (float meaning) and for the fast integer engine (integer meaning).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

AttributeValue = (
    int | float | str | bytes | Sequence[int] | Sequence[float] | Sequence[str] | NDArray[Any]
)


@dataclass(frozen=True, slots=True, eq=False)
class ForeignNode:
    """An operator of the file; ``inputs`` and ``outputs`` name tensors, "" is one left out."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    domain: str = ""


class ForeignGraph:
    """An ONNX graph under construction (opset of the exporter), batch axis before."""

    def __init__(self) -> None:
        self.nodes: list[ForeignNode] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._names: set[str] = set()
        self._batchless: set[str] = set()  # computed tensors that have no batch axis
        self._copies: dict[str, int] = {}  # how often a name was asked for again

    def fresh(self, hint: str) -> str:
        """A tensor name that is not taken yet."""
        name, count = hint, self._copies.get(hint, 0)
        while name in self._names:
            count += 1
            name = f"{hint}__{count}"
        self._names.add(name)
        self._copies[hint] = count
        return name

    def constant(
        self, value: NDArray[Any] | np.generic | float | int, hint: str = "constant"
    ) -> str:
        """Store an initializer (dtype as given) and return its tensor name."""
        name = self.fresh(hint)
        self.constants[name] = np.asarray(value)
        return name

    def batchless(self, name: str) -> bool:
        """Whether a tensor has no batch axis: a constant, or one computed of constants."""
        return name in self.constants or name in self._batchless

    def mark_batchless(self, name: str) -> str:
        """Say that a node's result has no batch axis; returns its name."""
        self._batchless.add(name)
        return name

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        hint: str = "",
        output: str = "",
        domain: str = "",
    ) -> str:
        """Append a node with one output; returns the output's tensor name."""
        return self.multi(op, inputs, 1, attributes, hint=hint, output=output, domain=domain)[0]

    def multi(
        self,
        op: str,
        inputs: Sequence[str],
        count: int,
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        hint: str = "",
        output: str = "",
        domain: str = "",
    ) -> tuple[str, ...]:
        """Append a node with ``count`` outputs; returns their tensor names."""
        stem = hint or op
        if output:
            self._names.add(output)
        outputs = (output,) if output else tuple(self.fresh(stem) for _ in range(count))
        self.nodes.append(
            ForeignNode(op, outputs[0], tuple(inputs), outputs, attributes or {}, domain)
        )
        return outputs


def with_batch(build: ForeignGraph, shape: tuple[int, ...]) -> str:
    """The constant that ONNX's Reshape takes to give ``shape`` after any number of samples."""
    return build.constant(np.array([-1, *shape], np.int64), "shape")
