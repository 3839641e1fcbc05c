"""Whatever the graph: each pass and the whole pipelines keep the float function."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnshell.ir.verify import verify
from nnshell.passes.base import Pass
from nnshell.passes.catalogue import catalogue, passes_named
from nnshell.passes.manager import run_passes
from nnshell.passes.pipelines import ADJUST, POW2, SCALE8

from .nets import FloatCheck, random_graph

SLOW = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
EVERY_PASS = [entry.name for entry in catalogue()]


@SLOW
@given(st.integers(0, 2**32), st.sampled_from([(ADJUST, SCALE8), (SCALE8, ADJUST), (ADJUST, POW2)]))
def test_pipelines_keep_the_float_function(
    seed: int, pipelines: tuple[tuple[Pass, ...], tuple[Pass, ...]]
) -> None:
    graph = random_graph(Random(seed), 14)
    verify(graph)
    check = FloatCheck(graph, seed)
    for pipeline in pipelines:
        run_passes(graph, pipeline, check=check)


@pytest.mark.parametrize("name", EVERY_PASS)
def test_each_pass_alone_keeps_the_float_function(name: str) -> None:
    for seed in range(3):
        graph = random_graph(Random(f"{name}{seed}"), 14)
        run_passes(graph, passes_named([name]), check=FloatCheck(graph, seed))


@SLOW
@given(st.integers(0, 2**32))
def test_pipelines_are_deterministic_and_settle(seed: int) -> None:
    twins = [random_graph(Random(seed), 14) for _ in range(2)]
    for graph in twins:
        run_passes(graph, (*ADJUST, *SCALE8))
    assert [node.name for node in twins[0].steps()] == [node.name for node in twins[1].steps()]
    for _ in range(2):  # fusing may bring together what adjust and the clean-ups then simplify
        run_passes(twins[0], (*ADJUST, *SCALE8))
    last = run_passes(twins[0], (*ADJUST, *SCALE8))
    assert [record.name for record in last if record.changed] == []
