"""Pictures: every kind of plot in every format, and graphs drawn without Graphviz."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnshell
from nnshell.ir.graph import Graph
from nnshell.reports import pictures, plots
from nnshell.reports.drawing import Drawing, draw
from nnshell.reports.graph_layout import BOX_WIDTH, graph_picture
from nnshell.reports.pictures import inline_svg, picture
from nnshell.reports.table import Column, Table, with_bars
from nnshell.support.errors import NNShellError, UsageError

for _name in ("matplotlib", "jinja2", "fast_sugiyama"):
    pytest.importorskip(_name)

NAME = "$x_1$ <b>&amp;"
PLOTS = (
    plots.Bars((NAME, "b"), {"one": (1.0, None), "two": (-2.0, float("inf"))}, "ms"),
    plots.Bars(("a", "b"), {"range": (1.0, 2.0)}, starts=(-1.0, None)),
    plots.Histograms(
        (
            plots.Histogram(NAME, -1, 1, (1, 0, 5), 0.0, 0.5, (-1, 0.99)),
            plots.Histogram("flat", 2, 2, (7, 0), 2.0, 0.0),
        )
    ),
    plots.HeatMap((NAME, "1"), ("0", "1"), ((3, 0), (1, 9)), "label", "prediction"),
    plots.Memory(
        (NAME, "l1"),
        (
            plots.Block(NAME, "weights", 0, 1, 0, 2048),
            plots.Block("x", "activation", 1, 1, 2048, 9),
        ),
        4096,
    ),
    plots.Roofline((plots.RooflinePoint(NAME, 3.0, 2.0, 0.7),), 32.0),
    plots.Roofline((), 32.0),
    plots.Curves("bits", (8, 4), "accuracy", {NAME: (90.0, None), "b": (1.0, 2.0)}),
    plots.Curves("kind", ("a", NAME), "x", {"all": (0.0, 1.0)}, marks_only=True, from_zero=True),
)


def texts(svg: str) -> str:
    root = ElementTree.fromstring(svg)
    return " ".join("".join(entry.itertext()) for entry in root.iter() if "text" in entry.tag)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: type(plot).__name__)
def test_names_are_drawn_as_they_are(plot: plots.Plot) -> None:
    drawn = picture(NAME, [plot]).decode()
    assert texts(drawn).startswith(NAME) or NAME in texts(drawn)
    inline = inline_svg(NAME, plot)
    assert inline.startswith("<svg") and "currentColor" in inline
    ElementTree.fromstring(inline.replace("xlink:href", "href"))


@pytest.mark.parametrize(("ending", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_a_picture_is_of_the_kind_that_its_name_says(ending: str, magic: bytes) -> None:
    content = picture("bars", PLOTS[:1], ending)
    assert content.startswith(magic) and content == picture("bars", PLOTS[:1], ending)


def test_what_cannot_be_drawn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="not a format"):
        pictures.check("x.gif")
    with pytest.raises(UsageError, match="nothing to draw"):
        picture("empty", [])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(NNShellError, match="matplotlib") as refusal:
        picture("bars", PLOTS[:1])
    assert refusal.value.hint == "pip install 'nnshell[report]'"


def test_bars_are_the_numbers_of_the_columns() -> None:
    columns = (Column("Name"), Column("A", "right", "ms"), Column("B", "right"))
    table = Table("t", columns, (("x", 1.5, 2), ("y", None, None), ("z", float("nan"), 3)))
    first, second = with_bars(table, "Name", "A", "B").plots
    assert first == plots.Bars(("x",), {"A": (1.5,)}, "ms")
    assert second == plots.Bars(("x", "z"), {"B": (2.0, 3.0)})


# -- graphs ----------------------------------------------------------------------------------


def lenet() -> Graph:
    project = nnshell.open_graph("sample:lenet")
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    nnshell.quantize(project, nnshell.calibrate_randomly(project))
    return project.graph


@pytest.mark.parametrize("constants", [False, True])
def test_every_node_has_a_box_and_no_two_meet(constants: bool) -> None:
    graph = lenet()
    drawn = graph_picture(graph, constants=constants)
    shown = {node.name for node in graph if constants or node.op.role != "constant"}
    assert {box.key for box in drawn.boxes} == shown
    edges = {(ref.node, node.name) for node in graph for ref in node.inputs if ref.node in shown}
    assert len(drawn.arrows) == len(edges)
    for one, other in combinations(drawn.boxes, 2):
        apart = abs(one.x - other.x) >= BOX_WIDTH
        assert apart or abs(one.y - other.y) > (one.height + other.height) / 2
    places = {box.key: box for box in drawn.boxes}
    assert all(places[source].y < places[target].y for source, target in edges)
    assert any(arrow.label == "6x14x14 · 8 bits" for arrow in drawn.arrows)


@given(st.sets(st.tuples(st.integers(0, 8), st.integers(1, 4)), max_size=16))
@settings(max_examples=25, deadline=None)
def test_long_edges_pass_between_the_boxes(steps: set[tuple[int, int]]) -> None:
    """Any graph: from each row downwards, every edge in pieces from one row to the next."""
    from nnshell.reports.graph_layout import _layered

    pairs = sorted({(low, min(9, low + reach)) for low, reach in steps if low != 9})
    spots, routes = _layered(10, pairs)
    assert set(routes) == set(pairs)
    for (source, target), stops in routes.items():
        rows = [spots[source][1], *(row for _, row in stops), spots[target][1]]
        assert rows == list(range(rows[0], rows[-1] + 1)) and len(rows) >= 2


@pytest.mark.parametrize(
    ("name", "magic"), [("g.svg", b"<svg"), ("g.png", b"\x89P"), ("g.pdf", b"%P")]
)
def test_a_graph_is_drawn_without_graphviz(
    name: str, magic: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnshell.reports.drawing._has_graphviz", lambda: False)
    form = Drawing(fusions=True, quantization=True)
    draw(lenet(), tmp_path / name, form)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(magic)
    if name == "g.svg":
        said: Mapping[str, bool] = {
            word: word in texts(content.decode())
            for word in ("max_pool: _pool_MaxPool", "_conv1_Conv_fusion", "8 bits", "zero point")
        }
        assert all(said.values()), said


def test_names_can_be_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnshell.reports.drawing._has_graphviz", lambda: False)
    draw(lenet(), tmp_path / "g.svg", Drawing(fusions=True, anonymise=True))
    text = (tmp_path / "g.svg").read_text()
    assert "conv1" not in text and "MaxPool" not in text


def test_what_studies_return_is_drawn(tmp_path: Path) -> None:
    project = nnshell.open_graph("sample:lenet")
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    nnshell.quantize(project, nnshell.calibrate_randomly(project))
    test = nnshell.load_inputs("sample:test", norm="x: x/128-1", limit=8)
    results = {
        "_conv1_Conv_weights": nnshell.weights(project, "_conv1_Conv_weights"),
        "_fc3_Gemm": nnshell.compare(project, test),
        "accuracy": nnshell.sweep_options(project, {"bits": "8,4"}, test),
        "prediction": nnshell.validate(project, test, "int8"),
        "address": nnshell.simulate(project),
        "latency": nnshell.sweep(project, {"cores": "1,8"}),
    }
    for number, (word, result) in enumerate(results.items()):
        path = nnshell.plot(result, tmp_path / f"{number}.svg")
        assert word in texts(path.read_text())
    with pytest.raises(UsageError, match="no picture of int"):
        nnshell.plot(3, tmp_path / "x.svg")
