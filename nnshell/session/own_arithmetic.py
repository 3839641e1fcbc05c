"""The int8 graph beside the arithmetic of the quantized file that it was read from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnshell.inputs.input_set import Batch
from nnshell.quantization import Statistics
from nnshell.session.project import Project
from nnshell.session.running import Progress
from nnshell.session.samples import Samples
from nnshell.session.samples import batches_of as samples_of
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.execution.file_arithmetic import FileComparison
    from nnshell.execution.file_process import FileProcess
    from nnshell.reading.registry import StoredTensor

_SEED = 0


def compare_file(
    project: Project,
    images: Samples | None = None,
    *,
    samples: int = 16,
    progress: Progress | None = None,
) -> FileComparison:
    """The int8 graph beside the arithmetic of the model file itself, layer by layer.

    The project is opened with ``load_quantization``. Without ``images`` there are ``samples``
    random ones within the ranges of the inputs. Raises GraphError for a project without the file's
    quantization, NNShellError when the file cannot be run.
    """
    from nnshell.execution import file_arithmetic

    imported, source = project.imported, project.graph.source
    if imported is None or source is None:
        raise GraphError(
            f"{project.name} does not use a quantization of its file", hint="open it with -q"
        )
    stored = imported.stored
    batches: Iterable[Batch]
    batches = (
        [_random(project, imported.statistics, samples)]
        if images is None
        else samples_of(project, images)
    )
    output = project.graph.outputs[0].origin.foreign_name
    with _runner(source.path, stored, output) as runner:
        return file_arithmetic.compare_with_file(
            project.graph, _counted(batches, progress), stored, runner
        )


def _runner(path: Path, stored: Mapping[str, StoredTensor], output: str) -> FileProcess:
    """The file in its own runtime; ``output`` is the tensor that the graph ends at first."""
    from nnshell.execution.file_process import FileProcess
    from nnshell.importers.model_file import model_bytes
    from nnshell.importers.onnx.exposed import with_outputs

    if path.suffix.lower() == ".tflite":
        keys = [int(tensor.key) for tensor in stored.values()]
        return FileProcess("litert", model_bytes(path), keys, output)
    model, names = with_outputs(path, stored.values(), output)
    return FileProcess("onnxruntime", model, names)


def _counted(batches: Iterable[Batch], progress: Progress | None) -> Iterator[Batch]:
    for batch in batches:
        yield batch
        if progress is not None:
            progress(len(batch))


def _random(project: Project, statistics: Statistics, samples: int) -> Batch:
    """Samples that fill the ranges of the inputs evenly."""
    draw = np.random.default_rng(_SEED)
    arrays = []
    for node in project.graph.inputs:
        known = statistics[node.name]
        shape = (samples, *node.type.shape)
        arrays.append(draw.uniform(known.minimum, known.maximum, shape).astype(np.float32))
    names = tuple(f"random_{number}" for number in range(samples))
    return Batch(tuple(arrays), names, (None,) * samples)
