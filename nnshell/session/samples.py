"""The samples of a command as batches, whatever stands for them: patterns, sets, arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias, TypeGuard, cast

from nnshell.inputs.binding import Images, bind, checked, input_specs, noted, watched
from nnshell.inputs.input_set import Batch, InputSet
from nnshell.inputs.memory import Arrays, is_single, memory_batches
from nnshell.ir.graph import Graph
from nnshell.session.project import Project
from nnshell.support.samples import resolve

Samples: TypeAlias = Images | InputSet | Batch | list[Batch] | Arrays | str | Path
"""What ``load_inputs`` returns, batches of it, a file pattern, or arrays in memory: one sample, a
stack of them, a list with an array for each graph input, a mapping by input name, or an iterable of
these."""

_BATCH = 64  # samples per run: enough to keep both cores busy, small enough for large networks
_BATCH_ELEMENTS = 8_000_000  # feature map elements a batch may hold


def batch_size(graph: Graph) -> int:
    """Samples per batch, so that a batch's largest feature maps stay within bounds."""
    largest = max((kind.size for node in graph for kind in node.outputs), default=1)
    return max(1, min(_BATCH, _BATCH_ELEMENTS // max(largest, 1)))


def are_batches(source: InputSet | Batch | list[Batch] | Arrays) -> TypeGuard[list[Batch]]:
    """Whether it is a list of batches, which are read already."""
    return isinstance(source, list) and bool(source) and isinstance(source[0], Batch)


def opened(project: Project, samples: Samples) -> InputSet | Batch | list[Batch] | Arrays:
    """Patterns and images as an open set; what is in memory as it is."""
    if isinstance(samples, str | Path):
        samples = Images((str(resolve(samples)),))
    return bind(project, samples) if isinstance(samples, Images | InputSet) else samples


def batches_of(project: Project, samples: Samples, *, check: bool = False) -> Iterator[Batch]:
    """The samples as the graph takes them, a batch at a time (streaming).

    With ``check`` what looks wrong with them goes to the log.
    """
    size, source = batch_size(project.graph), opened(project, samples)
    if isinstance(source, InputSet):
        return checked(source, size) if check else noted(source, size)
    if isinstance(source, Batch):
        return iter([source])
    if are_batches(source):
        return iter(source)
    specs = input_specs(project.graph)
    batches = memory_batches(cast(Arrays, source), specs, size)
    return watched(batches, specs) if check else batches


def is_one_sample(project: Project, source: InputSet | Batch | list[Batch] | Arrays) -> bool:
    """Whether results have no sample axis: one file, or an array without a leading axis."""
    if isinstance(source, InputSet | Batch):
        return len(source) == 1
    if are_batches(source):
        return sum(len(batch) for batch in source) == 1
    return is_single(source, input_specs(project.graph))
