"""The whole path in ten functions, in the order they are used; the shell and scripts are clients.

    open_graph -> adjust -> fuse -> calibrate -> quantize -> run -> compare -> simulate
               -> save_state -> generate

All work on a project: a graph with what a session knows of it. Every function that changes one
does it completely or not at all, and appends a step to its recipe. ``nnshell.session.edits`` has
the commands that change single nodes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.engines import EngineName, make_engine
from nnshell.importers.onnx.importer import import_onnx
from nnshell.importers.tflite.importer import import_tflite
from nnshell.inputs.binding import Images
from nnshell.inputs.input_set import InputSet
from nnshell.inputs.options import InputOptions
from nnshell.inputs.sources import Split
from nnshell.ir.graph import Graph
from nnshell.passes.base import Pass
from nnshell.passes.catalogue import passes_named
from nnshell.passes.inputs import as_in_file, batch_in_file, fit_batch
from nnshell.passes.manager import PassRecord
from nnshell.passes.pipelines import adjust_passes, opening_passes, preparation
from nnshell.quantization import (
    Basis,
    ImportedQuantization,
    QuantizationOptions,
    Statistics,
    load_statistics,
)
from nnshell.quantization.ranges.calibration import calibrate_graph, random_batches
from nnshell.reading.registry import Imported
from nnshell.reports.tensors import joined
from nnshell.session.edits import EDITS, requantized
from nnshell.session.exporting import export, export_c
from nnshell.session.improve import replay_equalization, replay_learned
from nnshell.session.losses import say_losses
from nnshell.session.own_arithmetic import compare_file
from nnshell.session.project import Project
from nnshell.session.recipe import LEARNING, opening, recorded
from nnshell.session.running import (
    Progress,
    Runner,
    batches_of,
    compare_samples,
    evaluate,
    quantized_engine,
    run_batches,
    validate,
)
from nnshell.session.samples import Samples, batch_size, is_one_sample, opened
from nnshell.session.samples import batches_of as samples_of
from nnshell.session.steps import Step
from nnshell.session.training import replay_initialization, replay_training
from nnshell.state import Replay, load_state
from nnshell.state import save_state as write_state
from nnshell.support.errors import ModelError, QuantizationError, UsageError
from nnshell.support.samples import is_installed, resolve
from nnshell.support.settings import Settings

if TYPE_CHECKING:
    from nnshell.chips import SimulationReport
    from nnshell.chips.insight.sweep import Sweep
    from nnshell.execution.metrics import Comparisons
    from nnshell.targets.autotiler import GeneratedFiles


_LOG = logging.getLogger(__name__)

_CHECK_SAMPLES = 2
_CHECK_SEED = 0


def open_graph(
    path: str | Path,
    *,
    fold_batchnorm: bool = True,
    subs: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    model_path: str | Path | None = None,
    settings: Settings | None = None,
    load_quantization: bool = False,
    outputs: Sequence[str] | None = None,
) -> Project:
    """Read a model (.onnx, .tflite), or restore a state file (.json), which needs no images.

    ``subs`` gives symbolic dimensions a value, ``input_shapes`` whole inputs. ``model_path`` is
    where a state's model is now. ``load_quantization`` takes over the quantization that the model
    file holds. ``outputs`` names the tensors or nodes of the file to end at; without it a last
    ArgMax, TopK or NonMaxSuppression and constant outputs are left out, with a warning.
    ``sample:lenet`` is the sample that ships with the package.
    """
    path = resolve(path)
    if path.suffix == ".json":
        return load_state(path, REPLAY, model_path=model_path, settings=settings)
    if path.suffix.lower() == ".tflite":
        imported = import_tflite(
            path, input_shapes=input_shapes, quantized=load_quantization, outputs=outputs
        )
    else:
        imported = import_onnx(
            path,
            fold_batchnorm=fold_batchnorm,
            subs=subs,
            input_shapes=input_shapes,
            outputs=outputs,
        )
    options: dict[str, Any] = {
        "fold_batchnorm": fold_batchnorm,
        "subs": dict(subs or {}),
        "input_shapes": {name: list(shape) for name, shape in (input_shapes or {}).items()},
        "load_quantization": load_quantization,
        "outputs": list(outputs or ()),
    }
    settings = settings if settings is not None else Settings()
    recipe = opening({key: value for key, value in options.items() if value}, settings)
    project = Project(imported.graph, settings, recipe, import_notes=imported.notes)
    project.run_passes(opening_passes(imported.graph))
    if load_quantization:
        _take_over(project, imported)
    return project


def _take_over(project: Project, imported: Imported) -> None:
    """Quantize by the ranges that the model file gives."""
    if not imported.ranges and imported.weights:
        raise ModelError(
            "only its weights are quantized: the ranges of its activations are found when it runs",
            where=project.name,
            hint="open it without -q and calibrate: aquant IMAGES",
        )
    if not imported.ranges:
        _LOG.warning("%s holds no quantization; quantize it with aquant", project.name)
        return
    project.imported = ImportedQuantization.of(
        project.graph, imported.ranges, imported.weights, imported.stored
    )
    project.statistics = project.imported.statistics
    try:
        project.quantize(project.basis)
        say_losses(project)
    except QuantizationError as error:
        raise ModelError(
            f"the quantization in the file cannot be taken over: {error.message}",
            where=error.where,
            hint="open it without -q and calibrate: aquant IMAGES",
        ) from error


def adjust(
    project: Project, *, postprocess: bool = True, steps: int | None = None
) -> list[PassRecord]:
    """Bring activations and weights to the order the kernels want (CHW), then drop transposes.

    Without ``postprocess`` transposes are inserted and none removed; ``steps`` limits how many
    elimination steps are taken.
    """
    with recorded(project, "adjust", {"postprocess": postprocess, "steps": steps}):
        return _run(project, adjust_passes(project.graph, postprocess=postprocess, steps=steps))


def fuse(project: Project, *names: str) -> list[PassRecord]:
    """Match nodes to the chip's kernels: groups (``scale8``) and single fusions by name."""
    passes = (*preparation(project.graph), *passes_named(names))
    with recorded(project, "fusions", {"names": list(names)}):
        return _run(project, passes)


def _run(project: Project, passes: Sequence[Pass]) -> list[PassRecord]:
    check = _float_outputs(project.graph) if project.settings.check_passes else None
    with requantized(project):
        return project.run_passes(passes, check=check)


def _float_outputs(graph: Graph) -> Callable[[Graph], Mapping[str, NDArray[Any]]]:
    """Outputs on a fixed random sample, for ``set check_passes on``."""
    generator = np.random.default_rng(_CHECK_SEED)
    shapes = [(_CHECK_SAMPLES, *node.type.shape) for node in graph.inputs]
    drawn = [generator.standard_normal(shape, np.float32) for shape in shapes]
    sample = batch_in_file(graph, drawn)

    def outputs(candidate: Graph) -> Mapping[str, NDArray[Any]]:
        results = make_engine(candidate, "float").run(fit_batch(candidate, sample))
        return as_in_file(candidate, results)

    return outputs


def load_inputs(
    given: str | Path | NDArray[Any] | Sequence[str | Path] | Sequence[NDArray[Any]],
    *,
    norm: str | None = None,
    options: InputOptions | None = None,
    split: Split | None = None,
    labels: Sequence[int] | None = None,
    **others: Any,
) -> Images:
    """Images, arrays or labelled sets by glob, folder or file; read when a graph asks for them.

    Arrays in memory are stacks of samples, one for each graph input, and may have ``labels``; they
    are preprocessed as files are. ``norm`` is a norm function such as ``"x: x/128-1"``; ``others``
    are fields of ``InputOptions`` (``divisor``, ``offset``, ``height``, ``width``, ``transpose``,
    ``mode``, ``limit``, ...).
    ``split`` ("train", "test") chooses the files of MNIST and CIFAR-10 folders.
    """
    parts = [given] if isinstance(given, str | Path | np.ndarray) else given
    arrays = tuple(part for part in parts if isinstance(part, np.ndarray))
    names = tuple(str(resolve(part)) for part in parts if not isinstance(part, np.ndarray))
    if (arrays and names) or (labels is not None and not arrays):
        raise UsageError("arrays and files together", hint="labels belong to arrays, not to files")
    return Images(
        names,
        options or InputOptions(norm_func=norm, **others),
        split,
        arrays=arrays,
        labels=None if labels is None else tuple(int(label) for label in labels),
    )


def calibrate(
    project: Project,
    images: Samples,
    *,
    clip_type: str | Collection[str] = "none",
    progress: Progress | None = None,
) -> Statistics:
    """Run the float graph over images and keep the range of every tensor (streaming).

    Clip types other than "none" need moments or histograms, which are kept as well.
    """
    source = opened(project, images)
    if isinstance(images, Images):
        project.input_options = images.merged(project)
    batches = samples_of(project, source, check=True)
    count = len(source) if isinstance(source, InputSet) else None
    return calibrate_graph(
        project.graph, batches, clip_type=clip_type, samples=count, progress=progress
    )


def calibrate_randomly(
    project: Project,
    *,
    uniform: float = 0.0,
    normal: float = 0.2,
    num_inference: int = 1,
    seed: int = 0,
    clip_type: str | Collection[str] = "none",
) -> Statistics:
    """Ranges on random inputs: uniform in +-``uniform``, or normal with deviation ``normal``.

    ``clip_type`` is as in ``calibrate``. InputError for numbers that no input can be drawn with.
    """
    batches = random_batches(
        project.graph, uniform=uniform, normal=normal, num_inference=num_inference, seed=seed
    )
    seen = calibrate_graph(project.graph, batches, clip_type=clip_type)
    return replace(seen, samples=0)  # random numbers are no samples of anything


def quantize(
    project: Project,
    statistics: Statistics | str | Path,
    options: QuantizationOptions | None = None,
    *,
    inputs: Sequence[str] = (),
) -> None:
    """Give every tensor its record and every kernel its integers.

    ``statistics`` are those of ``calibrate`` or a JSON file of ranges; ``inputs`` is remembered
    in the recipe only.
    """
    if not isinstance(statistics, Statistics):
        statistics = load_statistics(statistics)
    options = options or QuantizationOptions()
    value = project.input_options.given() if project.input_options is not None else ()
    step: dict[str, Any] = {"quantization": options.to_mapping(), "inputs": list(inputs)}
    step["input_options"] = {name: getattr(project.input_options, name) for name in value}
    with recorded(project, "aquant", step):  # what was learned belongs to the quantization before
        project.quantize(Basis(statistics, options))
    say_losses(project)


def run(
    project: Project,
    images: Samples,
    engine: EngineName = "float",
    *,
    keys: Sequence[str] | None = None,
) -> dict[str, NDArray[Any]]:
    """Tensors by key (``NODE``, ``FUSION/NODE``): float32, or integers with ``engine="int8"``.

    A single sample gives arrays without, several give arrays with a leading sample axis.
    ``run_batches`` does not hold the results of all samples at once.
    """
    source = opened(project, images)
    single = is_one_sample(project, source)
    results = joined(tensors for _, tensors in run_batches(project, source, engine, keys=keys))
    return {key: value[0] if single else value for key, value in results.items()}


def compare(
    project: Project,
    images: Samples,
    *,
    inner: bool = True,
    isolated: bool = False,
    engine: EngineName | None = None,
    progress: Progress | None = None,
) -> Comparisons:
    """How far each quantized tensor is from its float tensor, worst first.

    ``isolated``: each step computes from the float graph's tensors, so that only its own error
    shows. ``engine`` computes the quantized tensors, by default int8, or simulated where the graph
    has other widths than the chip's 8 bits.
    """
    from nnshell.execution.metrics import compare_engines

    name = "isolated" if isolated else engine or quantized_engine(project)
    return compare_engines(
        project.graph,
        samples_of(project, images),
        inner=inner,
        progress=progress,
        engine=lambda graph, keys: make_engine(
            graph, name, keys=keys, target=project.settings.int8_target
        ),
        real=name == "simulated",
    )


@overload
def simulate(
    project: Project,
    settings: Settings | None = None,
    *,
    kernels: str | None = None,
    chip: str | Path | None = None,
    sweep: None = None,
) -> SimulationReport: ...


@overload
def simulate(
    project: Project,
    settings: Settings | None = None,
    *,
    kernels: str | None = None,
    chip: str | Path | None = None,
    sweep: Mapping[str, str | Sequence[float]],
) -> Sweep: ...


def simulate(
    project: Project,
    settings: Settings | None = None,
    *,
    kernels: str | None = None,
    chip: str | Path | None = None,
    sweep: Mapping[str, str | Sequence[float]] | None = None,
) -> SimulationReport | Sweep:
    """Cycles, memory and energy of one inference on GAP8; with ``sweep`` of many settings.

    ``settings`` take the place of the project's; ``kernels`` and ``chip`` name a table of the
    package or a TOML file. ``sweep`` has the values to try, as texts or numbers, by ``cores``,
    ``fc_freq``, ``cl_freq``, ``voltage``, ``l1`` and ``l2``: all combinations are simulated, and
    the result is a :class:`~nnshell.chips.insight.sweep.Sweep`.
    """
    from nnshell.session import simulation

    if settings is not None:
        project = replace(project, settings=settings)
    if sweep is not None:
        return simulation.sweep(project, sweep, kernels=kernels, chip=chip)
    return simulation.one_inference(project, kernels=kernels, chip=chip)


def save_state(project: Project, path: str | Path | None = None) -> Path:
    """Write recipe and statistics; ``<model stem>.json`` beside the model unless told otherwise.

    Of a model that is part of the installed package it goes to the working directory.
    """
    source = project.graph.source
    if path is None and source is not None and is_installed(source.path):
        path = Path()
    return write_state(project, path)


def generate(
    project: Project,
    directory: str | Path | None = None,
    *,
    model_file: str | None = None,
    tensor_directory: str | Path | None = None,
    header_file: str | None = "model.h",
    anonymise: bool | None = None,
    dump_tensors: bool = True,
) -> GeneratedFiles:
    """Write model.c, model.h and tensors/ for the AutoTiler."""
    from nnshell.targets import autotiler as codegen

    if tensor_directory is None and directory is not None:
        tensor_directory = Path(directory) / "tensors"
    return codegen.generate(
        project.graph,
        project.settings,
        model_directory=directory,
        model_file=model_file,
        tensor_directory=tensor_directory,
        header_file=header_file,
        anonymise=anonymise,
        dump_tensors=dump_tensors,
    )


# -- replay of a state's recipe ------------------------------------------------------------


def _replay_open(path: Path, step: Step, settings: Settings) -> Project:
    return open_graph(path, settings=settings, **step.options)


def _replay_adjust(project: Project, step: Step) -> None:
    adjust(project, **step.options)


def _replay_fusions(project: Project, step: Step) -> None:
    fuse(project, *step.options["names"])


def _replay_quantization(project: Project, step: Step) -> None:
    saved: dict[str, Any] = step.options.get("input_options") or {}
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in saved.items()}
    project.input_options = InputOptions(**values)
    chosen = QuantizationOptions.from_mapping(step.options["quantization"])
    quantize(project, project.basis.statistics, chosen, inputs=step.options.get("inputs", ()))


REPLAY = Replay(
    _replay_open,
    {
        "adjust": _replay_adjust,
        "fusions": _replay_fusions,
        "aquant": _replay_quantization,
        "fquant": _replay_quantization,
        "weight_equalization": replay_equalization,
        **{name: partial(replay_learned, name) for name in LEARNING},
        "qat": replay_training,
        "init": replay_initialization,
        **EDITS,
    },
)

__all__ = [
    "Progress",
    "Runner",
    "adjust",
    "batch_size",
    "batches_of",
    "calibrate",
    "calibrate_randomly",
    "compare",
    "compare_file",
    "compare_samples",
    "evaluate",
    "export",
    "export_c",
    "fuse",
    "generate",
    "load_inputs",
    "open_graph",
    "quantize",
    "quantized_engine",
    "run",
    "run_batches",
    "save_state",
    "simulate",
    "validate",
]
