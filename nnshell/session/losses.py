"""What a project's quantization loses, with the levers that were tried on it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from nnshell.quantization import Basis
from nnshell.quantization.losses import Lever, Loss, LossKind, find_losses, loss_lines
from nnshell.session.project import Project
from nnshell.support.errors import NNShellError

_LOG = logging.getLogger(__name__)


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
