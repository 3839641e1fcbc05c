"""The index of edges says what a search over all nodes says, after any edits."""

from __future__ import annotations

from random import Random

import pytest

from nnshell.ir.basic_operators import Input
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.types import TensorType
from nnshell.ir.verify import verify
from nnshell.ops.add import Add
from nnshell.support.errors import GraphError

TYPE = TensorType((2,))
OP = Add()


def searched(graph: Graph, name: str) -> list[tuple[Node, int]]:
    """By output, then in insertion order."""
    edges = [
        (ref.index, node, position)
        for node in graph
        for position, ref in enumerate(node.inputs)
        if ref.node == name
    ]
    return [(node, position) for _, node, position in sorted(edges, key=lambda edge: edge[0])]


def fresh(random: Random, graph: Graph, wanted: str) -> Node:
    names = list(graph.nodes)
    inputs = [Ref(random.choice(names), random.randrange(2)) for _ in range(random.randrange(3))]
    return Node(graph.unique_name(wanted), OP, inputs, (TYPE, TYPE))


def edit(random: Random, graph: Graph, order: list[str]) -> None:
    """One of the edits that passes make; ``order`` is what the order of names must become."""
    names = list(order)
    anchor, node = random.choice(names), fresh(random, graph, random.choice("abc"))
    ref = Ref(random.choice(names), random.randrange(2))
    kind = random.randrange(14)
    inputs = graph[anchor].inputs
    if kind == 0:
        graph.add(node)
        order.append(node.name)
    elif kind == 1:
        graph.insert(node, before=anchor)
        order.insert(order.index(anchor), node.name)
    elif kind == 2:
        graph.insert_after(node, after=anchor)
        order.insert(order.index(anchor) + 1, node.name)
    elif kind == 3:
        graph.replace_node(anchor, node)
        order[order.index(anchor)] = node.name
    elif kind == 4:
        graph.redirect(Ref(anchor, 0), ref)
    elif kind == 5:
        graph[anchor].inputs = [ref, ref]
    elif kind == 6 and inputs:
        inputs[random.randrange(len(inputs))] = ref
    elif kind == 7:
        inputs.append(ref)
    elif kind == 8 and inputs:
        inputs.pop(random.randrange(-1, len(inputs)))
    elif kind == 9:
        inputs.insert(random.randrange(3), ref)
        inputs.reverse()
    elif kind == 10 and len(names) > 5:
        del graph.nodes[anchor]
        order.remove(anchor)
    elif kind == 11:
        other = random.choice(names)
        if other != anchor:
            graph.nodes.swap(anchor, other)
            first, second = order.index(anchor), order.index(other)
            order[first], order[second] = other, anchor
    elif kind == 12:
        graph.nodes = {name: graph.nodes[name] for name in names}
    elif kind == 13:
        inputs[0:1] = [ref]
        inputs += [ref]


@pytest.mark.parametrize("seed", range(30))
def test_any_edits_leave_an_index_that_a_search_confirms(seed: int) -> None:
    random, graph = Random(seed), Graph()
    graph.add(Node("in", Input(TYPE, 0), [], (TYPE, TYPE)))
    order = ["in"]
    for _ in range(150):
        edit(random, graph, order)
        assert list(graph.nodes) == order
        for name in random.sample(order, min(4, len(order))):
            expected = searched(graph, name)
            assert graph.consumers(name) == expected
            assert graph.consumer_count(name) == len(expected)


def test_many_nodes_at_one_place_stay_in_order() -> None:
    graph = Graph()
    graph.add(Node("in", Input(TYPE, 0), [], (TYPE,)))
    graph.add(Node("out", OP, [Ref("in")], (TYPE,)))
    for number in range(300):
        graph.insert(Node(f"n{number}", OP, [Ref("in")], (TYPE,)), before="out")
        graph.insert_after(Node(f"m{number}", OP, [Ref("in")], (TYPE,)), after="in")
    expected = [f"m{n}" for n in reversed(range(300))] + [f"n{n}" for n in range(300)] + ["out"]
    assert list(graph.nodes) == ["in", *expected]
    assert [node.name for node, _ in graph.consumers("in")] == expected


def test_names_are_the_first_that_are_free_after_removals_too() -> None:
    graph = Graph()
    for name in ("a", "a_1", "a_2", "a_4"):
        graph.add(Node(name, OP, [], (TYPE,)))
    assert graph.unique_name("a") == "a_3"
    del graph.nodes["a_1"]
    assert graph.unique_name("a") == "a_1"
    assert graph.unique_name("b") == "b"


def test_two_graphs_with_the_same_nodes_both_see_the_edges() -> None:
    graph, other = Graph(), Graph()
    graph.add(Node("in", Input(TYPE, 0), [], (TYPE,)))
    graph.add(Node("x", OP, [Ref("in")], (TYPE,)))
    other.nodes = dict(graph.nodes)
    other["x"].inputs = [Ref("in"), Ref("in")]
    for either in (graph, other, graph):
        assert [position for _, position in either.consumers("in")] == [0, 1]
        assert [node.name for node in either.steps()] == ["in", "x"]
    graph["x"].inputs.pop()
    assert other.consumer_count("in") == graph.consumer_count("in") == 1


def test_steps_follow_every_edit() -> None:
    graph = Graph()
    graph.add(Node("in", Input(TYPE, 0), [], (TYPE,)))
    for name in "xyz":
        graph.add(Node(name, OP, [Ref("in")], (TYPE,)))
    assert [node.name for node in graph.steps()] == ["in", "x", "y", "z"]
    graph["x"].inputs = [Ref("z")]
    assert [node.name for node in graph.steps()] == ["in", "y", "z", "x"]
    graph.steps().clear()
    assert len(graph.steps()) == 4


def test_a_graph_is_verified_again_when_anything_about_it_has_changed() -> None:
    graph = Graph()
    graph.add(Node("in", Input(TYPE, 0), [], (TYPE,)))
    graph.add(Node("x", OP, [Ref("in"), Ref("in")], (TYPE,)))
    assert verify(graph)
    assert not verify(graph)
    other = Input(TensorType((3,)), 1)
    for name, value in (("outputs", other.infer(())), ("op", other), ("inputs", [Ref("gone")])):
        twin = graph.copy()
        assert verify(twin)
        setattr(twin["x"], name, value)
        with pytest.raises(GraphError):
            verify(twin)
