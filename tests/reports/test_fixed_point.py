"""Explanations of POW2 arithmetic give the integers that the engine gives."""

from __future__ import annotations

import pytest

from nnshell import flow
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.quantization import QuantizationOptions
from nnshell.reports import formulas, graph_tables, scales, worked
from nnshell.session.project import Project


@pytest.fixture(scope="module")
def project() -> Project:
    project = flow.open_graph("sample:lenet")
    flow.adjust(project)
    flow.fuse(project, "pow2")
    images = flow.load_inputs("sample:calibration", norm="x: x/128-1", limit=4)
    flow.quantize(project, flow.calibrate(project, images), QuantizationOptions(scheme="POW2"))
    return project


@pytest.mark.parametrize("key", ["_conv1_Conv_fusion", "_conv2_Conv_fusion", "_fc3_Gemm"])
def test_a_value_by_hand_is_the_engine_s(project: Project, key: str) -> None:
    sample = worked.random_sample(project.graph, 3)
    value = worked.work_through(project.graph, key, sample)
    path = f"{key}/{key.removesuffix('_fusion')}" if "fusion" in key else key
    integers = IntegerEngine(project.graph).run([sample[0][None]], [path])[path][0]
    place = next(line for line in value.lines if line.startswith(path)).rpartition(" at ")[2]
    assert value.computed[path] == integers[tuple(map(int, place.split(",")))]
    assert value.accumulator == (value.products_sum or 0) + (value.bias or 0)


def test_every_form_of_an_explanation_speaks_of_fraction_bits(project: Project) -> None:
    graph = project.graph
    assert "Q" in scales.scales_text(graph, "*", 0, "none")
    assert "nA = nI + nW" in formulas.formula_text(graph, "_fc3_Gemm")
    assert "layer i" in formulas.formula_text(graph)
    assert "int16" in formulas.dataflow_text(graph, "_fc3_Gemm")


def test_sizes_are_those_of_16_bits(project: Project) -> None:
    table = graph_tables.show_table(project.graph)
    rows = {row[1]: row for row in table.rows}
    columns = [column.name for column in table.columns]
    active, parameters = columns.index("Active"), columns.index("Parameters")
    assert rows["_fc3_Gemm"][parameters] == 2 * (84 * 10 + 10)
    assert rows["_fc3_Gemm"][active] == 2 * (84 + 10)
    assert "at the bytes of their records" in table.notes[0]
    assert f"parameters take {2 * project.graph.parameters():,} bytes" in table.notes[0]
