"""Commands that change parts of a graph: formatter, node options, cuts, per-node quantization.

Each is recorded in the recipe. A graph that was quantized is quantized again from the statistics
it has, so the order of commands does not matter.
"""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nnshell.ir.graph import Graph, Node
from nnshell.ir.operator import OPERATORS
from nnshell.ir.select import select, select_one
from nnshell.passes.edit import (
    CutGraph,
    ExtractNode,
    FreezeOrder,
    RemoveBetween,
    SetImageFormat,
    graph_input,
)
from nnshell.passes.manager import PassRecord
from nnshell.passes.recurrent import SetRecurrentOption
from nnshell.passes.regions import FROZEN
from nnshell.quantization import remove_quantization
from nnshell.quantization.states import with_states
from nnshell.session.losses import say_losses
from nnshell.session.project import Project
from nnshell.session.recipe import recorded, remember_setting
from nnshell.session.steps import Step
from nnshell.support.errors import GraphError, QuantizationError, UsageError
from nnshell.support.settings import describe

log = logging.getLogger(__name__)

_ALL_NODES = ("VCD_TRACE_ON", "DUMP_TENSORS", "OUT_HOME_MEM_LOC", "OUT_EXEC_MEM_LOC", "NODE_CNAME")
_ENDS = ("ALLOCATE", "FIXED_ORDER", "EXTERN_INPUT_POINTER", "EXTERN_OUTPUT_POINTER")
_KERNELS = (
    "TILEORIENTATION",
    "PARALLELFEATURES",
    "FORCEDPCONV",
    "USEHWCE",
    "PADTYPE",
    "ENABLEIM2COL",
    "RELUN",
    "MULBIASSCALAR",
    "RELUNNONORM",
    "HWC",
    "INPUT_DATASIZE",
    "OUTPUT_DATASIZE",
    "FLOAT_DUMP",
    "EXPLICIT_PAD_CONV",
    "EXPLICIT_PAD_POOL",
)


@contextmanager
def requantized(project: Project) -> Iterator[None]:
    """Run a block that edits the graph; if it was quantized, quantize it again afterwards.

    The block sees the graph without the quantize nodes that were inserted into it.
    """
    was_quantized = project.quantized
    if was_quantized:
        remove_quantization(project.graph)
    yield
    if was_quantized:
        project.quantize(project.basis)


def image_format(
    project: Project,
    input_name: str,
    format: str,
    norm: str,
    *,
    pixel: Sequence[float] | None = None,
) -> list[PassRecord]:
    """Put an image formatter after a graph input: it then takes raw pixels, HWC uint8.

    A second call replaces the formatter, ``none none`` removes it. What a pixel means in float
    follows from the input's quantization when there is one, so that float and int8 agree; ``pixel``
    gives it as scale and offset instead.
    """
    meaning = _given_meaning(pixel) if pixel else _pixel_meaning(project.graph, input_name, norm)
    step = SetImageFormat(input_name, format, norm, meaning.scale, meaning.offset)
    options: dict[str, Any] = {"input": input_name, "format": format, "norm": norm}
    options["pixel"] = [meaning.scale, meaning.offset]
    with recorded(project, "imageformat", options), requantized(project):
        records = project.run_passes([step])
    if meaning.seen is not None and (format, norm) != ("none", "none"):
        _check_meaning(meaning, input_name)
    return records


@dataclass(frozen=True, slots=True)
class _PixelMeaning:
    """Real value of a pixel: scale * pixel + offset; ``seen`` is the range calibration saw."""

    scale: float
    offset: float
    seen: tuple[float, float] | None = None


def _given_meaning(pixel: Sequence[float]) -> _PixelMeaning:
    numbers = [n for n in pixel if isinstance(n, int | float) and math.isfinite(n)]
    if len(numbers) != 2 or len(pixel) != 2 or numbers[0] <= 0:
        raise GraphError(f"a pixel is a scale above 0 and an offset, not {pixel}")
    return _PixelMeaning(float(numbers[0]), float(numbers[1]))


def _pixel_meaning(graph: Graph, input_name: str, norm: str) -> _PixelMeaning:
    """From the record of what the network takes; without one, NNTool's reading of the norm."""
    node = graph_input(graph, input_name)
    readers = [n for n, _ in graph.consumers(node.name) if n.op.role == "format"]
    taken = readers[0] if readers else node
    if taken.quantization is None:
        return _UNCALIBRATED.get(norm, _PixelMeaning(1.0, 0.0))
    record = taken.quantization.outputs[0]
    step, zero = record.first_scale, record.zero_point
    seen = float(record.minimum.flat[0]), float(record.maximum.flat[0])
    if norm == "offset_int8":
        return _PixelMeaning(step, 0.0 - step * (128 + zero), seen)
    if norm == "shift_int8":
        return _PixelMeaning(step / 2, 0.0 - step * zero, seen)
    return _PixelMeaning(step, 0.0 - step * zero, seen)


_UNCALIBRATED = {
    "offset_int8": _PixelMeaning(1 / 128, -1.0),
    "shift_int8": _PixelMeaning(1 / 256, 0.0),
}


def _check_meaning(meaning: _PixelMeaning, input_name: str) -> None:
    """Warn when the chip will feed the network another range than it was calibrated on."""
    assert meaning.seen is not None
    low, high = meaning.offset, meaning.offset + 255 * meaning.scale
    slack = 0.05 * (high - low)
    if meaning.seen[0] < low - slack or low < meaning.seen[0] - 0.25 * (high - low):
        log.warning(
            "%s: pixels 0..255 will mean %.3g..%.3g, calibration saw %.3g..%.3g; "
            "calibrate on the range the formatter gives, or choose another norm",
            input_name,
            low,
            high,
            *meaning.seen,
        )


def freeze(
    project: Project, names: Sequence[str], *, transpose: Sequence[int] | None = None
) -> list[PassRecord]:
    """Keep (or, a second time, no longer keep) the layout of graph inputs and outputs."""
    order = tuple(transpose or ())
    options = {"names": list(names), "transpose": list(order)}
    with recorded(project, "freeze", options), requantized(project):
        passes = [FreezeOrder(name, not _is_frozen(project.graph, name), order) for name in names]
        return project.run_passes(passes)


def _is_frozen(graph: Graph, name: str) -> bool:
    return name in graph and FROZEN in graph[name].options


def _one(graph: Graph, selector: str) -> Node:
    return select_one(graph, selector)[1]


def remove(
    project: Project, first: str, last: str | None = None, *, up: bool = False, leave: bool = False
) -> list[PassRecord]:
    """Cut the nodes between two nodes, or everything after (``up``: before) the first."""
    options = {"first": first, "last": last, "up": up, "leave": leave}
    with recorded(project, "remove", options), requantized(project):
        step = CutGraph(first, up, leave) if last is None else RemoveBetween(first, last)
        return project.run_passes([step])


def extract(project: Project, selector: str) -> list[PassRecord]:
    """Keep one step, as a graph of its own."""
    with recorded(project, "extract", {"selector": selector}), requantized(project):
        return project.run_passes([ExtractNode(_one(project.graph, selector).name)])


def node_option(project: Project, selector: str, key: str, value: str | None) -> list[Node]:
    """Set (``None``: clear) an AutoTiler option of the selected nodes; returns them."""
    name = key.upper()
    nodes = [node for _, node in select(project.graph, selector) if node.op.role != "constant"]
    for node in nodes:
        _check_option(node, name)
    changed = [node for node in nodes if name in node.op.option_fields]
    on = bool(changed) and value is not None and _is_on(name, value)
    with recorded(project, "nodeoption", {"selector": selector, "key": name, "value": value}):
        for node in nodes:
            node.options.pop(name, None)
            if value is not None:
                node.options[name] = value
        if changed:
            _set_recurrent_option(project, changed, name, on)
    return [project.graph[node.name] if node in changed else node for node in nodes]


def _is_on(name: str, value: str) -> bool:
    if value not in ("", "0", "1"):
        raise UsageError(f"{name} takes 0 or 1, not '{value}'")
    return value != "0"


def _set_recurrent_option(project: Project, nodes: Sequence[Node], option: str, on: bool) -> None:
    """Change the layers, and quantize again where the graph was quantized.

    A state that becomes an input has the range that calibration saw of it.
    """
    if option == "RNN_USE_HARDACT" and on:
        log.warning(
            "hard functions cost about 16 dB where the network was trained with sigmoid and tanh: "
            "compare with `qerror INPUTS` or `validate INPUTS -q`"
        )
    steps = [SetRecurrentOption(node.name, option, on) for node in nodes]
    with requantized(project):
        before = {node.name for node in project.graph.inputs}
        project.run_passes(steps)
        fresh = [node for node in project.graph.inputs if node.name not in before]
        if project.statistics is not None and fresh:
            project.statistics = with_states(project.statistics, project.graph, fresh)


def option_names(node: Node) -> tuple[str, ...]:
    """AutoTiler options a node takes."""
    if node.op.role in ("input", "output"):
        return (*_ENDS, *_ALL_NODES)
    return (*node.op.option_fields, *_KERNELS, *_ALL_NODES)


def check_option_name(key: str) -> None:
    """UsageError for a name that is no option of any node."""
    fields = [name for cls in OPERATORS.values() for name in cls.option_fields]
    known = (*_ALL_NODES, *_ENDS, *_KERNELS, *dict.fromkeys(fields))
    if key.upper() not in known:
        near = difflib.get_close_matches(key.upper(), known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"options are {', '.join(known)}"
        raise UsageError(f"no node has an option {key.upper()}", hint=hint)


def _check_option(node: Node, name: str) -> None:
    known = option_names(node)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3) or known[:4]
    raise UsageError(
        f"{name} is not an option of {node.kind} nodes",
        where=f"node {node.name}",
        hint=f"options include {', '.join(near)}",
    )


def tune(project: Project, selectors: Mapping[str, Mapping[str, Any]]) -> None:
    """Quantize again with other options for the selected nodes, from the statistics at hand."""
    basis = project.basis
    options = basis.options
    for selector, values in selectors.items():
        names = [key for key, _ in select(project.graph, selector)] if selector != "*" else ["*"]
        for name in names:
            options = options.with_node(name, values)
    plain = {selector: dict(values) for selector, values in selectors.items()}
    with recorded(project, "qtune", {"steps": plain}):
        project.quantize(basis.with_options(options))
    say_losses(project)


def tuning(project: Project) -> dict[str, dict[str, Any]]:
    """The options of the last quantization by selector, ``*`` those of all nodes, as for `tune`."""
    if project.quantization_options is None:
        raise QuantizationError(
            "the graph has no quantization options", where=project.name, hint="run aquant first"
        )
    values: dict[str, Any] = project.quantization_options.to_mapping()
    nodes: dict[str, dict[str, Any]] = values.pop("nodes")
    return {"*": {**values, **nodes.pop("*", {})}, **nodes}


def set_setting(project: Project, name: str, value: bool | int | float | str) -> None:
    """Change a setting of a project; recorded, so that its state restores it."""
    change_setting([project], name, value)


def change_setting(projects: Sequence[Project], name: str, value: bool | int | float | str) -> None:
    """Record a setting in the recipe of projects that share it, so that their states restore it."""
    describe(name).check(value)
    for project in projects:
        remember_setting(project, name, value)
    for project in projects:
        project.settings.assign(name, value)


def _replay_tune(project: Project, step: Step) -> None:
    steps = step.options.get("steps")
    if not isinstance(steps, dict):
        raise GraphError("a qtune step without its options")
    tune(project, steps)


def _replay_freeze(project: Project, step: Step) -> None:
    freeze(project, step.options["names"], transpose=step.options.get("transpose"))


def _replay_image_format(project: Project, step: Step) -> None:
    options = step.options
    pixel = options.get("pixel")  # files of older versions have none
    image_format(project, options["input"], options["format"], options["norm"], pixel=pixel)


EDITS: dict[str, Callable[[Project, Step], Any]] = {
    "imageformat": _replay_image_format,
    "freeze": _replay_freeze,
    "remove": lambda project, step: remove(project, **step.options),
    "extract": lambda project, step: extract(project, **step.options),
    "nodeoption": lambda project, step: node_option(project, **step.options),
    "qtune": _replay_tune,
    "set": lambda project, step: change_setting([project], **step.options),
}
