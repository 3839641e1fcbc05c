"""Rows of `speed`: which engines, threads and batches, and what they say."""

from __future__ import annotations

import pytest

from nnshell.execution.native_compiler import PLAIN
from nnshell.experiments import speed
from nnshell.ir.examples import random_inputs
from nnshell.ir.graph import Graph
from nnshell.quantization import calibrate_graph, quantize_graph
from nnshell.reports.speed_table import speed_table
from tests.passes.nets import Net


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_ROUNDS", 1)
    monkeypatch.setattr(speed, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(speed, "variant", lambda: PLAIN)  # nothing is compiled


def network(quantized: bool) -> Graph:
    net = Net(2, 5, 5)
    graph = net.output(net.conv(net.x, 3))
    if quantized:
        quantize_graph(graph, calibrate_graph(graph, [random_inputs(graph, 2)]))
    return graph


def test_each_engine_runs_one_image_and_a_batch_on_one_thread_and_more() -> None:
    graph = network(True)
    times = speed.engine_times(graph, random_inputs(graph, 2), batch=3, threads=2)
    kinds = [(time.engine, time.threads, time.batch) for time in times]
    assert kinds == [(e, t, b) for t in (1, 2) for e in ("float", "lowered") for b in (1, 3)]
    for time in times:
        row = time.to_json()
        assert row["ms_per_image"] * row["images_per_second"] == pytest.approx(1000, rel=0.01)


def test_before_quantization_only_the_float_engine_is_timed() -> None:
    graph = network(False)
    times = speed.engine_times(graph, random_inputs(graph, 1), batch=1, threads=1)
    assert [(time.engine, time.threads, time.batch) for time in times] == [("float", 1, 1)]
    assert [row[5] for row in speed_table("times", times).rows] == [1.0]
