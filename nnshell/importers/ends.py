"""Ends of a graph, the same for every format: batch axes, outputs, stand-ins after a problem."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import numpy as np

from nnshell.importers.problems import Problem
from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Node, Ref
from nnshell.ir.types import Layout, Origin, TensorType
from nnshell.reading.context import MAX_ELEMENTS, ImportContext
from nnshell.reading.registry import Value, without

_LOG = logging.getLogger(__name__)


def batch_size_of(shapes: Sequence[tuple[int, ...]]) -> int:
    """Extent of axis 0 of the first input that has another axis as well."""
    return next((shape[0] for shape in shapes if len(shape) > 1), 1)


def batch_axis(shape: tuple[int, ...], batch_size: int | None, *, any_batch: bool) -> int | None:
    """0 where the first axis of an input is a batch; one axis alone is so only if left open.

    ``batch_size`` is None for a network without batches.
    """
    if not shape or shape[0] != batch_size:
        return None
    return 0 if any_batch or len(shape) > 1 else None


def stand_in(
    context: ImportContext, tensor: str, shape: tuple[int, ...], dtype: str, layout: Layout
) -> bool:
    """Give a tensor that could not be made a node, so that what reads it can be checked.

    ``shape`` is as the file sees it, ``layout`` that of feature maps. False where the shape is
    not known or beyond what a graph holds.
    """
    if not shape or min(shape) < 1 or int(np.prod(shape, dtype=object)) > MAX_ELEMENTS:
        return False
    batch = 0 if shape[0] == context.batch_size else None
    inner = without(shape, batch)
    op = Input(TensorType(inner, layout if len(inner) == 3 else Layout.NONE), -1)
    name = context.unique("unsupported")
    context.graph.add(Node(name, op, [], op.infer(())))
    context.values[tensor] = Value(Ref(name), shape, batch, dtype)
    return True


def add_outputs(
    context: ImportContext, tensors: Sequence[str], unknown: Collection[str], file_name: str
) -> list[Problem]:
    """Add an output node for each tensor that is not ``unknown``; returns what is in the way.

    Constant outputs are left out and told of in one line, as long as another one remains.
    """
    constant = [name for name in tensors if name in context.constants]
    if constant and len(constant) < len(tensors):
        names = ", ".join(constant)
        _LOG.warning("%s: constant outputs left out: %s", file_name, names)
        tensors = [name for name in tensors if name not in context.constants]
    problems = []
    for number, name in enumerate(tensors):
        if name not in unknown:
            problems += _add_output(context, number, name, file_name)
    return problems


def _add_output(context: ImportContext, number: int, name: str, file_name: str) -> list[Problem]:
    value = context.values.get(name)
    if value is None:
        reason = "it does not depend on the input"
        return [Problem("output", name, reason, "remove it from the model's outputs")]
    op, graph = Output(number), context.graph
    types = op.infer((graph.type_of(value.ref),))
    origin = Origin(name, "output", file_name)
    graph.add(Node(f"output_{number + 1}", op, [value.ref], types, origin))
    if value.dtype == "float32":
        return []
    reason = f"it has element type {value.dtype}; accepted: real numbers"
    hint = "open it with --outputs NAME, the tensor before it that holds real numbers"
    return [Problem("output", name, reason, hint)]
