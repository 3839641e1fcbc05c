"""What users cut out of or put into a graph by hand; passes too, so that they are recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.permutations import Perm, inverse, permuted
from nnshell.ir.select import near_names
from nnshell.ir.types import Layout, Origin, TensorType
from nnshell.ops.channels_last import TO_FIRST, TO_LAST
from nnshell.ops.image_format import FORMATS, NORMS, ImageFormat
from nnshell.ops.transpose import Transpose
from nnshell.passes.base import Notes, Pass
from nnshell.passes.manager import PassRecord, run_passes
from nnshell.passes.regions import FROZEN
from nnshell.passes.rewriting import bypass, insert_after, insert_on_edge, make_node, shape_text
from nnshell.support.errors import GraphError, UsageError


def insert_image_format(
    graph: Graph, name: str, format: str, norm: str, *, scale: float = 1.0, offset: float = 0.0
) -> list[PassRecord]:
    """`imageformat`: the graph input takes raw pixels; ``none none`` takes the formatter out."""
    return run_passes(graph, [SetImageFormat(name, format, norm, scale, offset)])


def remove_nodes(
    graph: Graph, first: str, last: str | None = None, *, up: bool = False, leave: bool = False
) -> list[PassRecord]:
    """`remove`: cut what is between two nodes, or a node and all after (``up``: before) it."""
    if last is not None:
        return run_passes(graph, [RemoveBetween(first, last)])
    return run_passes(graph, [CutGraph(first, up, leave)])


def extract_step(graph: Graph, name: str) -> list[PassRecord]:
    """`extract`: keep one node, with graph inputs and outputs around it."""
    return run_passes(graph, [ExtractNode(name)])


def freeze_io(
    graph: Graph, name: str, *, frozen: bool = True, transpose: Perm = ()
) -> list[PassRecord]:
    """`freeze`: `adjust` keeps the order of axes of a graph input or output."""
    return run_passes(graph, [FreezeOrder(name, frozen, transpose)])


# -- image format --------------------------------------------------------------------------


@dataclass(frozen=True)
class SetImageFormat(Pass):
    """Formatter after a graph input, which then takes the pixels of a camera.

    A second one replaces the first. ``scale`` and ``offset`` say what a pixel means to the
    network in float: value = scale * pixel + offset.
    """

    name: ClassVar[str] = "set-image-format"
    input: str = ""
    format: str = "rgb888"
    norm: str = "offset_int8"
    scale: float = 1.0
    offset: float = 0.0

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        node = graph_input(graph, self.input)
        self._check_words()
        if self.format == self.norm == "none":
            if not _remove_formatter(graph, node, notes):
                notes.info(node.name, f"{node.name} has no formatter")
            return
        existing = _formatter(graph, node)
        expected = _channels_first(existing.type if existing is not None else node.type)
        self._check_fit(node, expected)
        _remove_formatter(graph, node, notes)
        self._insert(graph, node, notes)

    def _check_words(self) -> None:
        for word, words, what in (
            (self.format, tuple(FORMATS), "format"),
            (self.norm, NORMS, "norm"),
        ):
            if word not in words:
                raise UsageError(f"no image {what} '{word}'", hint=f"one of {', '.join(words)}")

    def _check_fit(self, node: Node, expected: TensorType) -> None:
        _, channels, _ = FORMATS[self.format]
        if len(expected.shape) != 3:
            raise GraphError(
                f"an image format needs an input of channels x height x width, not {expected}",
                where=node.name,
            )
        if channels not in (0, expected.shape[0]):
            fitting = [f for f, (_, c, _) in FORMATS.items() if c in (0, expected.shape[0])]
            raise GraphError(
                f"{self.format} gives {channels} channels, the network takes {expected.shape[0]}",
                where=f"{node.name}, {expected}",
                hint=f"formats that fit: {', '.join(fitting)}",
            )

    def _insert(self, graph: Graph, node: Node, notes: Notes) -> None:
        assert isinstance(node.op, Input)
        samples, _, dtype = FORMATS[self.format]
        channels, height, width = _channels_first(node.type).shape
        shape = (height, width, samples or channels)
        last = node.type.layout is Layout.HWC
        order = TO_FIRST if last else node.op.order
        node.op = replace(node.op, type=TensorType(shape, Layout.HWC, dtype), order=order)
        node.outputs = node.op.infer(())
        op = ImageFormat(self.format, self.norm, self.scale, self.offset)
        name = f"{node.name}_formatter"
        formatter = make_node(graph, name, op, [Ref(node.name)], node.origin)
        insert_after(graph, node, formatter)
        if last:  # a formatter gives channels first; what follows does not take them yet
            name = f"{formatter.name}_trans"
            back = make_node(graph, name, Transpose(TO_LAST), [Ref(formatter.name)], node.origin)
            insert_after(graph, formatter, back)
        notes.touch(node, formatter)
        text = (
            f"{node.name} takes {shape_text(shape)} {dtype} pixels ({self.format}); "
            f"{formatter.name} makes {formatter.type} of them ({self.norm})"
        )
        notes.did(node.name, text, formatter.name)


def _channels_first(tensor: TensorType) -> TensorType:
    """What a formatter before a tensor has to give."""
    if tensor.layout is not Layout.HWC or len(tensor.shape) != 3:
        return tensor
    return replace(tensor, shape=tensor.chw, layout=Layout.CHW)


def _formatter(graph: Graph, node: Node) -> Node | None:
    readers = [reader for reader, _ in graph.consumers(node.name)]
    return readers[0] if readers and readers[0].op.role == "format" else None


def _remove_formatter(graph: Graph, node: Node, notes: Notes) -> bool:
    formatter = _formatter(graph, node)
    if formatter is None:
        return False
    assert isinstance(node.op, Input)
    node.op = replace(node.op, type=replace(formatter.type, dtype="float32"))
    node.outputs = node.op.infer(())
    bypass(graph, formatter)
    notes.did(node.name, f"removed {formatter.name}: {node.name} takes {node.type} again")
    return True


# -- cutting -------------------------------------------------------------------------------


@dataclass(frozen=True)
class RemoveBetween(Pass):
    """Nodes between two nodes: the second then reads the first."""

    name: ClassVar[str] = "remove-between"
    first: str = ""
    last: str = ""

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        first, last = _no_constant(find(graph, self.first)), find(graph, self.last)
        above = _ancestors(graph, last)
        if first.name not in above:
            hint = f"type `remove {last.name} {first.name}`" if _reads(graph, first, last) else ""
            raise GraphError(f"{last.name} does not depend on {first.name}", hint=hint)
        below = _descendants(graph, first)
        between = [n for n in graph.steps() if n.name in above and n.name in below]
        positions = [
            p for p, ref in enumerate(last.inputs) if ref.node in below or ref.node == first.name
        ]
        for position in positions:
            source = graph.type_of(last.inputs[position])
            if source.shape != first.type.shape:
                raise GraphError(
                    f"cannot connect {first.name} ({first.type}) to {last.name}, which takes "
                    f"{source}",
                    hint="nodes between may only be removed when the shape stays",
                )
            last.inputs[position] = Ref(first.name)
        notes.touch(last)
        names = ", ".join(n.name for n in between) or "nothing"
        text = f"removed {names} between {first.name} and {last.name}"
        notes.did(last.name, text, first.name, *(n.name for n in between))


@dataclass(frozen=True)
class CutGraph(Pass):
    """A node and everything after it (``up``: before it); ``leave`` keeps the node itself."""

    name: ClassVar[str] = "cut-graph"
    node: str = ""
    up: bool = False
    leave: bool = False

    @property
    def _side(self) -> str:
        return "before" if self.up else "after"

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        node = _no_constant(find(graph, self.node))
        if isinstance(node.op, Input if self.up else Output):
            raise GraphError(f"there is nothing {self._side} {node.name}")
        before = set(graph.nodes)
        if self.up:
            refs = _data_inputs(graph, node) if self.leave else _computed(node)
            results = [_new_input(graph, ref) for ref in refs]
        else:
            refs = _outputs(node) if self.leave else _data_inputs(graph, node)
            gone = _descendants(graph, node) | (set() if self.leave else {node.name})
            for name in gone:
                del graph.nodes[name]
            results = [_new_output(graph, ref) for ref in refs]
        if not results or not graph.outputs:
            raise GraphError(f"nothing would be left of the graph without {node.name}")
        graph.prune()
        _drop_unused_inputs(graph)
        _renumber(graph)
        results = [port for port in results if port.name in graph]  # some were read by nobody
        if not results:
            raise GraphError(f"nothing would be left of the graph without {node.name}")
        for port in results:
            _rename_by_number(graph, port)
        notes.touch(*results)
        removed = len(before - set(graph.nodes))
        names = ", ".join(m.name for m in results)
        text = f"cut {removed} nodes {self._side} {node.name}; new: {names}"
        notes.did(node.name, text, *(m.name for m in results))


@dataclass(frozen=True)
class ExtractNode(Pass):
    """One node alone, with a graph input or output at each of its tensors."""

    name: ClassVar[str] = "extract-node"
    node: str = ""

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        node = find(graph, self.node)
        if node.op.boundary or not node.inputs:
            raise GraphError(f"{node.name} computes nothing, there is nothing to extract")
        keep = {node.name, *(ref.node for ref in node.inputs if graph.constant(ref) is not None)}
        inputs = [(ref, graph.type_of(ref)) for ref in _data_inputs(graph, node)]
        graph.nodes = {name: n for name, n in graph.nodes.items() if name in keep}
        ports: dict[Ref, Ref] = {}
        for index, (ref, value) in enumerate(inputs):
            name = graph.unique_name(f"input_{index + 1}")
            graph.insert(Node(name, Input(value, index), [], (value,), _added()), before=node.name)
            ports[ref] = Ref(name)
        node.inputs = [ports.get(ref, ref) for ref in node.inputs]
        for ref in _outputs(node):
            _new_output(graph, ref)
        _renumber(graph)
        notes.touch(node)
        notes.did(node.name, f"kept {node.name} alone, with {len(inputs)} graph inputs")


# -- order of inputs and outputs -----------------------------------------------------------


@dataclass(frozen=True)
class FreezeOrder(Pass):
    """Graph input or output whose order of axes `adjust` keeps, after an optional transpose."""

    name: ClassVar[str] = "freeze-order"
    node: str = ""
    frozen: bool = True
    transpose: Perm = ()

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        node = find(graph, self.node)
        if node.op.role not in ("input", "output"):
            names = ", ".join(n.name for n in (*graph.inputs, *graph.outputs))
            raise GraphError(f"{node.name} is no graph input or output", hint=f"there are {names}")
        if self.transpose:
            self._transpose(graph, node)
        if self.frozen:
            node.options[FROZEN] = "1"
        else:
            node.options.pop(FROZEN, None)
        notes.touch(node)
        state = "frozen" if self.frozen else "unfrozen"
        notes.did(node.name, f"{node.name} ({node.type}) is {state}")

    def _transpose(self, graph: Graph, node: Node) -> None:
        if sorted(self.transpose) != list(range(len(node.type.shape))):
            raise GraphError(
                f"transpose {self.transpose} does not fit {node.type}",
                where=node.name,
                hint=f"name each axis from 0 to {len(node.type.shape) - 1} once",
            )
        if node.op.role == "output":
            op = Transpose(self.transpose)
            before = make_node(graph, f"{node.name}_transpose", op, node.inputs, node.origin)
            insert_on_edge(graph, node, 0, before)
            node.outputs = node.op.infer(graph.input_types(node))
            return
        assert isinstance(node.op, Input)
        if _formatter(graph, node) is not None:
            raise GraphError(
                "its formatter takes the pixels of a camera in the order they come in",
                where=node.name,
                hint=f"leave out --transpose, or type `imageformat {node.name} none none` before",
            )
        layout = Layout.HWC if self.transpose == (1, 2, 0) else Layout.NONE
        shape = permuted(node.type.shape, self.transpose)
        node.op = replace(node.op, type=replace(node.type, shape=shape, layout=layout))
        node.outputs = node.op.infer(())
        op = Transpose(inverse(self.transpose))
        after = make_node(graph, f"{node.name}_transpose", op, [Ref(node.name)], node.origin)
        insert_after(graph, node, after)


# -- helpers -------------------------------------------------------------------------------


def find(graph: Graph, name: str) -> Node:
    if name not in graph:
        raise GraphError(f"no node is called '{name}'", hint=near_names(graph, name))
    return graph[name]


def _no_constant(node: Node) -> Node:
    if node.op.role == "constant":
        raise GraphError(
            f"{node.name} is a constant, the graph cannot be cut there",
            hint="name a step that computes something; `show` lists them",
        )
    return node


def graph_input(graph: Graph, name: str) -> Node:
    """The graph input called ``name``."""
    if name not in graph or type(graph[name].op) is not Input:
        names = ", ".join(node.name for node in graph.inputs)
        raise GraphError(f"no graph input is called '{name}'", hint=f"inputs: {names}")
    return graph[name]


def _added() -> Origin:
    return Origin()


def _data_inputs(graph: Graph, node: Node) -> list[Ref]:
    return list(dict.fromkeys(ref for ref in node.inputs if graph.constant(ref) is None))


def _computed(node: Node) -> list[Ref]:
    """What others can read of a node: nothing of an output."""
    return [] if node.op.role == "output" else _outputs(node)


def _outputs(node: Node) -> list[Ref]:
    return [Ref(node.name, index) for index in range(len(node.outputs))]


def _ancestors(graph: Graph, node: Node) -> set[str]:
    results: set[str] = set()
    stack = [ref.node for ref in node.inputs]
    while stack:
        name = stack.pop()
        if name not in results:
            results.add(name)
            stack.extend(ref.node for ref in graph[name].inputs)
    return results


def _descendants(graph: Graph, node: Node) -> set[str]:
    consumers = graph.consumer_map()
    results: set[str] = set()
    stack = [reader.name for reader, _ in consumers[node.name]]
    while stack:
        name = stack.pop()
        if name not in results:
            results.add(name)
            stack.extend(reader.name for reader, _ in consumers[name])
    return results


def _reads(graph: Graph, node: Node, other: Node) -> bool:
    return other.name in _ancestors(graph, node)


def _new_input(graph: Graph, ref: Ref) -> Node:
    """A graph input in the place of ``ref``."""
    value = graph.type_of(ref)
    index = len(graph.inputs)
    name = graph.unique_name(f"input_{index + 1}")
    node = Node(name, Input(value, index), [], (value,), _added())
    graph.insert(node, before=ref.node)
    graph.redirect(ref, Ref(name))
    return node


def _new_output(graph: Graph, ref: Ref) -> Node:
    source = graph.type_of(ref)
    if source.dtype != "float32":
        raise GraphError(
            f"{ref.node} gives {source.dtype} pixels, which cannot be the output of a network",
            hint=f"cut after its formatter, or type `imageformat {ref.node} none none` before",
        )
    index = 1 + max((_index(node) for node in graph.outputs), default=-1)
    name = graph.unique_name(f"output_{index + 1}")
    node = Node(name, Output(index), [ref], (source,), _added())
    return graph.add(node)


def _index(node: Node) -> int:
    assert node.op.port is not None
    return node.op.port


def _drop_unused_inputs(graph: Graph) -> None:
    for node in graph.inputs:
        if not graph.consumers(node.name):
            del graph.nodes[node.name]


def _rename_by_number(graph: Graph, node: Node) -> None:
    """Call a graph input or output by its number where that name is free."""
    expected = f"{node.kind}_{_index(node) + 1}"
    if expected in graph:
        return
    old, node.name = node.name, expected
    graph.replace_node(old, node)


def _renumber(graph: Graph) -> None:
    for nodes in (graph.inputs, graph.outputs):
        for index, node in enumerate(nodes):
            assert isinstance(node.op, (Input, Output))
            node.op = replace(node.op, index=index)
