"""What a project's quantization loses, with the levers that were tried on it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Node
from nnshell.quantization import Basis
from nnshell.quantization.losses import Lever, Loss, LossKind, find_losses, loss_lines
from nnshell.session.project import Project
from nnshell.support.errors import NNShellError

_LOG = logging.getLogger(__name__)

_NOTABLE_SHARE = 0.01  # of values; fewer are what images held out bring


def losses(project: Project) -> list[Loss]:
    """Where the quantized graph loses more than rounding, node by node.

    Options named as levers are tried on a copy: those are left that make the loss go away. Raises
    QuantizationError when the graph is not quantized.
    """
    project.graph.require_quantized()
    basis = project.basis
    return _tried(project, basis, _of(project, basis))


def say_losses(project: Project) -> None:
    """Log a line for each kind of loss."""
    for line in loss_lines(losses(project)):
        _LOG.warning("%s", line)


def _of(project: Project, basis: Basis) -> list[Loss]:
    return find_losses(project.graph, basis.statistics, basis.options, basis.learned)


def _tried(project: Project, basis: Basis, present: Sequence[Loss]) -> list[Loss]:
    """The losses with the levers that work."""
    levers = {lever for loss in present for lever in loss.levers if lever.options}
    cured = {lever: _cured_by(project, basis, lever, present) for lever in levers}
    return [
        replace(
            loss,
            levers=tuple(
                lever
                for lever in loss.levers
                if not lever.options or (loss.kind, loss.node) in cured[lever]
            ),
        )
        for loss in present
    ]


@contextmanager
def _silent() -> Iterator[None]:
    """What quantizing logs is of a trial, and no news."""
    logger = logging.getLogger("nnshell.quantization")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _cured_by(
    project: Project, basis: Basis, lever: Lever, present: Sequence[Loss]
) -> set[tuple[LossKind, str]]:
    """Kind and node of the losses that are gone when their nodes are quantized so."""
    aimed = [loss for loss in present if lever in loss.levers]
    options = basis.options
    for step in dict.fromkeys(loss.step for loss in aimed):
        options = options.with_node(step, lever.mapping())
    twin = project.graph.copy()
    try:
        with _silent():
            basis.with_options(options).quantize(twin)
        left = find_losses(twin, basis.statistics, options, basis.learned)
    except NNShellError:  # it does not fit the graph: then it is no lever
        return set()
    still = {(loss.kind, loss.node) for loss in left}
    return {(loss.kind, loss.node) for loss in aimed} - still


def watched_inputs(project: Project, batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches; after the last, which inputs lay outside the calibrated range goes to the log.

    Values outside count that neither calibration saw nor the record of the input can hold.
    """
    outside, counts = dict.fromkeys((node.name for node in project.inputs), 0), 0
    sizes = {node.name: node.type.size for node in project.inputs}
    for batch in batches:
        counts += len(batch)
        for node, array in zip(project.inputs, batch.arrays, strict=True):
            outside[node.name] += _outside(project, node, array)
        yield batch
    for name, number in outside.items():
        share = number / max(1, counts * sizes[name])
        if share > _NOTABLE_SHARE:
            text = f"{share:.0%} of the values lie outside the range that was calibrated"
            advice = (
                "normalize inputs as for aquant (-D, -O, -N), or calibrate on inputs like these"
            )
            _LOG.warning("%s", Loss("outside", name, share, "share", text, advice=advice))


def _outside(project: Project, node: Node, array: NDArray[Any]) -> int:
    """How many values lie outside what was calibrated and what the record can hold."""
    seen = None if project.statistics is None else project.statistics.find(node.name)
    if node.quantization is None or seen is None:
        return 0
    record = node.quantization.output
    if record.dtype != "int8":
        return 0
    low, high = ((n - record.zero_point) * record.first_scale for n in record.limits)
    low, high = min(low, seen.minimum), max(high, seen.maximum)
    step = record.first_scale
    return int(((array < low - step) | (array > high + step)).sum())
