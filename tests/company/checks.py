"""What has to hold for every graph, whatever stands beside what."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell import flow
from nnshell.chips import simulate_graph
from nnshell.chips.tiled.run import run_tiled
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.execution.sessions import Session
from nnshell.execution.simulated_engine import SimulatedEngine
from nnshell.exporters.onnx import export_bytes
from nnshell.exporters.simulated import export_simulated
from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.graph import Graph
from nnshell.ir.verify import verify
from nnshell.passes.catalogue import catalogue, passes_named
from nnshell.passes.inputs import as_in_file, fit_batch
from nnshell.passes.manager import compare_outputs, run_passes
from nnshell.passes.pipelines import ADJUST, POW2, SCALE8
from nnshell.quantization import calibrate_graph, quantize_graph
from nnshell.session.project import Project
from nnshell.support.errors import GraphError, ModelError, NNShellError
from nnshell.support.settings import Settings

from .graphs import Batch, Company

TOLERANCE = 2e-3
EVERY_PASS = [entry.name for entry in catalogue()]
PIPELINES = ((ADJUST, SCALE8), (SCALE8, ADJUST), (ADJUST, POW2))


def passes_keep_the_function(company: Company) -> None:
    """Float results before and after every pass of a pipeline, and of some passes alone."""
    random = Random(company.seed)
    verify(company.graph)
    for step in (*random.sample(EVERY_PASS, 3), random.choice(PIPELINES)):
        graph = company.graph.copy()
        passes = passes_named([step]) if isinstance(step, str) else (*step[0], *step[1])
        run_passes(graph, passes, check=_outputs_on(company.batch), tolerance=TOLERANCE)


def engines_agree(company: Company) -> None:
    """int8 fast, reference and tile by tile give the same integers, fused or not."""
    graph = _quantized(company)
    batch = fit_batch(graph, company.batch)
    for target in ("simulation", "chip"):
        reference = IntegerEngine(graph, target)
        expected = reference.run(batch)
        found = FastEngine(graph, list(expected), target).run(batch)
        for key, values in expected.items():
            assert np.array_equal(found[key], values), f"{key} for {target}: fast is not reference"
    report = simulate_graph(graph, Settings())
    if not report.shortfalls:
        tiled = run_tiled(graph, report, [array[0] for array in batch])
        wrong = [layer.name for layer in tiled.layers if not layer.equal]
        assert not wrong, f"tiled: {', '.join(wrong)}"


def files_agree(company: Company) -> None:
    """Exported files say what the engines compute: float, and with QDQ the simulated one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.onnx"
        path.write_bytes(export_bytes(company.graph))
        again = import_onnx(path).graph
        before = _values(_outputs_on(company.batch)(company.graph))
        after = _values(_outputs_on(company.batch)(again))
        compare_outputs("export", before, after, TOLERANCE)
    graph = _quantized(company)
    batch = fit_batch(graph, company.batch)
    names = [node.name for node in graph.outputs]
    simulated = SimulatedEngine(graph, threads=1).run(batch)
    written = _run_file(export_simulated(graph, integers=True).SerializeToString(), graph, batch)
    for name in names:
        step = IntegerEngine(graph).record(name).first_scale
        distance = np.abs(simulated[name] - written[name]) / step
        for least, most in MOST_OTHERS.items():
            share = float((distance > least).mean())
            assert share <= most, f"{name}: {share:.1%} of the QDQ file's values are others"


def quantized_files_come_back(company: Company) -> None:
    """A QDQ file opened with its quantization gives what the graph gives, mostly to the bit."""
    graph = _quantized(company)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "qdq.onnx"
        path.write_bytes(export_simulated(graph, integers=True).SerializeToString())
        try:
            again = flow.open_graph(path, load_quantization=True)
        except ModelError as error:  # recurrent layers, image formatters
            assert "cannot be taken over" in error.message
            return
        if Random(company.seed).random() < 0.7:
            flow.adjust(again)
            flow.fuse(again, "scale8")
    batch = fit_batch(graph, company.batch)  # as the file takes it, which is as the graph does
    engine = IntegerEngine(graph)
    ours, theirs = engine.run(batch), IntegerEngine(again.graph).run(fit_batch(again.graph, batch))
    read = as_in_file(again.graph, {n.name: theirs[n.name] for n in again.graph.outputs})
    for first, second in zip(graph.outputs, again.graph.outputs, strict=True):
        record, other = engine.record(first.name), IntegerEngine(again.graph).record(second.name)
        values, result = record.dequantize(ours[first.name]), other.dequantize(read[second.name])
        assert result.shape == values.shape
        distance = float(np.median(np.abs(result - values))) / record.first_scale
        most = MEDIAN_STEPS if _same_inputs(graph, again.graph) else OTHER_INPUTS_STEPS
        assert distance <= most, f"{first.name}: {distance} steps"


def _same_inputs(graph: Graph, again: Graph) -> bool:
    """Whether both read their inputs in the same records."""
    records = [
        [node.quantization.output for node in each.inputs if node.quantization is not None]
        for each in (graph, again)
    ]
    return all(
        np.isclose(one.first_scale, other.first_scale) and one.zero_point == other.zero_point
        for one, other in zip(*records, strict=True)
    )


MEDIAN_STEPS = 2.01  # where a file's reader keeps one record of two, or a bias is a unit off
OTHER_INPUTS_STEPS = 12.0  # where layers make the input's record symmetric, and so coarser

# Share by steps of distance: ONNX Runtime joins two such pairs that follow one another and rounds
# halves to even, resizes make many values of one; hardly any is further than one step.
MOST_OTHERS = {1e-3: 0.5, 1.01: 0.02}


def sessions_come_back(company: Company) -> None:
    """A saved state opens as it was, and what is generated is generated again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "model.onnx"
        path.write_bytes(export_bytes(company.graph))
        project = flow.open_graph(path)
        flow.adjust(project)
        flow.fuse(project, "scale8")
        batch = fit_batch(project.graph, company.batch)
        flow.quantize(project, calibrate_graph(project.graph, [batch]))
        flow.save_state(project, folder / "state.json")
        again = flow.open_graph(folder / "state.json")
        assert list(again.graph.nodes) == list(project.graph.nodes)
        expected = IntegerEngine(project.graph).run(batch)
        for key, values in IntegerEngine(again.graph).run(batch).items():
            assert np.array_equal(values, expected[key]), f"{key} is another after reopening"
        texts = [_generated(p, folder / number) for p, number in ((project, "1"), (again, "2"))]
        texts.append(_generated(project, folder / "1"))
        assert texts[0] == texts[1] == texts[2], "generated twice is not generated once"


CHECKS: dict[str, Callable[[Company], None]] = {
    check.__name__: check
    for check in (
        passes_keep_the_function,
        engines_agree,
        files_agree,
        quantized_files_come_back,
        sessions_come_back,
    )
}


def _generated(project: Project, folder: Path) -> dict[str, bytes] | str:
    """All files by name, or what was refused."""
    try:
        flow.generate(project, folder)
    except GraphError as error:
        return str(error)
    files = (path for path in folder.rglob("*") if path.is_file())
    names = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {key: text.replace(str(folder).encode(), b"") for key, text in names.items()}


def _quantized(company: Company) -> Graph:
    graph = company.graph.copy()
    if Random(company.seed).random() < 0.7:
        run_passes(graph, (*ADJUST, *SCALE8))
    quantize_graph(graph, calibrate_graph(graph, [fit_batch(graph, company.batch)]))
    return graph


def _outputs_on(batch: Batch) -> Callable[[Graph], Mapping[str, NDArray[Any]]]:
    def outputs(graph: Graph) -> Mapping[str, NDArray[Any]]:
        return as_in_file(graph, FloatEngine(graph, threads=1).run(fit_batch(graph, batch)))

    return outputs


def _values(results: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    """By number: names of a file's outputs are its tensors'."""
    return {str(index): values for index, values in enumerate(results.values())}


def _run_file(data: bytes, graph: Graph, batch: Batch) -> dict[str, NDArray[Any]]:
    session = Session(data, threads=1)
    feeds = {node.name: array for node, array in zip(graph.inputs, batch, strict=True)}
    names = [node.name for node in graph.outputs]
    return dict(zip(names, session.run(names, feeds), strict=True))


__all__ = ["CHECKS", "NNShellError"]
