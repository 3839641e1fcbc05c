"""``NNGraph``: NNTool's Python class over a project. Every method is a few calls of nnshell's own.

What nnshell does not have (accelerators of GAP9, float kernels) is refused with the reason, as at
the prompt.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell import flow
from nnshell.compat import statistics as stats
from nnshell.compat import utils
from nnshell.compat.nodes import NNNode
from nnshell.compat.target import ExecutionResult
from nnshell.execution.engines import Engine, EngineName, make_engine
from nnshell.ir.graph import Node
from nnshell.quantization import QuantizationOptions
from nnshell.reports import drawing as drawings
from nnshell.reports.graph_tables import live_bytes, show_table
from nnshell.reports.plain import plain_text
from nnshell.reports.quantization_tables import qshow_table
from nnshell.reports.tensors import dequantized
from nnshell.session import edits
from nnshell.session.project import Project
from nnshell.session.samples import batches_of
from nnshell.state import generate_project
from nnshell.support.errors import GraphError, InputError, UsageError
from nnshell.support.settings import why_dropped

Array = NDArray[Any]
_LOG = logging.getLogger(__name__)

# Options of load_graph that change nothing here.
_IDLE = frozenset({"fold_batchnorm", "load_dequantized", "use_lut_tanh", "use_lut_sigmoid"})
_SPELLED = {"quantize_dimension": "quantized_dimension"}
_SCHEMES = {"SCALED", "SQ8"}


class NNGraph:
    """A graph as ``nntool.api`` has it; ``project`` is the same for nnshell's own functions."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._engine: tuple[tuple[object, ...], Engine] | None = None

    # -- files ---------------------------------------------------------------------------------

    @staticmethod
    def load_graph(
        filename: str | Path,
        load_quantization: bool = False,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
        **others: Any,
    ) -> NNGraph:
        """Open a model, or a state (.json)."""
        unknown = set(others) - _IDLE
        if unknown:
            raise UsageError(f"load_graph has no option '{min(unknown)}' here")
        options: dict[str, Any] = {"input_shapes": input_shapes} if input_shapes else {}
        if others.get("fold_batchnorm") is False:
            options["fold_batchnorm"] = False
        return NNGraph(flow.open_graph(filename, load_quantization=load_quantization, **options))

    @staticmethod
    def read_graph_state(filename: str | Path) -> NNGraph:
        """Open a state file."""
        return NNGraph(flow.open_graph(filename))

    def write_graph_state(self, filename: str | Path | None = None) -> Path:
        """Write a state file; returns its path."""
        return flow.save_state(self.project, filename)

    def generate(
        self,
        directory: str | Path | None = None,
        write_constants: bool = False,
        settings: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> Any:
        """Write the AutoTiler model, its header and, when asked for, the constants."""
        _note_ignored("generate", others)
        self._set(settings)
        chosen = self.project.settings
        folder = Path(directory or chosen.model_directory)
        return flow.generate(
            self.project,
            folder,
            tensor_directory=_inside(directory, chosen.tensor_directory),
            dump_tensors=write_constants,
        )

    gen_at_model = generate

    def gen_project(
        self,
        directory: str | Path,
        settings: Mapping[str, Any] | None = None,
        overwrite: bool = True,
        **others: Any,
    ) -> dict[Path, bool]:
        """Write an application for the GAP SDK around the network: `gen_project`."""
        _note_ignored("gen_project", others)
        self._set(settings)
        return generate_project(self.project, directory, overwrite=overwrite)

    # -- the graph -----------------------------------------------------------------------------

    def adjust_order(self, **others: Any) -> None:
        """Order tensors as the kernels want them: `adjust`."""
        _note_ignored("adjust_order", others)
        flow.adjust(self.project)

    def add_dimensions(self, **_: Any) -> None:
        """Nothing to do: shapes are known at all times."""

    def fusions(self, *names: str, **others: Any) -> None:
        """Apply fusions or groups of them by name: `fusions`."""
        _note_ignored("fusions", others)
        flow.fuse(self.project, *(names or ("scaled_match_group",)))

    def remove_nodes(
        self, node_from: NNNode | str, node_to: NNNode | str | None = None, up: bool = False
    ) -> None:
        """Cut the nodes after a node, up to another if one is given: `remove`."""
        last = None if node_to is None else _name(node_to)
        edits.remove(self.project, _name(node_from), last, up=up)

    def insert_dsp_preprocessing(self, *_: Any, **__: Any) -> None:
        raise UsageError(
            "feature kernels (MFCC, RFFT) are not part of nnshell",
            hint="compute the features before, and give them as arrays",
        )

    def balance_filters(self, *_: Any, **__: Any) -> None:
        raise UsageError("per-channel weight scales make balance_filters unnecessary")

    def set_node_option(self, node: NNNode | str, option: str, value: Any) -> None:
        self[_name(node)].set_option(option, value)

    def get_node_option(self, node: NNNode | str, option: str) -> str | None:
        return self.project.graph[_name(node)].options.get(option.upper())

    @property
    def name(self) -> str:
        """The name of the graph in generated code."""
        return self.project.settings.graph_name or self.project.name

    @name.setter
    def name(self, value: str) -> None:
        edits.set_setting(self.project, "graph_name", value)

    @property
    def total_ops(self) -> int:
        """Multiplications with addition of one inference."""
        return self.project.graph.macs()

    @property
    def total_memory_usage(self) -> tuple[int, int]:
        """The most elements of feature maps alive at once, and elements of constants."""
        graph = self.project.graph
        return max(live_bytes(graph).values(), default=0), graph.parameters()

    @property
    def num_inputs(self) -> int:
        return len(self.project.inputs)

    @property
    def quantization(self) -> dict[str, Any]:
        """What each node was quantized to, by name."""
        return {node.name: node.quantization for node in self.project.graph if node.quantization}

    def __len__(self) -> int:
        return len(self.project.graph)

    def __getitem__(self, key: int | str | NNNode) -> NNNode:
        if isinstance(key, int | np.integer):
            return NNNode(self, self.project.steps()[int(key)].name)
        return NNNode(self, self.project.graph[_name(key)].name)

    def __contains__(self, key: str) -> bool:
        return key in self.project.graph

    def nodes(self, node_classes: Any = None, **others: Any) -> list[NNNode]:
        """Nodes in step order, all or those of a class of ``nnshell.compat.types`` (or several)."""
        _note_ignored("nodes", others)
        results = [NNNode(self, node.name) for node in self.project.steps()]
        return [n for n in results if node_classes is None or isinstance(n, node_classes)]

    def input_nodes(self) -> list[NNNode]:
        return [NNNode(self, node.name) for node in self.project.inputs]

    def output_nodes(self) -> list[NNNode]:
        return [NNNode(self, node.name) for node in self.project.outputs]

    # -- quantization --------------------------------------------------------------------------

    def collect_statistics(self, input_tensors_iter: Any, **others: Any) -> dict[str, Any]:
        """Run the float graph on samples (arrays, or lists with one per input) and keep ranges."""
        _note_ignored("collect_statistics", others)
        return stats.collect(self.project, input_tensors_iter)

    def quantize(
        self,
        statistics: Any = None,
        schemes: Sequence[str] | None = None,
        graph_options: Mapping[str, Any] | None = None,
        node_options: Mapping[str | NNNode, Mapping[str, Any]] | None = None,
        **others: Any,
    ) -> None:
        """Quantize from statistics, to SQ8 or POW2; without any, from those of the last time."""
        _note_ignored("quantize", others)
        schemes = [schemes] if isinstance(schemes, str) else schemes or ()
        refused = [scheme for scheme in schemes if str(scheme).upper() not in _SCHEMES]
        values = _spelled(graph_options or {})
        if refused and not any(str(s).upper() in _SCHEMES for s in schemes):
            values["scheme"] = refused[0]
        nodes = {_name(node): _spelled(chosen) for node, chosen in (node_options or {}).items()}
        options = QuantizationOptions.from_mapping({**values, "nodes": nodes})
        flow.quantize(self.project, stats.as_statistics(statistics, self.project), options)

    # -- running -------------------------------------------------------------------------------

    def execute(
        self,
        input_tensors: Any,
        quantize: bool = False,
        dequantize: bool = False,
        output_dict: bool = False,
        **others: Any,
    ) -> Any:
        """The outputs of every step for one sample: ``result[STEP][OUTPUT]``, or by node name.

        Floats; with ``quantize`` the integers of the int8 graph, with ``dequantize`` their real
        values. A constant's entry is its value.
        """
        _note_ignored("execute", others)
        engine: EngineName = "int8" if quantize or dequantize else "float"
        tensors = self._run(input_tensors, engine)
        if dequantize:
            tensors = dict(dequantized(self.project.graph, tensors))
        results = {n.name: _outputs(n, tensors) for n in self.project.steps()}
        return results if output_dict else list(results.values())

    def _run(self, argument: Any, engine: EngineName) -> dict[str, Array]:
        graph = self.project.graph
        arrays = _one_sample(argument, self.num_inputs)
        (batch,) = batches_of(self.project, arrays)
        if len(batch) != 1:
            raise InputError(f"{len(batch)} samples at once", hint="execute takes one sample")
        target = self.project.settings.int8_target
        state = (engine, target, *map(id, self.project.recipe))
        if self._engine is None or self._engine[0] != state:
            result = make_engine(graph, engine, everything=True, target=target)
            self._engine = (state, result)
        outputs = self._engine[1].run(batch.arrays)
        return {key: value[0] for key, value in outputs.items()}

    @staticmethod
    def qsnrs(first: utils.Outputs, second: utils.Outputs, idx: int = 0) -> list[float]:
        """Signal to noise in dB by step, of two results of ``execute``."""
        return utils.qsnrs(first, second, idx)

    @staticmethod
    def cos_sim(first: utils.Outputs, second: utils.Outputs, idx: int = 0) -> list[float]:
        """Cosine by step, of two results of ``execute``."""
        return utils.cos_sim(first, second, idx)

    def execute_on_target(
        self,
        directory: str | Path | None = None,
        input_tensors: Any = None,
        settings: Mapping[str, Any] | None = None,
        write_out_to_file: bool = False,
        **others: Any,
    ) -> ExecutionResult:
        """The simulator's cycles by layer for GAP8, and the int8 graph's tensors.

        Nothing runs on a board or on GVSoC, and the log says so. With ``write_out_to_file`` the
        integers of the graph's outputs go to DIRECTORY/Output_1.bin and so on.
        """
        _LOG.warning("execute_on_target: cycles are estimated for GAP8, nothing runs on a target")
        _LOG.debug("without effect: %s", ", ".join(sorted(others)))
        self._set(settings)
        report = flow.simulate(self.project)
        outputs: list[list[Array]] = []
        if input_tensors is not None:
            outputs = self.execute(_real_inputs(self, input_tensors), quantize=True)
        if write_out_to_file and directory and outputs:
            folder = Path(directory)
            folder.mkdir(parents=True, exist_ok=True)
            for number, node in enumerate(self.output_nodes(), start=1):
                outputs[node.step_idx][0].tofile(folder / f"Output_{number}.bin")
        return ExecutionResult(report, outputs)

    # -- looking -------------------------------------------------------------------------------

    def show(self, nodes: Iterable[NNNode | str] | None = None, **others: Any) -> str:
        """The table of `show`."""
        _note_ignored("show", others)
        return plain_text(show_table(self.project.graph, self._chosen(nodes)))

    def qshow(self, nodes: Iterable[NNNode | str] | None = None, **others: Any) -> str:
        """The table of `qshow`."""
        _note_ignored("qshow", others)
        names = None if nodes is None else [_name(node) for node in nodes]
        return plain_text(qshow_table(self.project.graph, names))

    def draw(
        self,
        filepath: str | Path | None = None,
        nodes: Iterable[NNNode | str] | None = None,
        quant_labels: bool = False,
        fusions: bool = False,
        constants: bool = False,
        **others: Any,
    ) -> str:
        """Graphviz text of the graph; with ``filepath`` also a picture (.pdf unless it ends so)."""
        _LOG.debug("without effect: %s", ", ".join(sorted(others)))
        form = drawings.Drawing(constants, fusions, quant_labels, False)
        chosen = self._chosen(nodes)
        names = None if chosen is None else {node.name for node in chosen}
        if filepath is not None:
            path = Path(filepath)
            ending = ".pdf" if drawings.can_draw() else ".dot"
            path = path if path.suffix else path.with_name(path.name + ending)
            drawings.draw(self.project.graph, path, form, names)
        return drawings.dot_text(self.project.graph, form, names)

    def _chosen(self, nodes: Iterable[NNNode | str] | None) -> list[Node] | None:
        return None if nodes is None else [self.project.graph[_name(node)] for node in nodes]

    def _set(self, settings: Mapping[str, Any] | None) -> None:
        for name, value in (settings or {}).items():
            if why_dropped(name):
                _LOG.warning("setting %s does nothing here: %s", name, why_dropped(name))
            else:
                edits.set_setting(self.project, name, value)

    def __iter__(self) -> Iterator[NNNode]:
        return iter(self.nodes())

    def __repr__(self) -> str:
        return f"<NNGraph {self.name}: {len(self)} nodes>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(
            f"NNGraph.{name} is not part of nnshell.compat, see docs/from_nntool.md"
        )


def _name(node: NNNode | str) -> str:
    return node.name if isinstance(node, NNNode) else node


def _spelled(options: Mapping[str, Any]) -> dict[str, Any]:
    return {_SPELLED.get(name, name): value for name, value in options.items()}


def _note_ignored(method: str, others: Mapping[str, Any]) -> None:
    for name in others:
        _LOG.warning("%s: the argument %s does nothing here", method, name)


def _inside(directory: str | Path | None, tensors: str) -> str | None:
    """Where constants go: as the setting says, or in the folder that was asked for."""
    return None if directory is not None and tensors == "." else tensors


def _one_sample(value: Any, inputs: int) -> list[Array]:
    """One array for each graph input; of a loader, its next sample."""
    if isinstance(value, np.ndarray):
        return [value]
    if not isinstance(value, list | tuple):
        value = next(iter(value))
        value = [value] if isinstance(value, np.ndarray) else value
    arrays = [np.asarray(array) for array in value]
    if len(arrays) != inputs:
        raise InputError(f"{len(arrays)} arrays for {inputs} graph inputs")
    return arrays


def _real_inputs(graph: NNGraph, value: Any) -> list[Array]:
    """Inputs as floats: integers are what ``execute(quantize=True)`` gave for the inputs."""
    arrays = _one_sample(value, graph.num_inputs)
    for index, node in enumerate(graph.project.inputs):
        record = node.quantization
        if arrays[index].dtype.kind in "iu" and record is not None and node.kind == "input":
            arrays[index] = record.output.dequantize(arrays[index])
    return arrays


def _outputs(node: Node, tensors: Mapping[str, Array]) -> list[Array]:
    if node.op.known_value is not None:
        return [node.op.known_value]
    keys = [node.name, *(f"{node.name}[{index}]" for index in range(1, len(node.outputs)))]
    missing = [key for key in keys if key not in tensors]
    if missing:
        raise GraphError(f"'{missing[0]}' was not computed")
    return [tensors[key] for key in keys]
