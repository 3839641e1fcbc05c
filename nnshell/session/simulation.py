"""What `simulate` does beside the plain estimate: other tables and chips, what-if, explanations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nnshell.chips import (
    Chip,
    Parameters,
    SimulationReport,
    chrome_trace,
    explain,
    levers,
    library_for,
    load_chip,
    load_kernels,
    network_from_graph,
    schemes_of,
    simulate_network,
)
from nnshell.chips.insight.explain import Explanation
from nnshell.chips.insight.sweep import Axes, Run, Sweep
from nnshell.chips.insight.sweep import sweep as sweep_network
from nnshell.chips.tiled.run import TiledRun, run_tiled
from nnshell.inputs.input_set import Batch
from nnshell.ir.select import select_one
from nnshell.ir.widths import has_chip_widths
from nnshell.session.project import Project
from nnshell.support.errors import UsageError
from nnshell.support.settings import describe

SWEPT = ("cores", "fc_freq", "cl_freq", "voltage", "l1", "l2")
_WHOLE = ("cores", "l1", "l2")


def one_inference(
    project: Project, *, kernels: str | None = None, chip: str | Path | None = None
) -> SimulationReport:
    """One inference under the project's settings; ``kernels`` and ``chip`` may be TOML files."""
    network, parameters = network_from_graph(project.graph), _parameters(project, kernels)
    return simulate_network(network, parameters, chip=_chip(project, chip))


def remark(project: Project) -> str:
    """What the report assumes that the graph is not, "" when nothing."""
    if not project.quantized:
        return "not quantized yet: simulated as if all tensors were int8 (run aquant INPUTS)"
    if not has_chip_widths(project.graph):
        return (
            "other widths than 8 bits are quantized here, and the chip has no kernels for them: "
            "cycles and bytes are those of int8"
        )
    if len(schemes_of(project.graph)) > 1:
        table = library_for(project.graph, project.settings.kernels)
        return f"layers of SQ8 and of POW2: all take the cycles of kernels {table}"
    return ""


def explain_layer(project: Project, report: SimulationReport, text: str) -> Explanation:
    """What a layer costs, and why; ``text`` selects its node as in every command.

    An inner node stands for its fusion. A name of the model file selects, too. UsageError when
    the node takes no cycles, GraphError when no node matches.
    """
    if any(layer.name == text for layer in report.layers):
        return explain(report, text)
    key, _ = select_one(project.graph, text)
    return explain(report, key.partition("/")[0] if key not in project.graph else key)


def sweep(
    project: Project,
    lists: Mapping[str, str | Sequence[float]],
    *,
    kernels: str | None = None,
    chip: str | Path | None = None,
    run: Run | None = None,
) -> Sweep:
    """All combinations of the values; ``lists`` has numbers, or texts such as "1,2,4", by name of
    `SWEPT`.

    Raises:
        UsageError: another name, not a list of numbers, or no point that is possible.
    """
    if unknown := next((name for name in lists if name not in SWEPT), None):
        raise UsageError(f"{unknown} cannot be swept", hint=f"one of {', '.join(SWEPT)}")
    axes = Axes(**{name: _values(name, values) for name, values in lists.items()})  # type: ignore[arg-type]
    network, parameters = network_from_graph(project.graph), _parameters(project, kernels)
    return sweep_network(network, parameters, axes, _chip(project, chip), run)


def tiled(
    project: Project,
    report: SimulationReport,
    batches: Iterable[Batch],
    progress: Callable[[int], None] | None = None,
) -> list[TiledRun]:
    """The int8 graph tile by tile on every sample, each compared with the whole run."""
    runs = []
    for batch in batches:
        for row in range(len(batch)):
            sample = [array[row] for array in batch.arrays]
            runs.append(run_tiled(project.graph, report, sample, project.settings.int8_target))
            if progress is not None:
                progress(1)
    return runs


def _parameters(project: Project, kernels: str | None) -> Parameters:
    parameters = Parameters.from_settings(project.settings)
    return replace(parameters, kernels=kernels or library_for(project.graph, parameters.kernels))


def _chip(project: Project, path: str | Path | None) -> Chip:
    return load_chip(path or project.settings.chip or None)


def check_setting(name: str, value: str) -> None:
    """Read the file that a setting names; UsageError when it is missing or wrong."""
    if name == "kernels":
        load_kernels(value)
    elif name == "chip" and value:
        load_chip(value)


def _values(name: str, values: str | Sequence[float]) -> tuple[float, ...]:
    """Numbers, or a text of them separated by commas, written as `set` takes them: 64k, 175M."""
    text = values if isinstance(values, str) else ",".join(map(str, values))
    like = describe("l1_size" if name in _WHOLE else "equalization_threshold")
    try:
        parsed = [like.parse(word) for word in text.split(",") if word.strip()]
    except UsageError as error:
        raise UsageError(f"--{name} {text}: not a list of numbers", hint=error.hint) from None
    if not parsed:
        raise UsageError(f"--{name} has no values", hint=f"give a list: --{name} 1,2,4")
    return tuple(dict.fromkeys(float(v) if name not in _WHOLE else int(v) for v in parsed))


__all__ = [
    "SWEPT",
    "Explanation",
    "TiledRun",
    "check_setting",
    "chrome_trace",
    "explain_layer",
    "levers",
    "one_inference",
    "sweep",
    "tiled",
]
