"""Training a project: calibrated where it has to be, trained, written back, recorded."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Input
from nnshell.ir.flat import FlatGraph, Item, Tensor, flatten
from nnshell.ir.graph import Graph, all_nodes
from nnshell.ir.select import select
from nnshell.learning.training.options import TrainingOptions
from nnshell.learning.training.report import Epoch, Moment, Training
from nnshell.quantization import Basis, Learned, QuantizationOptions, remove_quantization
from nnshell.quantization.ranges.calibration import calibrate_graph
from nnshell.session.project import Project
from nnshell.session.recipe import recorded
from nnshell.session.samples import Samples, batch_size, batches_of
from nnshell.session.steps import Step
from nnshell.support.errors import GraphError, StateError, UsageError

if TYPE_CHECKING:
    from nnshell.learning.training.samples import StoredSamples

_LOG = logging.getLogger(__name__)

CALIBRATED = 256  # samples, where the graph was not calibrated before
_PIECE = 60_000  # characters of one text of a state file
_WEIGHTS, _BIAS = 1, 2


def check_torch(what: str = "training") -> None:
    """UsageError when torch is not installed."""
    if find_spec("torch") is None:
        raise UsageError(
            f"{what} needs torch, which is not installed", hint="pip install 'nnshell[train]'"
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """Who is told how training goes: while samples are read, after steps, after epochs."""

    read: Callable[[int], None] | None = None
    step: Callable[[Moment], None] | None = None
    epoch: Callable[[Epoch], None] | None = None


def train(
    project: Project,
    data: Samples,
    quantizer: str = "lsq",
    *,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Training:
    """Train the weights of a project on ``data`` while everything is rounded, and write them back.

    ``options`` are the fields of ``TrainingOptions`` (``weight_bits``, ``act_bits``, ``epochs``,
    ``rate``, ``loss``, ...). A share of the samples is held out and decides which epoch is kept;
    where none is better than the start, the project stays as it is. Ctrl-C ends training with the
    best so far. ``checkpoint`` is a file the run is kept in, from which ``resume`` goes on.
    Raises UsageError without torch, GraphError for a node that cannot be trained through.
    """
    return train_with(
        project,
        data,
        TrainingOptions(quantizer=quantizer, **options),
        checkpoint=None if checkpoint is None else Path(checkpoint),
        resume=resume,
        progress=progress or Progress(),
    )


def train_with(
    project: Project,
    data: Samples,
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Training:
    """``train`` with options that are checked already."""
    check_torch()
    from nnshell.learning.training.model import TrainedModel
    from nnshell.learning.training.samples import StoredSamples
    from nnshell.learning.training.train import Watchers, train_graph

    told = progress or Progress()
    TrainedModel(_float_twin(project.graph))  # refuses by name before anything is read
    samples = StoredSamples.of(project.graph, batches_of(project, data, check=True), told.read)
    twin = project.copy()
    _prepare(twin, samples, options)
    watchers = Watchers(told.epoch, told.step, checkpoint, resume)
    training, weights, learned = train_graph(twin.graph, samples, options, watchers)
    if training.applied:
        _write_back(project, twin, options, weights, learned)
    return training


def _float_twin(graph: Graph) -> Graph:
    twin = graph.copy()
    remove_quantization(twin)
    return twin


# -- before training -----------------------------------------------------------------------


def _prepare(twin: Project, samples: StoredSamples, options: TrainingOptions) -> None:
    """Quantize the copy that is trained as the options ask, or not at all."""
    if not options.quantized:
        remove_quantization(twin.graph)
        return
    if twin.imported is not None and twin.from_file is not None:
        twin.statistics = None  # the model file's own records are of the old weights
    if twin.statistics is None:
        _LOG.info("calibrating on %d samples", min(CALIBRATED, len(samples)))
        kind = "mse" if min(options.act_bits, options.weight_bits) < 8 else "none"
        twin.statistics = calibrate_graph(
            _float_twin(twin.graph),
            _first(samples, _optional(twin.graph), batch_size(twin.graph)),
            clip_type=kind,
        )
        base = twin.quantization_options or QuantizationOptions(clip_type=kind)
    else:
        base = twin.quantization_options or QuantizationOptions()
    twin.learned = None
    twin.quantize(Basis(twin.statistics, quantization_of(twin.graph, base, options)))


def _optional(graph: Graph) -> list[bool]:
    """For each graph input whether it is noise, which training draws."""
    return [isinstance(node.op, Input) and node.op.optional for node in graph.inputs]


def _first(
    samples: StoredSamples, noise: list[bool], size: int
) -> Iterable[list[NDArray[np.float32]]]:
    """The first samples; ranges have to hold the noise of training as well."""
    random = np.random.default_rng(0)
    rows = np.arange(min(CALIBRATED, len(samples)))
    for start in range(0, len(rows), size):
        arrays = samples.take(rows[start : start + size]).arrays
        yield [
            random.standard_normal(array.shape, np.float32) if drawn else array
            for array, drawn in zip(arrays, noise, strict=True)
        ]


def quantization_of(
    graph: Graph, base: QuantizationOptions, options: TrainingOptions
) -> QuantizationOptions:
    """How the graph is quantized in training: widths for all, the ends wider, then the user's."""
    result = replace(
        base,
        weight_bits=options.stored_bits(options.weight_bits),
        act_bits=options.act_bits,
    )
    if options.end_bits > options.weight_bits:
        ends = {"weight_bits": options.stored_bits(options.end_bits)}
        for item in end_filters(flatten(graph)):
            result = result.with_node(item.path, ends)
    for selector, values in options.nodes.items():
        stored = dict(values)
        if "weight_bits" in stored:
            stored["weight_bits"] = options.stored_bits(int(stored["weight_bits"]))
        for name in _paths(graph, selector):
            result = result.with_node(name, stored)
    return result


def _paths(graph: Graph, selector: str) -> list[str]:
    """Nodes by path, or as a selector names them."""
    if any(path == selector for path, _, _ in all_nodes(graph)):
        return [selector]
    return [key for key, _ in select(graph, selector)]


def end_filters(flat: FlatGraph) -> list[Item]:
    """The first and the last filter, in step order."""
    filters = [item for item in flat.items if item.node.op.role == "filter"]
    return list({item.path: item for item in filters[:1] + filters[-1:]}.values())


# -- after training ------------------------------------------------------------------------


def _write_back(
    project: Project,
    twin: Project,
    options: TrainingOptions,
    weights: Mapping[str, NDArray[Any]],
    learned: Learned,
) -> None:
    details: dict[str, Any] = {
        "quantizer": options.quantizer,
        "weights": {path: _packed(value) for path, value in weights.items()},
    }
    if options.quantized:
        details["learned"] = learned.to_json()
    with recorded(project, "qat", details):
        set_weights(project.graph, weights)
        if options.quantized:
            project.imported = None if project.from_file is None else project.imported
            project.input_options = twin.input_options
            assert twin.statistics is not None and twin.quantization_options is not None
            project.quantize(Basis(twin.statistics, twin.quantization_options, learned))
        else:
            _forget_quantization(project)


def _forget_quantization(project: Project) -> None:
    """Ranges and integers were of the old weights."""
    remove_quantization(project.graph)
    project.statistics = project.learned = None


def set_weights(graph: Graph, weights: Mapping[str, NDArray[Any]]) -> None:
    """Give constants other values; GraphError for one that does not exist or has another shape."""
    nodes = {path: node for path, node, _ in all_nodes(graph)}
    for path, value in weights.items():
        node = nodes.get(path)
        before = None if node is None else node.op.known_value
        if node is None or before is None or before.shape != value.shape:
            raise GraphError(
                "the graph has no constant of this name and shape",
                where=f"node {path[:80]}",
                hint="train after the passes that the weights were trained with",
            )
        node.op = replace(node.op, value=value)  # type: ignore[call-arg]


def _packed(value: NDArray[Any]) -> dict[str, Any]:
    """Float32 as base64 text in pieces."""
    text = base64.b64encode(np.ascontiguousarray(value, "<f4").tobytes()).decode()
    return {
        "shape": list(value.shape),
        "float32": [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)],
    }


def _unpacked(entry: Any, path: str) -> NDArray[np.float32]:
    try:
        data = base64.b64decode("".join(entry["float32"]), validate=True)
        value = np.frombuffer(data, "<f4").reshape([int(n) for n in entry["shape"]])
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise StateError(f"the weights of '{path[:80]}' do not fit: {error}") from None
    if not np.isfinite(value).all():
        raise StateError(f"the weights of '{path[:80]}' are not finite")
    return value.astype(np.float32)


def replay_training(project: Project, step: Step) -> None:
    """A step of a state file, which holds all that was learned."""
    entries = step.options.get("weights")
    if not isinstance(entries, Mapping):
        raise StateError("a qat step without its weights")
    weights = {str(path): _unpacked(entry, str(path)) for path, entry in entries.items()}
    learned = step.options.get("learned")
    with recorded(project, "qat", step.options):
        remove_quantization(project.graph)
        set_weights(project.graph, weights)
        if learned is not None:
            project.learned = None
            project.quantize(project.basis.with_learned(Learned.from_json(learned)))
        else:
            project.learned = None


# -- starting from nothing -----------------------------------------------------------------


def initialize(project: Project, selector: str = "all", seed: int = 0) -> list[str]:
    """He weights for the selected filters (``all``: every one), biases 0; returns their paths.

    Normal with deviation sqrt(2 / inputs of one output) (K. He et al., "Delving deep into
    rectifiers", 2015). A quantized graph becomes a float graph: its ranges were of the old weights.
    """
    flat = flatten(project.graph)
    filters = [item for item in flat.items if item.node.op.role == "filter"]
    if selector != "all":
        chosen = {path for path, _ in select(project.graph, selector)}
        filters = [i for i in filters if chosen & {i.path, i.path.split("/")[0]}]
    if not filters:
        raise UsageError(f"no filter matches '{selector}'", hint="init all")
    paths = [item.path for item in filters]
    with recorded(project, "init", {"paths": paths, "seed": seed}):
        _draw(project, paths, seed)
    return paths


def _draw(project: Project, paths: list[str], seed: int) -> None:
    remove_quantization(project.graph)
    flat = flatten(project.graph)
    random = np.random.default_rng(seed)
    for path in paths:
        if path not in flat.by_path:
            raise GraphError("there is no such filter", where=f"node {path[:80]}")
        set_weights(project.graph, _he_weights(flat, flat.by_path[path], random))
    project.statistics = project.learned = None


def _he_weights(
    flat: FlatGraph, item: Item, random: np.random.Generator
) -> dict[str, NDArray[Any]]:
    constants: dict[Tensor, NDArray[Any]] = {}
    for index in (_WEIGHTS, _BIAS):
        value = flat.maker(item.inputs[index]).node.op.known_value
        if value is None:
            raise GraphError("its weights are no constants", where=f"node {item.path}")
        constants[item.inputs[index]] = value
    weights, bias = constants
    shape = constants[weights].shape
    order = item.node.op.weights_order or tuple(range(len(shape)))
    inputs = int(np.prod([shape[axis] for axis in order[1:]]))
    values = random.normal(0.0, np.sqrt(2.0 / inputs), shape).astype(np.float32)
    return {weights.path: values, bias.path: np.zeros_like(constants[bias], np.float32)}


def replay_initialization(project: Project, step: Step) -> None:
    """A step of a state file: the same seed gives the same weights."""
    paths = step.options.get("paths")
    if not isinstance(paths, list):
        raise StateError("an init step without its paths")
    with recorded(project, "init", step.options):
        _draw(project, [str(path) for path in paths], int(step.options.get("seed", 0)))
