"""`gen_project`: an application that goes from the state to AutoTiler files by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

import nnshell
from nnshell.cli import main
from nnshell.session.project import Project
from nnshell.support.errors import NNShellError

# Declarations of the SDK that main.c uses, to compile it without the SDK.
PMSIS = """
struct pi_device { int x; };
struct pi_cluster_conf { int x; };
struct pi_cluster_task { void (*entry)(void *); int stack_size; int slave_stack_size; };
enum { PI_FREQ_DOMAIN_FC, PI_FREQ_DOMAIN_CL };
int pi_freq_set(int, unsigned); void pi_cluster_conf_init(struct pi_cluster_conf *);
void pi_open_from_conf(struct pi_device *, void *); int pi_cluster_open(struct pi_device *);
int pi_cluster_send_task_to_cl(struct pi_device *, struct pi_cluster_task *);
int pi_cluster_close(struct pi_device *); void pmsis_exit(int); int pmsis_kickoff(void *);
"""
KERNELS = """
int lenetCNN_Construct(void); int lenetCNN_Destruct(void);
int lenetCNN(signed char *Input_1, signed char *Output_1);
"""


def quantized() -> Project:
    project = nnshell.open_graph("sample:lenet")
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    nnshell.quantize(project, nnshell.calibrate_randomly(project))
    return project


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_replays_the_state_and_generates(tmp_path: Path) -> None:
    nnshell.generate_project(quantized(), tmp_path)
    nnshell.generate(quantized(), tmp_path / "expected", model_file="lenetModel.c")
    done = subprocess.run(
        ["make", "nntool_gen", f"NNTOOL={sys.executable} -m nnshell"],
        cwd=tmp_path,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    built, expected = tmp_path / "BUILD_MODEL", tmp_path / "expected"
    for path in expected.glob("tensors/*.tensor"):
        assert (built / "tensors" / path.name).read_bytes() == path.read_bytes()
    assert (built / "lenetInfo.h").is_file() and (built / "lenetModel.c").is_file()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_the_program_compiles_against_the_declarations(tmp_path: Path) -> None:
    nnshell.generate_project(quantized(), tmp_path)
    for name, text in (
        ("Gap.h", "typedef unsigned AT_HYPERFLASH_FS_EXT_ADDR_TYPE;\n"),
        ("pmsis.h", PMSIS),
        ("lenetKernels.h", KERNELS),
        ("lenetInfo.h", ""),
    ):
        (tmp_path / name).write_text(text)
    flags = ["-DSTACK_SIZE=1", "-DSLAVE_STACK_SIZE=1", "-DFREQ_CL=1", "-DFREQ_FC=1"]
    done = subprocess.run(
        ["gcc", "-std=gnu99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *flags, "main.c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_inputs_that_the_graph_allocates_are_not_passed(tmp_path: Path) -> None:
    project = quantized()
    nnshell.node_option(project, "input_1", "ALLOCATE", "1")
    nnshell.generate_project(project, tmp_path)
    text = (tmp_path / "main.c").read_text()
    assert "lenetCNN(Output_1);" in text
    assert "Input_1: allocated by the graph" in text


def test_files_of_the_user_are_kept_unless_told_otherwise(tmp_path: Path) -> None:
    nnshell.generate_project(quantized(), tmp_path)
    (tmp_path / "main.c").write_text("mine")
    written = nnshell.generate_project(quantized(), tmp_path)
    assert [path.name for path, new in written.items() if new] == ["lenet.json"]
    assert (tmp_path / "main.c").read_text() == "mine"
    nnshell.generate_project(quantized(), tmp_path, overwrite=True)
    assert (tmp_path / "main.c").read_text() != "mine"


def test_weights_in_files_of_their_own_go_along(tmp_path: Path) -> None:
    model = onnx.load(nnshell.open_graph("sample:lenet").graph.source.path)
    (tmp_path / "from").mkdir()
    where = {"location": "lenet.data", "size_threshold": 0}
    onnx.save(model, tmp_path / "from/lenet.onnx", save_as_external_data=True, **where)
    project = nnshell.open_graph(tmp_path / "from/lenet.onnx")
    nnshell.adjust(project)
    nnshell.quantize(project, nnshell.calibrate_randomly(project))
    nnshell.generate_project(project, tmp_path / "app")
    shutil.rmtree(tmp_path / "from")
    again = nnshell.open_graph(tmp_path / "app/lenet.json")
    assert [node.name for node in again] == [node.name for node in project]


def test_the_folder_of_the_model_can_be_the_project(tmp_path: Path) -> None:
    nnshell.generate_project(quantized(), tmp_path / "first")
    project = nnshell.open_graph(tmp_path / "first/lenet.json")
    before = (tmp_path / "first/lenet.onnx").read_bytes()
    nnshell.generate_project(project, tmp_path / "first", overwrite=True)
    assert (tmp_path / "first/lenet.onnx").read_bytes() == before
    again = nnshell.open_graph(tmp_path / "first/lenet.json")
    assert again.quantized


def test_nothing_is_written_for_a_graph_that_is_not_quantized(tmp_path: Path) -> None:
    with pytest.raises(NNShellError, match="not quantized"):
        nnshell.generate_project(nnshell.open_graph("sample:lenet"), tmp_path / "app")
    assert not (tmp_path / "app").exists()


def test_the_command_says_what_it_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ("open sample:lenet", "adjust", "fusions --scale8", "fquant", "gen_project app")
    assert main([word for line in lines for word in ("-e", line)]) == 0
    assert main(["-e", "open app/lenet.json", "-e", "gen_project app"]) == 0
    captured = capfd.readouterr()
    assert "wrote app/main.c" in captured.out
    assert "kept, because they are there: app/Makefile" in captured.err
    script = Path("app/nntool_script").read_text().splitlines()
    assert script == ["adjust", "fusions --scale8", "fquant", "save_state"]
