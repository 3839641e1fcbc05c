"""The exported project as a whole: names, memory, batches, files, refusals."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from nnshell import flow
from nnshell.ir.examples import random_inputs
from nnshell.ir.graph import Graph
from nnshell.quantization import calibrate_graph, quantize_graph
from nnshell.session.project import Project
from nnshell.support.errors import NNShellError, QuantizationError, UsageError
from nnshell.targets.c.memory import plan_arena
from nnshell.targets.c.names import comment, comment_block, string
from nnshell.targets.c.network import graph_outputs, network_of
from nnshell.targets.c.project import c_project, export_c
from tests.passes.nets import Net
from tests.targets.c.building import SANITIZED, assert_project_computes, build, compiler, run
from tests.targets.c.test_networks import usable_network

needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")


def quantized(graph: Graph) -> Graph:
    quantize_graph(graph, calibrate_graph(graph, [random_inputs(graph, 4)]))
    return graph


def small_network() -> Graph:
    net = Net(3, 8, 8)
    x = net.conv(net.x, 4, pads=(1, 1, 1, 1))
    return quantized(net.output(net.linear(net.conv(x, 5, 1), 6)))


HOSTILE = [
    "a*/ int stolen; /*",
    'x"; system("true"); //',
    "line\nbreak\r\0",
    "??/ trigraph ??=",
    "\\",
    "Größe 网络",
    "%s%n",
    "n" * 5000,
]


@needs_compiler
def test_hostile_names_stay_inside_comments_and_strings(tmp_path: Path) -> None:
    net = Net(2, 6, 6)
    x = net.x
    for name in HOSTILE:
        x = net.conv(x, 2, 1, name=name)
    graph = net.output(x)
    graph.name = "*/ " + "".join(HOSTILE)
    project = assert_project_computes(quantized(graph), random_inputs(graph, 3), tmp_path)
    assert "stolen;" not in "".join(
        line for line in project.files["model.c"].splitlines() if "_" not in line
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_has_nothing_that_ends_it(text: str) -> None:
    assert not set('*?\\\n"') & set(comment(text))
    assert comment_block(text).count("*/") == comment_block(text).count("/*") == 1
    inside = string(text)[1:-1]
    assert '"' not in inside and "?" not in inside and "\n" not in inside and inside.isascii()


@needs_compiler
@pytest.mark.parametrize("batch", [1, 3])
def test_a_file_of_samples_is_run_whatever_the_batch(tmp_path: Path, batch: int) -> None:
    graph = small_network()
    samples = random_inputs(graph, 7)
    name = compiler()
    assert name is not None
    program = build(c_project(graph, batch=batch), tmp_path, [name], SANITIZED)
    expected = flow.run(Project(graph), samples, "int8", keys=["output_1"])["output_1"]
    np.testing.assert_array_equal(run([program], graph, samples)["output_1"], expected)
    done = subprocess.run(
        [program, "--predict", tmp_path / "samples.raw"], capture_output=True, check=True
    )
    predictions = [int(line) for line in done.stdout.split()]
    assert predictions == expected.argmax(axis=1).tolist()


@needs_compiler
def test_the_program_refuses_files_that_hold_part_of_a_sample(tmp_path: Path) -> None:
    name = compiler()
    assert name is not None
    program = build(c_project(small_network()), tmp_path, [name], [])
    (tmp_path / "short").write_bytes(bytes(3 * 8 * 8 + 1))
    for file, code in (("short", 1), ("absent", 1)):
        done = subprocess.run([program, tmp_path / file], capture_output=True, check=False)
        assert done.returncode == code and done.stderr
    assert subprocess.run([program], capture_output=True, check=False).returncode == 2


@needs_compiler
def test_make_builds_the_project_without_a_word(tmp_path: Path) -> None:
    export_c(small_network(), tmp_path / "net")
    done = subprocess.run(
        ["make", "-s", "-C", str(tmp_path / "net")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and not done.stderr
    assert (tmp_path / "net" / "model_main").exists()


def test_the_same_graph_gives_the_same_files() -> None:
    assert c_project(small_network()).files == c_project(small_network()).files


def test_tensors_share_memory_where_they_can() -> None:
    graph = small_network()
    planned, simple = (c_project(graph, layout=layout) for layout in ("planned", "simple"))
    assert planned.arena_bytes == planned.live_bytes < simple.arena_bytes


def test_random_networks_take_little_more_than_what_is_alive() -> None:
    for seed in range(40):
        graph = usable_network(seed)
        if graph is None:
            continue
        arena = plan_arena(network_of(quantized(graph), graph_outputs(graph)))
        assert arena.size_bytes <= 1.05 * arena.live_bytes + 8  # offsets are rounded


def test_nothing_is_written_where_not_all_can_be(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    (folder / "model.c").mkdir(parents=True)
    with pytest.raises(NNShellError):
        export_c(small_network(), folder)
    assert [path.name for path in folder.iterdir()] == ["model.c"]


def test_graphs_and_batches_that_cannot_be_are_refused() -> None:
    net = Net(3, 4, 4)
    with pytest.raises(QuantizationError, match="not quantized"):
        c_project(net.output(net.conv(net.x, 2)))
    for batch in (0, -1, 1 << 20):
        with pytest.raises(UsageError):
            c_project(small_network(), batch=batch)
