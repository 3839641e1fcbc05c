"""Every registered operator in C: no warning, no undefined behaviour, the reference's integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.flat import flatten
from nnshell.ir.graph import Graph
from nnshell.ir.operator import OPERATORS
from nnshell.quantization import calibrate_graph, quantize_graph
from nnshell.support.errors import QuantizationError
from nnshell.targets.c.forms import FORMS, form_of
from nnshell.targets.c.network import graph_outputs, network_of
from tests.passes.nets import Net
from tests.targets.c.building import assert_project_computes, compiler, side_by_side

NO_EXAMPLES = {"input", "output", "constant", "fusion", "fusion_input", "fusion_output"}
STEP_BY_STEP = {"rnn", "gru", "lstm"}  # they have no C form
KINDS = sorted(set(OPERATORS) - NO_EXAMPLES - STEP_BY_STEP)
needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")


def examples() -> Graph:
    """All operators' examples as one graph."""
    return side_by_side([graph_of(e) for kind in KINDS for e in OPERATORS[kind].examples()])


@needs_compiler
@pytest.mark.parametrize("target", ["simulation", "chip"])
def test_every_operator_gives_the_integers_of_the_reference(tmp_path: Path, target: str) -> None:
    graph = examples()
    batch = random_inputs(graph, 4)
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    wild = [a if a.dtype.kind != "f" else a * np.float32(3) for a in random_inputs(graph, 5, 1)]
    assert_project_computes(graph, wild, tmp_path, target)


def test_every_operator_has_a_form_in_sq8() -> None:
    graph = examples()
    quantize_graph(graph, calibrate_graph(graph, [random_inputs(graph, 2)]))
    own = {kind for kind, scheme in FORMS if scheme == "SQ8"}
    for item in flatten(graph).items:
        if item.node.op.role not in ("input", "constant"):
            form_of(item)
    without = {kind for kind in KINDS if kind not in own}
    assert all(OPERATORS[kind].role == "activation" for kind in without), "functions have a table"


def test_an_operator_or_scheme_without_a_form_is_refused_by_name() -> None:
    net = Net(2, 4, 4)
    graph = net.output(net.conv(net.x, 2))
    quantize_graph(graph, calibrate_graph(graph, [random_inputs(graph, 2)]))
    node = graph["conv"]
    assert node.quantization is not None
    node.quantization = replace(node.quantization, scheme="OTHER")
    with pytest.raises(QuantizationError, match=r"'conv2d' has no C form in scheme OTHER.*conv"):
        network_of(graph, graph_outputs(graph))
