"""One way to make any engine.

int8 is the fastest of three that agree to the bit: native (compiled kernels), lowered (exact float
arithmetic in ONNX Runtime) and reference (numpy). isolated is each step of int8 alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

from numpy.typing import NDArray

from nnshell.ir.graph import Graph, all_nodes
from nnshell.support.errors import UsageError

SIMULATION = "simulation"  # of NNTool: its integers, where the chip's kernels make others
EngineName = Literal["float", "int8", "reference", "lowered", "native", "simulated", "isolated"]
INTEGER_ENGINES = ("int8", "reference", "lowered", "native")


class Engine(Protocol):
    """Runs batches: one array per graph input in, arrays by key out, samples first."""

    def run(self, batch: Sequence[NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Arrays by key, (samples, *shape), of one array for each graph input."""


def make_engine(
    graph: Graph,
    name: EngineName,
    *,
    keys: Sequence[str] | None = None,
    everything: bool = False,
    target: str = SIMULATION,
) -> Engine:
    """An engine that computes the tensors ``keys``, the graph outputs, or ``everything``.

    UsageError for a key that is no computed tensor's: a constant has no value for each sample.
    ``target`` is the setting ``int8_target``: whose integers count where they differ.
    """
    if keys is None:
        keys = tensor_keys(graph) if everything else [node.name for node in graph.outputs]
    elif unknown := set(keys).difference(tensor_keys(graph)):
        hint = "`show` lists the steps that are computed"
        raise UsageError(f"'{min(unknown)}' is not computed from the inputs", hint=hint)
    if name == "float":
        from nnshell.execution.float_engine import FloatEngine

        return FloatEngine(graph, keys)
    if name in INTEGER_ENGINES:
        return _integer_engine(graph, name, keys, target)
    if name == "simulated":
        from nnshell.execution.simulated_engine import SimulatedEngine

        return SimulatedEngine(graph, keys)
    if name == "isolated":
        from nnshell.execution.isolated_engine import IsolatedEngine

        return IsolatedEngine(graph, keys, target)
    known = ", ".join(get_args(EngineName))
    raise UsageError(f"there is no engine '{name}'", hint=f"engines: {known}")


def _integer_engine(graph: Graph, name: str, keys: Sequence[str], target: str) -> Engine:
    """One of those that give the same integers."""
    if name == "native":
        from nnshell.execution.native_engine import NativeEngine

        return NativeEngine(graph, keys, target)
    if name == "lowered":
        from nnshell.execution.fast_engine import FastEngine

        return FastEngine(graph, keys, target)
    if name == "reference":
        from nnshell.execution.integer_engine import ReferenceEngine

        return ReferenceEngine(graph, keys, target)
    from nnshell.execution.exact_engine import ExactEngine

    return ExactEngine(graph, keys, target)


def tensor_keys(graph: Graph) -> list[str]:
    """Keys of every tensor that is computed: ``NODE``, ``NODE[1]``, ``FUSION/NODE``."""
    keys = []
    for key, node, _ in all_nodes(graph):
        if node.op.role == "constant":
            continue
        keys.append(key)
        keys += [f"{key}[{index}]" for index in range(1, len(node.outputs))]
    return keys
