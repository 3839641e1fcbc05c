"""The manager verifies, checks, restores and records; notes explain what happened to a node."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from nnshell.ir.graph import Graph
from nnshell.ir.operator import OPERATORS
from nnshell.ir.types import TensorType
from nnshell.ir.work import Window
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.relu import Relu
from nnshell.ops.tanh import Tanh
from nnshell.passes.base import Notes, Pass
from nnshell.passes.catalogue import NOT_HERE, catalogue, passes_named
from nnshell.passes.explain import explain
from nnshell.passes.manager import relative_difference
from nnshell.passes.pipelines import ADJUST, GROUPS, POW2, SCALE8, adjust_passes
from nnshell.support.errors import GraphError, UsageError

from .nets import FloatCheck, Net, records_of, run_passes, text


@dataclass(frozen=True)
class Rename(Pass):
    """Replace the activation, which changes the function."""

    name: ClassVar[str] = "replace-activation"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        graph["relu"].op = Tanh()
        notes.did("relu", "made relu a tanh")


@dataclass(frozen=True)
class Break(Pass):
    """Leave a wrong type behind."""

    name: ClassVar[str] = "break-types"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        graph["relu"].outputs = (TensorType((1,)),)


@dataclass(frozen=True)
class Interrupt(Pass):
    """Do something, then stop as Ctrl-C does."""

    name: ClassVar[str] = "interrupt"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        graph["relu"].op = Tanh()
        raise KeyboardInterrupt


@pytest.fixture
def graph() -> Graph:
    net = Net(2, 8, 8)
    y = net.node("relu", Relu(), net.conv(net.x, 3))
    return net.output(net.node("pool", MaxPool(Window((2, 2), (2, 2))), y))


def test_records_name_time_and_notes_of_every_pass(graph: Graph) -> None:
    records = run_passes(graph, SCALE8)
    assert [record.name for record in records] == [step.name for step in SCALE8]
    assert all(record.seconds >= 0 for record in records)
    changed = [record.name for record in records if record.changed]
    assert changed == ["move-pooling-up", "fuse-conv-pool-activation"]


def test_records_say_which_options_were_not_the_defaults(graph: Graph) -> None:
    records = run_passes(graph, adjust_passes(graph, steps=2))
    assert "max_steps=2" in [record.options for record in records]


def test_pass_that_breaks_the_graph_is_named_and_undone(graph: Graph) -> None:
    before = text(graph)
    with pytest.raises(GraphError, match="pass break-types broke the graph"):
        run_passes(graph, [*SCALE8[:5], Break()])
    assert text(graph) == before


def test_pass_that_changes_the_function_is_named_and_undone(graph: Graph) -> None:
    before = text(graph)
    with pytest.raises(GraphError, match="pass replace-activation changed the float result"):
        run_passes(graph, [*ADJUST, Rename()], check=FloatCheck(graph))
    assert text(graph) == before


def test_without_check_the_function_is_not_compared(graph: Graph) -> None:
    run_passes(graph, [Rename()])
    assert graph["relu"].kind == "tanh"


def test_interrupt_leaves_the_graph_as_it_was(graph: Graph) -> None:
    before = text(graph)
    with pytest.raises(KeyboardInterrupt):
        run_passes(graph, [*ADJUST, Interrupt()])
    assert text(graph) == before


def test_changed_graph_is_no_longer_quantized(graph: Graph) -> None:
    for node in graph:
        node.quantization = object()  # type: ignore[assignment]
    run_passes(graph, ADJUST)
    assert graph.quantized
    run_passes(graph, SCALE8)
    assert not graph.quantized


@pytest.mark.parametrize(
    ("expected", "found", "difference"),
    [
        ([1.0, -2.0], [1.0, -2.0], 0.0),
        ([1.0, -2.0], [1.0, -2.2], 0.1),
        ([np.nan, 1.0], [np.nan, 1.0], 0.0),
        ([np.nan, 1.0], [1.0, 1.0], np.inf),
        ([0.0], [0.0], 0.0),
        ([1.0], [1.0, 1.0], np.inf),
    ],
)
def test_difference_is_relative_to_the_largest_value(
    expected: list[float], found: list[float], difference: float
) -> None:
    result = relative_difference(np.array(expected), np.array(found))
    assert result == pytest.approx(difference)


def test_explains_what_fused_and_why_the_rest_did_not() -> None:
    net = Net(2, 8, 8)
    y = net.conv(net.x, 3)
    active = net.node("relu", Relu(), y)
    other = net.node("other", Relu(), net.conv(active, 3, name="second"))
    graph = net.output(active, y, other)
    run_passes(graph, (*ADJUST, *SCALE8))
    wanted = "did not fuse conv with relu: its output has two consumers (relu, output_2)"
    assert told(graph, "conv") == [
        wanted,
        "conv (conv2d) stands alone, read by relu (relu), output_2 (output)",
    ]
    assert told(graph, "second_fusion") == [
        "fused second, other into second_fusion",
        "second_fusion is one kernel: second (conv2d), other (relu)",
    ]
    assert told(graph, "other")[-1] == "other runs inside second_fusion"
    assert told(graph, "input_1") == ["input_1 is a graph input"]
    assert told(graph, "conv_weights") == ["conv_weights is a constant"]


def told(graph: Graph, node: str) -> list[str]:
    return [line.note.text for line in explain(graph, node, records_of(graph))]


def test_explains_nodes_that_are_gone() -> None:
    net = Net(2, 8, 8)
    graph = net.output(net.batch_norm(net.conv(net.x, 3)))
    run_passes(graph, SCALE8)
    assert told(graph, "bn") == [
        "folded batch norm bn into the weights and bias of conv",
        "bn is no longer in the graph",
    ]


def test_near_miss_that_a_later_run_did_is_forgotten() -> None:
    net = Net(2, 8, 8)
    y = net.conv(net.x, 3)
    graph = net.output(net.node("relu", Relu(), y), y)
    run_passes(graph, passes_named(["fuse_gap_convs"]))
    assert "did not fuse conv with relu" in told(graph, "conv")[0]
    del graph.nodes["output_2"]
    run_passes(graph, passes_named(["fuse_gap_convs"]))
    assert told(graph, "conv_fusion")[0] == "fused conv, relu into conv_fusion"


def test_unknown_node_cannot_be_explained(graph: Graph) -> None:
    with pytest.raises(GraphError, match="did you mean conv"):
        explain(graph, "conw")


# -- catalogue -----------------------------------------------------------------------------


def test_every_pass_has_a_name_a_summary_and_verb_first_class() -> None:
    entries = catalogue()
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.summary.endswith("."), entry
        assert len(entry.summary) < 100, entry


def test_groups_take_their_short_and_nntool_names() -> None:
    assert passes_named(["scale8"]) == SCALE8 == passes_named(["scaled_match_group"])
    assert passes_named(["pow2"]) == POW2 == GROUPS["pow2_match_group"]


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.name)
def test_own_and_nntool_names_give_the_same_pass(entry: object) -> None:
    own = passes_named([entry.name])  # type: ignore[attr-defined]
    for alias in entry.aliases:  # type: ignore[attr-defined]
        (found,) = passes_named([alias])
        assert type(found) is type(own[0])
    assert passes_named([entry.name.replace("_", "-")]) == own  # type: ignore[attr-defined]


def test_pow2_name_gives_the_pow2_kernels() -> None:
    (found,) = passes_named(["fuse_op_activation_pow2"])
    assert found.options() == "kernels=pow2"


def test_fusion_that_is_not_here_says_why(graph: Graph) -> None:
    (record,) = run_passes(graph, passes_named(["expression_matcher"]))
    assert not record.changed and "expression kernels" in record.notes[0].text
    assert all(passes_named([name]) for name in NOT_HERE)


def test_unknown_fusion_lists_near_names() -> None:
    with pytest.raises(UsageError, match="fuse_gap_convs"):
        passes_named(["fuse_gap_conv"])


def test_passes_are_values() -> None:
    for step in (*ADJUST, *SCALE8, *POW2):
        assert step == replace(step)
        assert hash(step) == hash(step)


def test_operators_of_passes_are_registered() -> None:
    kinds = ("conv2d", "linear", "fusion", "copy", "split", "transpose", "hsigmoid")
    assert all(kind in OPERATORS for kind in kinds)
