"""From the nodes of a model file to nodes of the graph: the part that all formats share.

An import function (``registry.imports``) sees the node through an ``ImportContext``, adds nodes to
its graph and says what the node's outputs are.

A model file has a batch axis, the graph has none. ``Value`` remembers where the file has it: any
axis, or none once the file has squeezed or reshaped it away, which only a batch of 1 allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Reshape
from nnshell.ir.foreign import ForeignNode
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.operator import Operator
from nnshell.ir.requests import Range
from nnshell.ir.types import Origin
from nnshell.reading.registry import (
    ImportNote,
    StoredTensor,
    Unsupported,
    Value,
    sanitized,
    without,
)
from nnshell.support.errors import GraphError

_AT_ONCE = 1 << 20  # elements of weights that are looked at together
MAX_ELEMENTS = 1 << 28  # of one tensor; a file that asks for more is corrupt or hopeless


@dataclass(frozen=True, slots=True)
class Options:
    """What the whole import is told."""

    fold_batchnorm: bool = True


@dataclass(frozen=True, slots=True)
class Naming:
    """What constants are called. ONNX's are called after their reader, and its spelling of it."""

    constants: Mapping[str, str] = field(default_factory=dict)  # by the file's tensor
    missing_bias: str = "biases"  # NODE_biases: zeros where the file has none


class ImportContext:
    """The graph under construction and the node being imported.

    ``values`` and ``constants`` hold the file's tensors by name; ``uses`` says how many nodes and
    graph outputs of the file read each.
    """

    def __init__(
        self,
        graph: Graph,
        batch_size: int,
        *,
        any_batch: bool,
        uses: dict[str, int],
        reserved: set[str],
        options: Options,
        naming: Naming | None = None,
    ) -> None:
        self.graph = graph
        self.notes: list[ImportNote] = []  # what became of nodes that leave none of their own
        self.batch_size = batch_size
        self.any_batch = any_batch  # the file leaves the batch size open
        self.uses = uses
        self.options = options
        self.naming = naming or Naming()
        self.values: dict[str, Value] = {}
        self.constants: dict[str, NDArray[Any]] = {}
        self.ranges: dict[Ref, Range] = {}  # that integers of the file can stand for
        self.wide_ranges: dict[Ref, Range] = {}
        self.stored: dict[Ref, StoredTensor] = {}  # those integers
        self._quantized: dict[Ref, str] = {}  # the tensor that holds those integers
        self.makers: dict[Ref, str] = {}  # the file's tensor that an output of a node stands for
        self._reserved = reserved
        self._copies: dict[str, int] = {}  # how often a name was wanted again
        self.node = ForeignNode("", "", (), ())
        self.name = ""
        self.origin = Origin()

    def begin(self, node: ForeignNode, name: str, origin: Origin) -> None:
        """Turn to the next node of the file; ``name`` is what it will be called in the graph."""
        self.node = node
        self.name = self.unique(name)
        self.origin = origin

    def unique(self, wanted: str) -> str:
        name, count = wanted, self._copies.get(wanted, 0)
        while name in self.graph or name in self._reserved:
            count += 1
            name = f"{wanted}_{count}"
        if count:
            self._copies[wanted] = count - 1  # where to go on looking
        return name

    # -- inputs of the node ----------------------------------------------------------------

    def has(self, index: int) -> bool:
        """Whether the node has input ``index``: optional ones may be left out."""
        return index < len(self.node.inputs) and self.node.inputs[index] != ""

    def is_constant(self, index: int) -> bool:
        """Whether input ``index`` is there and known when the file is read."""
        return self.has(index) and self.node.inputs[index] in self.constants

    def any_value(self, index: int) -> Value:
        """Input ``index``, computed by the network, of any element type."""
        if not self.has(index):
            raise Unsupported(f"input {index} is missing")
        name = self.node.inputs[index]
        if name in self.constants:
            raise Unsupported(
                f"input {index} '{name}' is a constant", accepted="a tensor the network computes"
            )
        if name not in self.values:
            raise Unsupported(f"input {index} '{name}' does not exist")
        return self.values[name]

    def value(self, index: int) -> Value:
        """Input ``index``, computed by the network, of real numbers."""
        value = self.any_value(index)
        if value.dtype != "float32":
            raise Unsupported(
                f"input {index} '{self.node.inputs[index]}' has element type {value.dtype}",
                accepted="real numbers",
                hint="cast it to float32 first",
            )
        return value

    def tensor(self, index: int) -> NDArray[Any] | None:
        """The constant input ``index``, or None when it is left out."""
        if not self.has(index):
            return None
        name = self.node.inputs[index]
        if name not in self.constants:
            raise Unsupported(
                f"input {index} '{name}' is not a constant",
                accepted="a constant",
                hint="export the model with fixed weights and shapes",
            )
        return self.constants[name]

    def integers_in(self, index: int) -> tuple[int, ...] | None:
        """The constant integers in input ``index``, or None when it is left out."""
        tensor = self.tensor(index)
        if tensor is None:
            return None
        if tensor.dtype.kind not in "iu":
            raise Unsupported(
                f"input {index} '{self.node.inputs[index]}' has element type {tensor.dtype}",
                accepted="integers",
            )
        return tuple(int(n) for n in tensor.reshape(-1))

    def weights(self, index: int) -> NDArray[Any]:
        """The constant input ``index`` as finite numbers, float64 where the file has it."""
        tensor = self.tensor(index)
        if tensor is None:
            raise Unsupported(f"input {index} is missing")
        return self.finite(tensor, self.node.inputs[index])

    def finite(self, tensor: NDArray[Any], name: str) -> NDArray[Any]:
        """The tensor as float32, or float64 where it is.

        Unsupported for other types, nothing at all, NaN and infinity.
        """
        if tensor.dtype.kind not in "fiu":
            raise Unsupported(f"'{name}' has element type {tensor.dtype}", accepted="real numbers")
        if not tensor.size:
            raise Unsupported(f"'{name}' is empty, of shape {list(tensor.shape)}")
        with np.errstate(over="ignore"):
            numbers = np.asarray(tensor).astype(np.float32, copy=False)  # arrays never change
        bad = _not_finite(numbers)
        if bad:
            raise Unsupported(
                f"'{name}' holds {bad} numbers that are NaN or infinite",
                accepted="finite float32 numbers",
                hint="train the model again: its weights have diverged",
            )
        return np.asarray(tensor) if tensor.dtype == np.float64 else numbers

    # -- attributes of the node ------------------------------------------------------------

    def integer(self, name: str, default: int) -> int:
        """A whole number of the node's attributes; Unsupported for anything else."""
        value = self.node.attributes.get(name, default)
        return int(value) if isinstance(value, int | float) else self.refuse(name)

    def real(self, name: str, default: float) -> float:
        """A number as the file has it: float32, widened."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, int | float) or not np.isfinite(value):
            self.refuse(name, accepted="a finite number")
        return float(value)

    def integers(self, name: str) -> tuple[int, ...] | None:
        """A list of whole numbers, None when the node has none; Unsupported for anything else."""
        value = self.node.attributes.get(name)
        if value is None:
            return None
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            self.refuse(name)
        return tuple(int(n) for n in value)

    def text(self, name: str, default: str, accepted: Sequence[str]) -> str:
        """A word of the node's attributes; Unsupported for one that is not accepted."""
        value = self.node.attributes.get(name, default)
        if value not in accepted:
            self.refuse(name, accepted=", ".join(accepted))
        return str(value)

    def refuse(self, attribute: str, *, accepted: str = "", hint: str = "") -> NoReturn:
        """The node cannot be imported because of an attribute's value."""
        value = self.node.attributes.get(attribute)
        raise Unsupported(f"{attribute} = {value}", accepted=accepted, hint=hint)

    def axis(self, axis: int, rank: int) -> int:
        """An axis of the file's shape counted from the front."""
        if not -rank <= axis < rank:
            raise Unsupported(f"axis {axis} of a tensor with {rank} axes")
        return axis % rank

    def inner_axis(self, axis: int, value: Value) -> int:
        """An axis of the file's shape as an axis of the graph's; not the batch axis."""
        front = self.axis(axis, len(value.shape))
        if front == value.batch:
            raise Unsupported(
                f"it works along axis {axis}, the batch axis",
                accepted="any other axis",
                hint="export the model so that samples do not mix",
            )
        return front - (value.batch is not None and front > value.batch)

    # -- batch axis ------------------------------------------------------------------------

    def at_batch(self, value: Value, position: int | None) -> Ref:
        """The tensor with its batch axis taken to be ``position``; only a batch of 1 can move."""
        if value.batch == position:
            return value.ref
        if self.batch_size != 1 or (position is not None and self._extent(value, position) != 1):
            text = "x".join(str(n) for n in value.shape)
            where = "no axis" if value.batch is None else f"axis {value.batch}"
            needed = "no batch axis" if position is None else f"it at axis {position}"
            raise Unsupported(
                f"{where} of {text} is the batch axis, the operator needs {needed}",
                hint="export the model with a batch of 1"
                if self.batch_size != 1
                else "export the model so that every operator has the batch axis first",
            )
        return self.reshaped(value.ref, without(value.shape, position))

    @staticmethod
    def _extent(value: Value, axis: int) -> int:
        return value.shape[axis] if axis < len(value.shape) else 0

    def front(self, value: Value) -> Ref:
        """The tensor with its batch axis before."""
        return self.at_batch(value, 0)

    def note_range(self, ref: Ref, limits: Range, *, wide: bool = False) -> None:
        """What integers can stand for, of a tensor that the file quantizes; the first counts.

        Where the same integers are read with another scale than they were made with, that counts.
        ``wide`` integers have more than 8 bits: they count where there is nothing else.
        """
        if wide:
            self.wide_ranges.setdefault(ref, limits)
            return
        if ref not in self.ranges:
            self._quantized[ref] = self.node.outputs[0]
        elif self._quantized.get(ref) != self.node.inputs[0]:
            return
        self.ranges[ref] = limits

    def note_absorbed(self, node: str, absorbed: str, how: str) -> None:
        """Remember for explanations that ``absorbed`` became a part of ``node``."""
        text = f"reading the model, {absorbed} {how} {node}"
        self.notes.append(ImportNote(node, absorbed, text))

    # -- building --------------------------------------------------------------------------

    def add(self, op: Operator, inputs: Sequence[Ref], suffix: str = "") -> Ref:
        """Add a node called like the file's, with ``suffix`` for a helper beside it."""
        name = self.unique(self.name + suffix)
        types = tuple(self.graph.type_of(ref) for ref in inputs)
        try:
            outputs = op.infer(types)
        except GraphError as error:
            raise Unsupported(str(error)) from error
        for result in outputs:
            if result.size > MAX_ELEMENTS or not all(result.shape):
                raise Unsupported(
                    f"its output has shape {result}", accepted=f"1 to {MAX_ELEMENTS} elements"
                )
        self.graph.add(Node(name, op, list(inputs), outputs, self.origin))
        return Ref(name)

    def add_constant(self, name: str, value: NDArray[Any]) -> Ref:
        """Add a constant that belongs to this node alone."""
        node = constant_node(self.unique(name), value, self.origin)
        return Ref(self.graph.add(node).name)

    def named_constant(self, index: int, value: NDArray[Any]) -> Ref:
        """Add the constant input ``index``, in the form ``value``, called after the file's."""
        name = self.node.inputs[index]
        called = self.naming.constants.get(name, f"constant_{sanitized(name)}")
        return self.add_constant(called, value)

    def parameter(self, index: int, value: NDArray[Any], role: str) -> Ref:
        """Add the constant input ``index``, in the form ``value``, called after the node.

        ``role`` is the end of its name. A format that names constants keeps the file's name, and
        has its own word for a bias that the file leaves out.
        """
        if self.has(index) and self.node.inputs[index] in self.naming.constants:
            return self.named_constant(index, value)
        return self.add_constant(f"{self.name}_{role}", value)

    def missing_bias(self, size: int) -> Ref:
        """Add zeros in place of a bias that the file leaves out."""
        zeros = np.zeros(size, np.float32)
        ref = self.add_constant(f"{self.name}_{self.naming.missing_bias}", zeros)
        self.graph[ref.node].origin = Origin(source=self.origin.source)  # not of the file
        return ref

    def reshaped(self, ref: Ref, shape: Sequence[int], suffix: str = "_reshape") -> Ref:
        """The tensor with another shape, without a node when it has that shape already."""
        targets = tuple(shape)
        if self.graph.type_of(ref).shape == targets:
            return ref
        return self.add(Reshape(targets), [ref], suffix)

    # -- outputs of the node ---------------------------------------------------------------

    def produce(
        self, ref: Ref, batch: int | None = 0, *, output: int = 0, dtype: str = "float32"
    ) -> None:
        """Output ``output`` of the node is ``ref``, with the batch axis at ``batch``."""
        shape = list(self.graph.type_of(ref).shape)
        if batch is not None:
            shape.insert(batch, self.batch_size)
        self.produce_value(Value(ref, tuple(shape), batch, dtype), output=output)

    def produce_value(self, value: Value, *, output: int = 0) -> None:
        """Make ``value`` what output ``output`` of the node is called."""
        name = self.node.outputs[output]
        self.makers.setdefault(value.ref, name)
        self.values[name] = self._with_batch_found(value)

    def _with_batch_found(self, value: Value) -> Value:
        """A leading axis of 1 is the batch again, where reshaping had lost it."""
        lost = value.batch is None and self.batch_size == 1
        if not lost or not value.shape or value.shape[0] != 1:
            return value
        return replace(value, ref=self.reshaped(value.ref, value.shape[1:]), batch=0)

    def needs_only(self, *outputs: int) -> None:
        """Refuse when an output other than these is used."""
        for index, name in enumerate(self.node.outputs):
            if index not in outputs and self.uses.get(name, 0):
                raise Unsupported(f"its output {index} '{name}' is used", accepted="output 0 only")

    def used_once(self, index: int) -> bool:
        """Whether this node alone reads what made input ``index``, and reads it directly."""
        name = self.node.inputs[index]
        return self.uses.get(name) == 1 and self.makers.get(self.values[name].ref) == name


def _not_finite(numbers: NDArray[Any]) -> int:
    """How many are NaN or infinite, without an array of the same size that says which."""
    flat = numbers.reshape(-1)
    pieces = (flat[start : start + _AT_ONCE] for start in range(0, flat.size, _AT_ONCE))
    return sum(piece.size - int(np.count_nonzero(np.isfinite(piece))) for piece in pieces)
