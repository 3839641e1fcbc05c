"""The native engine: the C kernels, compiled for this machine, over the network of the C target.

It gives what ``IntegerEngine`` gives, to the bit. A batch is spread over threads, each with an
arena of its own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.integer_engine import IntegerEngine, quantize_input, result_tensors
from nnshell.execution.native_compiler import Variant, variant
from nnshell.execution.native_library import (
    NativeLibrary,
    Step,
    filled,
    kernel_numbers,
    shared_library,
)
from nnshell.execution.native_packing import FastCall, pack_all
from nnshell.ir.flat import flatten
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import QParams
from nnshell.support.cores import usable_cores
from nnshell.targets.c.memory import Arena, plan_arena
from nnshell.targets.c.network import network_of
from nnshell.targets.c.program import ELEMENT_TYPES, Buffer, Call, Program, Value
from nnshell.targets.c.structs import kernels

_ALIGNMENT = 64
_CHUNKS_PER_THREAD = 4
_LEAST_WORK = 4_000_000  # multiply-accumulates that are worth another thread: some 20 us
_ARENA, _INPUTS = 0, 1  # places of the bases


class NativeEngine:
    """Runs a quantized graph over batches in compiled kernels.

    ``keys`` are the tensors to compute, by default the graph outputs; ``target`` is as in
    ``IntegerEngine``; ``threads`` share a batch, by default one for each core. Raises
    QuantizationError when the graph is not quantized or has no C form, InputError for a key that
    does not exist, NoCompiler when the kernels cannot be compiled.
    """

    def __init__(
        self,
        graph: Graph,
        keys: Sequence[str] | None = None,
        target: str = "simulation",
        threads: int | None = None,
        kind: Variant | None = None,
    ) -> None:
        self._reference = IntegerEngine(graph, target)
        self.inputs = self._reference.inputs
        self.keys = list(keys) if keys is not None else list(self._reference.outputs)
        for key in self.keys:
            self._reference.record(key)
        tensors = result_tensors(graph, flatten(graph))
        outputs = {key: tensors[key] for key in self.keys}
        program = network_of(graph, outputs, chip=target == "chip")
        self._library = shared_library(kind if kind is not None else variant())
        self._network = _Network(program, self._library)
        self._records = [self._reference.record(name) for name, _ in self.inputs]
        self._conversions = [_conversion(record) for record in self._records]
        self._threads = threads if threads is not None else usable_cores()
        self._pool: ThreadPoolExecutor | None = None

    def run(self, batch: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Integers by key, samples first, with the element type of their record.

        ``batch`` is as in ``IntegerEngine.run``. Raises InputError when it does not fit.
        """
        feeds = list(self._reference.checked(batch).values())
        samples = len(feeds[0])
        results = {
            port.key: np.empty((samples, *port.type.shape), port.dtype)
            for port in self._network.program.outputs
        }
        chunks = self._chunks(samples) if min(self._threads, samples) > 1 else []
        if len(chunks) < 2:
            integers = [self._integers(array, index) for index, array in enumerate(feeds)]
            self._network.run(integers, list(results.values()))
            return results
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads)
        list(self._pool.map(lambda chunk: self._run_chunk(feeds, results, chunk), chunks))
        return results

    def _chunks(self, samples: int) -> list[slice]:
        """Some for each thread, so that one which is held up does not hold up the others."""
        work = samples * (self._network.program.macs + _LEAST_WORK // 8)
        parts = min(samples, self._threads * _CHUNKS_PER_THREAD, 1 + work // _LEAST_WORK)
        edges = [samples * part // parts for part in range(parts + 1)]
        return [slice(*pair) for pair in pairwise(edges)]

    def _run_chunk(
        self, feeds: list[NDArray[Any]], results: Mapping[str, NDArray[Any]], chunk: slice
    ) -> None:
        integers = [self._integers(array[chunk], index) for index, array in enumerate(feeds)]
        self._network.run(integers, [array[chunk] for array in results.values()])

    def _integers(self, array: NDArray[Any], index: int) -> NDArray[Any]:
        """Integers of an input, as numpy's arithmetic gives them."""
        record, arguments = self._records[index], self._conversions[index]
        if arguments is None:
            return np.ascontiguousarray(quantize_input(array, record).astype(record.dtype))
        real = np.ascontiguousarray(array, np.float32)
        result = np.empty(real.shape, record.dtype)
        self._library.quantize(real.ctypes.data, result.ctypes.data, real.size, *arguments)
        return result


def _conversion(record: QParams) -> tuple[Any, ...] | None:
    """What nn_quantize takes after the arrays; None where numpy has to do it."""
    if record.dtype not in ("int8", "int16", "int32") or record.scale.dtype != np.float64:
        return None
    low, high = record.limits
    reals = (record.first_scale, record.zero_point, low, high)
    return (ELEMENT_TYPES[record.dtype], *(ctypes.c_double(value) for value in reals))


@dataclass(frozen=True, slots=True, eq=False)
class _Memory:
    """What a thread works in: all of it, where buffers begin, where the scratch memory does."""

    whole: NDArray[np.uint8]
    bases: Any
    scratch: int


class _Network:
    """A program's steps with packed weights; it can be run by several threads at once."""

    def __init__(self, program: Program, library: NativeLibrary) -> None:
        self.program = program
        self._library = library
        self._arena: Arena = plan_arena(program, alignment=_ALIGNMENT)
        self._idle: list[_Memory] = []
        self._kept: list[Any] = []  # what the steps point to
        self._constants = [np.ascontiguousarray(array) for array in program.constants]
        fast = pack_all(program.calls, library)
        steps = [
            self._step(call, quick)
            for call, many in zip(program.calls, fast, strict=True)
            for quick in many
        ]
        self._steps = (Step * max(len(steps), 1))(*steps)
        self._count = len(steps)
        self._scratch_bytes = max((q.scratch_bytes for many in fast for q in many), default=0)
        ports = (*program.inputs, *program.outputs)
        sizes = [port.type.size * np.dtype(port.dtype).itemsize for port in ports]
        strides = [0, *sizes, *(0 for _ in self._constants)]
        self._strides = (ctypes.c_int64 * len(strides))(*strides)
        self._fixed = [array.ctypes.data for array in self._constants]

    def run(self, inputs: list[NDArray[Any]], outputs: list[NDArray[Any]]) -> None:
        """All samples; arrays are contiguous, samples first."""
        memory = self._memory()
        for place, array in enumerate((*inputs, *outputs), _INPUTS):
            memory.bases[place] = array.ctypes.data
        self._library.run_network(
            self._steps,
            self._count,
            len(inputs[0]),
            memory.bases,
            self._strides,
            len(self._strides),
            memory.scratch,
        )
        self._idle.append(memory)

    def _memory(self) -> _Memory:
        """Arena and scratch of one thread, used again: fresh memory costs page faults."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._new_memory()

    def _new_memory(self) -> _Memory:
        arena = -(-self._arena.size_bytes // _ALIGNMENT) * _ALIGNMENT
        whole = np.zeros(arena + self._scratch_bytes + 4 * _ALIGNMENT, np.uint8)
        start = -(-whole.ctypes.data // _ALIGNMENT) * _ALIGNMENT
        bases = (ctypes.c_void_p * len(self._strides))()
        bases[_ARENA] = start
        for place, address in enumerate(self._fixed, len(bases) - len(self._fixed)):
            bases[place] = address
        return _Memory(whole, bases, start + arena + _ALIGNMENT)

    def _step(self, call: Call, quick: FastCall) -> Step:
        parameters = filled(kernels()[quick.kernel].struct, quick.fields, self._kept)
        self._kept.append(parameters)
        operands = [self._place(value) for value in call.inputs]
        operands += [(_ARENA, 0)] * (2 - len(operands))
        (first, at_first), (second, at_second) = operands
        output, at_output = self._place(call.output)
        return Step(
            kernel_numbers()[quick.kernel],
            first,
            second,
            output,
            at_first,
            at_second,
            at_output,
            ctypes.addressof(parameters),
        )

    def _place(self, value: Value) -> tuple[int, int]:
        """The base and the offset of a value's buffer."""
        buffer: Buffer = value.buffer
        if buffer.place == "arena":
            return _ARENA, self._arena.offsets[buffer]
        before = {
            "input": _INPUTS,
            "output": _INPUTS + len(self.program.inputs),
            "constant": _INPUTS + len(self.program.inputs) + len(self.program.outputs),
        }[buffer.place]
        return before + buffer.index, 0
