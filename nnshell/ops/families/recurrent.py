"""What RNN, GRU and LSTM share: one node reads a whole sequence, step by step.

Inputs are the sequence (T, I), then the constants in NNTool's order of slots: weights of the input
(S, I), weights of the state (S, S), biases (S), states before the first step (S). States may be
activations as well. Output 0 is the state after every step, (T, S), with a leading axis of 1 from
ONNX; then (1, S) each, the last h and the last c where somebody reads them.

In float it is ONNX's operator; see ``numeric.kernels.recurrent`` for the integers and
``recurrent_rules`` for the records.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Operator, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import INT8, RecordRule
from nnshell.ir.requests import QuantizeRequest
from nnshell.ir.types import TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
from nnshell.numeric.kernels.recurrent import RecurrentKernel, Step, product, run_steps
from nnshell.ops.families.shapes import INFOS_BYTES
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph

_LOG = logging.getLogger(__name__)

FloatArray = NDArray[np.float32]
STATES_AS_INPUTS = "RNN_STATES_AS_INPUTS"
STATE_RANGE = "range_state"  # what statistics call the range of the state after every step
_SEQUENCE = 0
BIAS_BYTES = 4  # int32


@dataclass(frozen=True)
class Recurrent(Operator):
    """A sequence read step by step; subclasses say what a step computes."""

    onnx_op: ClassVar[str] = ""
    slots: ClassVar[tuple[str, ...]] = ()  # constants, in the order of inputs 1, 2, ...
    input_weights: ClassVar[tuple[str, ...]] = ()  # slots, in the order that a step takes them
    states: ClassVar[tuple[str, ...]] = ()  # slots
    option_fields: ClassVar[Mapping[str, str]] = {
        "RNN_USE_HARDACT": "hard",
        "RNN_SAME_INOUT_SCALE": "same_scale",
        "OUTPUT_H_STATE": "last_h",
        STATES_AS_INPUTS: "",
    }
    misread: ClassVar[tuple[str, ...]] = ()  # slots that integers have in another scale
    reverse: bool = False
    stacked: bool = True  # output 0 has a leading axis of 1, as ONNX's axis of directions
    last_h: bool = False  # a further output, the state after the last step that is computed
    hard: bool = False  # integers by pieces of straight lines instead of tables
    same_scale: bool = False  # integers of input and state in one scale

    # -- shape and text --------------------------------------------------------------------

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        if len(inputs) != 1 + len(self.slots):
            raise GraphError(f"{self.kind} takes {1 + len(self.slots)} inputs, not {len(inputs)}")
        source = inputs[_SEQUENCE]
        if len(source.shape) != 2:
            raise GraphError(f"{self.kind} reads steps x inputs, not {source}")
        (steps, width), size = source.shape, inputs[1].shape[0]
        for slot, kind in zip(self.slots, inputs[1:], strict=True):
            expected = self._shape_of(slot, size, width)
            if kind.shape != expected:
                raise GraphError(f"{self.kind} has {slot} {kind}, not {TensorType(expected)}")
        results = (TensorType((1, steps, size) if self.stacked else (steps, size)),)
        return results + (TensorType((1, size)),) * self._more_outputs

    @property
    def _more_outputs(self) -> int:
        return int(self.last_h)

    def _shape_of(self, slot: str, size: int, width: int) -> tuple[int, ...]:
        if slot in self.input_weights:
            return size, width
        return (size, size) if slot.endswith("_w") else (size,)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"{'Reversed ' if self.reverse else ''}tanh"

    def macs(self, inputs: Types, outputs: Types, body: Graph | None = None) -> int:
        steps = inputs[_SEQUENCE].shape[0]
        matrices = (kind.size for kind in inputs[1:] if len(kind.shape) == 2)
        return steps * sum(matrices)

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        size = inputs[1].shape[0]
        of_slot = dict(zip(self.slots, stored.of_inputs(inputs)[1:], strict=True))
        matrices = sum(count for slot, count in of_slot.items() if slot.endswith("_w"))
        biases = sum(
            kind.size
            for slot, kind in zip(self.slots, inputs[1:], strict=True)
            if slot.endswith("_b")
        )
        shape = outputs[0].chw
        return Work(
            "recurrent",
            (inputs[_SEQUENCE].chw,),
            shape,
            shape,
            macs=self.macs(inputs, outputs),
            input_bytes=stored.of_inputs(inputs[:1]),
            output_bytes=stored.of_outputs(outputs),
            weight_bytes=matrices,
            gates=len(self.input_weights),
            constant_bytes=BIAS_BYTES * biases + 2 * size * len(self.states) + INFOS_BYTES,
        )

    @property
    def sequence_axis(self) -> int:
        return 1 if self.stacked else 0

    # -- float meaning ---------------------------------------------------------------------

    @abstractmethod
    def gates(self) -> tuple[tuple[str, str, str, str], ...]:
        """In ONNX's order: slots of input weights, state weights, input bias, state bias.

        An empty name stands for a bias of zeros.
        """

    def onnx_attributes(self) -> dict[str, Any]:
        """Attributes of the ONNX operator beside the number of states and the direction."""
        return {}

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        """Time first, as ONNX Runtime wants it, and back."""
        operands = dict(zip(("sequence", *self.slots), inputs, strict=True))
        sequence = build.node("Transpose", [inputs[_SEQUENCE]], {"perm": [1, 0, 2]})
        size = types[1].shape[0]
        direction = "reverse" if self.reverse else "forward"
        attributes = {"hidden_size": size, "direction": direction, **self.onnx_attributes()}
        parameters = self._parameters(build, operands, size)
        states = self._initial_states(build, operands, size)
        results = build.multi(
            self.onnx_op,
            [sequence, *parameters, "", *states],
            1 + len(self.states),
            attributes,
            hint=self.kind,
        )
        return self._in_our_order(build, results)

    def _parameters(
        self, build: ForeignGraph, operands: Mapping[str, str], size: int
    ) -> tuple[str, ...]:
        """W, R and B of ONNX: the gates one after the other."""
        weights, recurrent, of_input, of_state = zip(*self.gates(), strict=True)

        def stacked(slots: Sequence[str], hint: str) -> str:
            names = [operands[slot] if slot else "" for slot in slots]
            known = [build.constants.get(name) if name else np.zeros(size) for name in names]
            if all(value is not None for value in known):
                arrays = [np.asarray(value, np.float32) for value in known]
                return build.constant(np.concatenate(arrays)[np.newaxis], hint)
            zeros = build.constant(np.zeros(size, np.float32))
            joined = build.node("Concat", [name or zeros for name in names], {"axis": 0})
            return build.node("Unsqueeze", [joined, _integers(build, 0)])

        biases = stacked((*of_input, *of_state), "B")
        return stacked(weights, "W"), stacked(recurrent, "R"), biases

    def _initial_states(
        self, build: ForeignGraph, operands: Mapping[str, str], size: int
    ) -> list[str]:
        """(1, batch, S) of each state; nothing where all are zero."""
        known = [build.constants.get(operands[slot]) for slot in self.states]
        if all(value is not None and not value.any() for value in known):
            return []
        return [self.expanded(build, operands, slot, size) for slot in self.states]

    def expanded(
        self, build: ForeignGraph, operands: Mapping[str, str], slot: str, size: int, axis: int = 0
    ) -> str:
        """A state for every sample, with another axis of 1."""
        samples = build.node("Shape", [operands["sequence"]], {"start": 0, "end": 1})
        shape = build.node("Concat", [samples, _integers(build, size)], {"axis": 0})
        state = build.node("Expand", [operands[slot], shape])
        return build.node("Unsqueeze", [state, _integers(build, axis)])

    def _in_our_order(self, build: ForeignGraph, results: Sequence[str]) -> tuple[str, ...]:
        if self.stacked:
            outputs = [build.node("Transpose", results[:1], {"perm": [2, 1, 0, 3]})]
        else:
            flat = build.node("Squeeze", [results[0], _integers(build, 1)])
            outputs = [build.node("Transpose", [flat], {"perm": [1, 0, 2]})]
        for state in self.kept_states(results[1:]):
            outputs.append(build.node("Transpose", [state], {"perm": [1, 0, 2]}))
        return tuple(outputs)

    def kept_states(self, states: Sequence[Any]) -> list[Any]:
        """Those of the final states that are outputs."""
        return list(states[:1]) if self.last_h else []

    # -- what calibration looks at ---------------------------------------------------------

    @property
    def inner_ranges(self) -> tuple[str, ...]:
        return (STATE_RANGE, *self._gate_ranges())

    def _gate_ranges(self) -> tuple[str, ...]:
        """Names of the other tensors within."""
        return ()

    def inner_tensors(
        self, build: ForeignGraph, inputs: Sequence[str], outputs: Sequence[str], types: Types
    ) -> dict[str, str]:
        operands = dict(zip(("sequence", *self.slots), inputs, strict=True))
        state = outputs[0]
        if self.stacked:
            state = build.node("Squeeze", [state, _integers(build, 1)])
        steps = types[_SEQUENCE].shape[0]
        inside = Inside(build, operands, self._before(build, operands, state, types), steps)
        return {STATE_RANGE: state, **self.gate_tensors(inside)}

    def _before(
        self, build: ForeignGraph, operands: Mapping[str, str], state: str, types: Types
    ) -> str:
        """The state before every step, (batch, T, S)."""
        steps, size = types[_SEQUENCE].shape[0], types[1].shape[0]
        first = self.expanded(build, operands, self.states[0], size, 1)
        kept = (1, steps) if self.reverse else (0, steps - 1)
        limits = (_integers(build, *kept[:1]), _integers(build, *kept[1:]), _integers(build, 1))
        rest = build.node("Slice", [state, *limits])
        return build.node("Concat", [rest, first] if self.reverse else [first, rest], {"axis": 1})

    def gate_tensors(self, inside: Inside) -> dict[str, str]:
        """The other tensors within, by name."""
        return {}

    # -- integers --------------------------------------------------------------------------

    @abstractmethod
    def kernel(self, request: QuantizeRequest) -> RecurrentKernel:
        """The multipliers, from the records of a request."""

    @abstractmethod
    def step(self, weights: Mapping[str, IntArray], kernel: RecurrentKernel) -> Step:
        """What happens at one step, in integers."""

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        free = tuple(range(1, 1 + len(self.slots)))
        return (RecordRule(self.decide, INT8, INT8, free),)

    @abstractmethod
    def decide(self, question: Any) -> Any:
        """The records of all inputs and outputs."""

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        inputs = tuple(request.record(index) for index in range(len(request.inputs)))
        constants = tuple(
            None
            if value is None
            else record.quantize(value, double=value.dtype == np.float64).astype(record.dtype)
            for value, record in zip(request.constants, inputs, strict=True)
        )
        kernel = self.kernel(request)
        for name, scaling in kernel.scalings.items():
            if scaling.shift[0] < 0:
                _LOG.warning(
                    "%s: its factor %s is %.3g; beyond 255 nothing is known of what the chip's "
                    "kernel makes of it: bring the input to about -1..1",
                    request.name,
                    name,
                    scaling.scale[0],
                )
        return NodeQuantization(inputs, request.outputs, kernel, constants=constants)

    def integer_multi(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        operands = dict(zip(("sequence", *self.slots), inputs, strict=True))
        weights = {slot: operands[slot][0] for slot in self.slots if slot not in self.states}
        zeros = [record.zero_point for record in quantization.inputs]
        sequence = inputs[_SEQUENCE] - zeros[_SEQUENCE]
        samples, count = sequence.shape[:2]
        products = np.concatenate(
            [product(sequence, weights[slot]) for slot in self.input_weights], axis=-1
        )
        size = products.shape[-1] // len(self.input_weights)
        before = dict(zip(self.slots, zeros[1:], strict=True))
        states = [
            np.broadcast_to(operands[slot] - before[slot], (samples, size)) for slot in self.states
        ]
        step = self.step(weights, quantization.kernel)
        steps = run_steps(count, states, step, lambda number: products[:, number], self.reverse)
        first = steps.outputs[:, np.newaxis] if self.stacked else steps.outputs
        last = [state[:, np.newaxis] for state in self.kept_states(steps.states)]
        return (first, *last)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        raise CannotLower("recurrent layers run step by step in the reference engine")

    # -- tests -----------------------------------------------------------------------------

    @classmethod
    def examples(cls) -> list[Example]:
        forward = cls()
        return [
            example_of(forward, 5, 3, 4, "forward"),
            example_of(replace(forward, reverse=True), 4, 2, 3, "reverse"),
            example_of(replace(forward, stacked=False, last_h=True), 3, 4, 2, "last state"),
            example_of(replace(forward, reverse=True, last_h=True), 3, 3, 5, "both ends"),
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """The inside of a recurrent layer as ONNX nodes, all steps at once: (batch, T, S).

    ``operands`` are tensors by slot, ``before`` is the state before every step.
    """

    build: ForeignGraph
    operands: Mapping[str, str]
    before: str
    steps: int

    def of_input(self, slot: str) -> str:
        """The sequence times the weights in a slot."""
        return self.times(self.operands["sequence"], slot)

    def of_state(self, slot: str) -> str:
        """The state before every step times the weights in a slot."""
        return self.times(self.before, slot)

    def times(self, tensor: str, slot: str) -> str:
        """A tensor times the transposed weights in a slot."""
        weights = self.build.constants[self.operands[slot]].astype(np.float32)
        return self.build.node("MatMul", [tensor, self.build.constant(weights.T)])

    def total(self, *terms: str) -> str:
        """The sum of tensors."""
        result = terms[0]
        for term in terms[1:]:
            result = self.build.node("Add", [result, term])
        return result

    def bias(self, slot: str) -> str:
        """The tensor in a slot."""
        return self.operands[slot]


def example_of(op: Recurrent, steps: int, width: int, size: int, name: str) -> Example:
    """An example with random weights that starts from zeros."""
    random = np.random.default_rng(len(name))
    types = [TensorType((steps, width))]
    constants: list[FloatArray | None] = [None]
    for slot in op.slots:
        shape = op._shape_of(slot, size, width)
        types.append(TensorType(shape))
        if slot in op.states:
            value = np.zeros(shape, np.float32)
        else:
            spread = 0.0 if slot in op.misread else 0.5
            value = random.normal(0, spread, shape).astype(np.float32)
        constants.append(value)
    return Example(op, tuple(types), tuple(constants), name)


def _integers(build: ForeignGraph, *values: int) -> str:
    return build.constant(np.array(values, np.int64), "axes")
