"""What fuzzing found, each as the shortest way to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from nnshell import flow
from nnshell.cli import main
from nnshell.flow import calibrate_randomly, quantize
from nnshell.lowering.step_search import Factors, Staircase, find_rescaling
from nnshell.ops.image_format import ImageFormat
from nnshell.quantization import Statistics
from nnshell.quantization.ranges.statistics import TensorStatistics
from nnshell.session.edits import freeze, image_format, remove, tune
from nnshell.session.project import Project
from nnshell.support.errors import GraphError, ModelError


def save(
    folder: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[np.generic]],
    shape: tuple[int, ...] = (1, 3, 6, 6),
) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """conv, relu, flatten, linear."""
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Flatten", ["r"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w2"], ["y"], "fc", transB=1),
    ]
    weights = generator.normal(0, 1, (2, 3, 3, 3)).astype(np.float32)
    matrix = generator.normal(0, 1, (4, 32)).astype(np.float32)
    return flow.open_graph(save(tmp_path, nodes, {"w": weights, "w2": matrix}))


@pytest.mark.filterwarnings("error")
def test_ranges_that_no_integer_bridges_saturate_without_a_warning(project: Project) -> None:
    """The zero point's share of a bias is beyond int64."""
    ranges = {node.name: TensorStatistics(-1.0, 1.0) for node in project}
    ranges["input_1"] = TensorStatistics(0.0, 2e-8)
    ranges["relu"] = TensorStatistics(0.0, 1e30)
    flow.quantize(project, Statistics(ranges))
    found = flow.run(project, [np.ones((3, 6, 6), np.float32)], "int8")
    assert found["output_1"].shape == (4,)


def test_a_state_opens_after_a_node_that_was_tuned_is_gone(
    project: Project, tmp_path: Path
) -> None:
    """A new quantization replaces earlier ones and what was tuned in them."""
    flow.quantize(project, flow.calibrate_randomly(project))
    tune(project, {"fc": {"narrow_weights": False}})
    remove(project, "fc")
    flow.quantize(project, flow.calibrate_randomly(project))
    assert [step.command for step in project.recipe] == ["open", "remove", "aquant"]
    again = flow.open_graph(flow.save_state(project, tmp_path / "net.json"))
    image = Random(1).choices(range(9), k=108)
    batch = [np.array(image, np.float32).reshape(1, 3, 6, 6)]
    np.testing.assert_array_equal(
        flow.run(again, batch, "int8")["output_1"], flow.run(project, batch, "int8")["output_1"]
    )


def test_ctrl_c_before_there_is_a_shell_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("nnshell.shell.process.run", interrupt)
    assert main(["-e", "show"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def run_process(
    *words: str, folder: Path, stdout: Any = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """nnshell in a process of its own, which is what has standard output and a working folder."""
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-m", "nnshell", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root, **variables},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [("-e", "set"), ("-e", "set > /dev/full")])
def test_a_full_disk_behind_the_output_is_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = run_process(*words, folder=tmp_path, stdout=full)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert lines[0].endswith("cannot write the output: No space left on device")
    assert not [line for line in lines if "Traceback" in line or "Exception" in line]


def test_an_output_that_has_no_such_letters_gets_escapes(tmp_path: Path) -> None:
    narrow = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    done = run_process("-e", "set_var A \u00b1", "-e", "set_var A", folder=tmp_path, **narrow)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii() and done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot go there")
def test_a_working_folder_that_is_gone_is_said_so(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    (gone / "s.nns").write_text("!rmdir ../gone\nopen sample:lenet\nfquant\nsave_state x.json\n")
    (gone / "s.nns").rename(tmp_path / "s.nns")
    done = run_process("-s", "../s.nns", folder=gone)
    assert done.returncode == 1
    assert "the working folder does not exist any more" in done.stderr.decode()


def test_a_command_that_fails_late_has_written_nothing(project: Project, tmp_path: Path) -> None:
    """The layers are in a table before the inputs are found to be none."""
    assert project.graph.source is not None
    files = sorted(tmp_path.iterdir())
    table, numbers = tmp_path / "layers.csv", tmp_path / "new" / "layers.json"
    command = f"simulate {tmp_path / 'nothing'} --csv {table} --json {numbers}"
    assert main(["-e", f"open {project.graph.source.path}", "-e", "fquant", "-e", command]) == 1
    assert sorted(tmp_path.iterdir()) == files


def test_the_file_has_the_table_that_is_shown(project: Project, tmp_path: Path) -> None:
    assert project.graph.source is not None
    for option, heading in (("", "macs"), ("--memory", "bytes")):
        table = tmp_path / "table.csv"
        command = f"simulate {option} --csv {table}"
        assert main(["-e", f"open {project.graph.source.path}", "-e", "fquant", "-e", command]) == 0
        assert heading in table.read_text().splitlines()[0].lower()


def test_a_table_beside_the_first_does_not_replace_it(project: Project, tmp_path: Path) -> None:
    assert project.graph.source is not None
    samples = tmp_path / "samples.npz"
    np.savez(samples, np.zeros((1, 3, 6, 6), np.float32))
    table = tmp_path / "layers.csv"
    command = f"simulate {samples} --tiled --csv {table}"
    assert main(["-e", f"open {project.graph.source.path}", "-e", "fquant", "-e", command]) == 0
    assert "macs" in table.read_text().splitlines()[0].lower()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("qshow 1_" + "9" * 5000, "no node matches"),
        ("set l1_size '1\n2'", "setting l1_size does not take"),
        ("fquant --uniform nan", "random inputs need"),
        ("fquant --uniform 1e308", "random inputs need"),
        ("show > /nowhere/" + "x" * 3000, "cannot write /nowhere/"),
    ],
)
def test_a_hostile_word_is_refused_in_a_short_line(
    project: Project, command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project.graph.source is not None
    assert main(["-e", f"open {project.graph.source.path}", "-e", "fquant", "-e", command]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert message in said
    assert len(said) < 1000


def test_formatters_taken_in_turn_survive_saving(project: Project, tmp_path: Path) -> None:
    """What a pixel means follows from the records at the time, not from those at the end."""
    image_format(project, "input_1", "rgb888", "none")
    quantize(project, calibrate_randomly(project))
    image_format(project, "input_1", "rgb888", "none")
    again = flow.open_graph(flow.save_state(project, tmp_path / "s.json"))
    first, second = ([n.op for n in g if isinstance(n.op, ImageFormat)] for g in (project, again))
    assert first == second


def test_pixels_of_a_camera_are_not_transposed(project: Project) -> None:
    image_format(project, "input_1", "rgb888", "offset_int8")
    with pytest.raises(GraphError, match="formatter"):
        freeze(project, ["input_1"], transpose=(2, 0, 1))


def test_shifts_beyond_every_integer_are_computed(recwarn: pytest.WarningsRecorder) -> None:
    factors = Factors(np.array([166]), np.array([-116]), 0, (-128, 127), "int8")
    stairs = Staircase.between(np.array([0]), np.array([1270]), factors)
    assert stairs.results.max() == 127
    find_rescaling(stairs, None)
    assert not recwarn.list


def test_a_number_whose_data_do_not_fit_its_shape_is_named(tmp_path: Path) -> None:
    """Beside a quantizer, where small constants are looked at before all others."""
    nodes = [helper.make_node("Add", ["x", "c"], ["t"]), helper.make_node("Relu", ["t"], ["y"])]
    value = onnx.TensorProto(name="c", data_type=1, dims=[1], raw_data=bytes(36))
    ends = [[helper.make_tensor_value_info(name, 1, [1, 4])] for name in "xy"]
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(helper.make_graph(nodes, "g", *ends, [value]), opset_imports=opset)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="'c'"):
        flow.open_graph(path)


def test_what_is_cut_off_with_its_only_reader_is_no_result(tmp_path: Path) -> None:
    """The first part of a split that only its own second reader needed."""
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], "split", axis=1, num_outputs=2),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    shapes = (("x", [1, 4, 4, 4]), ("y", [1, 2, 4, 4]))
    ends = [[helper.make_tensor_value_info(name, 1, shape)] for name, shape in shapes]
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(
        helper.make_graph(nodes, "g", *ends), opset_imports=opset, ir_version=9
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    project = flow.open_graph(path)
    (name,) = [node.name for node in project.graph if node.kind == "split"]
    remove(project, name, up=True)
    assert [node.kind for node in project.graph.steps()] == ["input", "relu", "output"]
