"""Scripts of older NNTool versions: old spellings run, each with one warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nnshell.shell.legacy import modernize
from nnshell.shell.lines import scan

Run = Any  # the fixture of conftest.py


@pytest.fixture(autouse=True)
def _in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


READ_AS = {
    "fusion --scale8": ("fusions --scale8", "'fusion' is read as 'fusions'"),
    "validation x.png": ("validate x.png", "'validation' is read as 'validate'"),
    "fusions \u2013scale8": ("fusions --scale8", "is read as '--scale8'"),
    "set dump_tensors 7": ("set graph_dump_tensor 7", "'set graph_dump_tensor'"),
    "set input_width 64": ("set image_width 64", "'set image_width'"),
    "set graph_warm_construct true": ("set graph_warm_construct 1", "'set graph_warm_construct 1'"),
    "set graph_warm_construct False": ("set graph_warm_construct 0", "graph_warm_construct 0'"),
    "weight_equalization 0.001": (
        "weight_equalization --threshold 0.001",
        "'weight_equalization --threshold 0.001'",
    ),
    "weight_equalization 1e-3": ("weight_equalization --threshold 1e-3", "--threshold 1e-3'"),
    "qtune * float bfloat16": (
        "qtune --step * scheme=float float_type=bfloat16",
        "is read as 'qtune --step *",
    ),
    "qtune 3:5 scaled": ("qtune --step 3:5 scheme=scaled", "is read as 'qtune --step 3:5"),
    "qtune * option --hwc": ("qtune --step * hwc=true", "is read as 'qtune --step * hwc=true'"),
    "qtune a* option --weight-bits 4 --hwc": (
        "qtune --step a* weight_bits=4 hwc=true",
        "weight_bits=4 hwc=true'",
    ),
    "qtune 2 dp": ("", "does nothing here: the kernels accumulate in 32 bits anyway"),
}


@pytest.mark.parametrize(("old", "today", "warning"), [(k, *v) for k, v in READ_AS.items()])
def test_old_spellings_are_read_with_one_warning(old: str, today: str, warning: str) -> None:
    words, warnings = modernize(scan(old, {}).words)
    assert " ".join(word.text for word in words) == today
    assert len(warnings) == 1
    assert warning in warnings[0]


AS_THEY_ARE = (
    *("qtune --step * clip_type=std3", "qtune --json f.json", "qtune 3", "qtune 3 unknown form"),
    *("weight_equalization images/*", "weight_equalization 3.png", "set graph_warm_construct 2"),
    *("set l1_size 3", "fusions --scale8", "validate a -q", "aquant x -N 'x: x/2'"),
)


@pytest.mark.parametrize("line", AS_THEY_ARE)
def test_what_is_spelled_as_today_is_left_alone(line: str) -> None:
    words = scan(line, {}).words
    assert modernize(words) == (words, [])


def test_one_old_setting_stands_for_two_of_today(run: Run) -> None:
    outcome = run(
        *("-e", "set default_input_location AT_MEM_L3_HRAM"),
        *("-e", "set default_input_home_location", "-e", "set default_input_exec_location"),
    )
    assert outcome.status == 0
    assert outcome.out.splitlines()[-2:] == [
        "default_input_home_location: 'AT_MEM_L3_HRAM'",
        "default_input_exec_location: 'AT_MEM_L3_HRAM'",
    ]
    assert outcome.err.count("warning") == 1


@pytest.mark.parametrize("name", ["max_completion_items", "graph_l1_promotion"])
def test_settings_that_newer_versions_dropped_say_why(run: Run, name: str) -> None:
    outcome = run("-e", f"set {name} 1")
    assert outcome.status == 0
    assert outcome.err.startswith(f"-e:1: warning: setting {name} does nothing here: ")


def test_bare_fusions_and_half_an_imageformat_change_nothing_and_say_so(run: Run) -> None:
    script = ["open net.onnx", "adjust", "fusions", "imageformat input_1", "show --format csv"]
    outcome = run(*(word for line in script for word in ("-e", line)))
    assert outcome.status == 0
    assert outcome.err.count("warning") == 2
    assert "no set of fusions is chosen" in outcome.err
    assert "imageformat input_1 rgb888 offset_int8" in outcome.err
    assert "fusion" not in outcome.out
    assert "imageformat" not in outcome.out


def test_a_drawing_without_an_ending_gets_one(run: Run, tmp_path: Path) -> None:
    outcome = run("-e", "open net.onnx", "-e", f"draw -f {tmp_path}/graph")
    assert outcome.status == 0
    assert [path.stem for path in tmp_path.iterdir()] == ["graph"]
    assert "has no ending" in outcome.err


@pytest.mark.parametrize(
    ("old", "today"),
    [
        ("x: x>>1", "x: x//2"),
        ("x: x/(1<<15)", "x: x/32768"),
        ("x: (x<<2)-4", "x: x*4-4"),
        ("x: x-128>>2", "x: (x-128)//4"),
    ],
)
def test_shifts_in_norm_functions_are_powers_of_two(run: Run, old: str, today: str) -> None:
    def ranges(norm: str) -> str:
        lines = ("open net.onnx", f'set input_norm_func "{norm}"', "aquant img/* --limit 3")
        outcome = run(*(word for line in (*lines, "qshow --format csv") for word in ("-e", line)))
        assert outcome.status == 0, outcome.err
        assert outcome.err.count("on real numbers") == ("<<" in norm or ">>" in norm)
        return str(outcome.out).partition("see it.")[2]

    assert ranges(old) == ranges(today) != ""


@pytest.mark.parametrize("norm", ["x: x>>x", "x: x<<-1", "x: 2>>0.5", "x: x<<99999999"])
def test_shifts_by_no_number_of_bits_are_refused(run: Run, norm: str) -> None:
    outcome = run("-e", f'set input_norm_func "{norm}"')
    assert outcome.status == 1
    assert "norm function" in outcome.err


def test_debug_leaves_errors_of_the_user_one_line(run: Run) -> None:
    outcome = run("-e", "set debug true", "-e", "open nofile.onnx")
    assert outcome.status == 1
    assert "Traceback" not in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_debug_shows_where_nnshell_failed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("nnshell.flow.open_graph", broken)
    outcome = run("-e", "set debug true", "-e", "open net.onnx")
    assert outcome.status == 1
    assert "Traceback" in outcome.err
    assert "RuntimeError: a fault" in outcome.err


ALWAYS_REFUSED = {
    "aquant x -s FLOAT": "scheme FLOAT is not possible",
    "aquant x --use_ne16": "accelerator of GAP9",
    "aquant x --hwc": "hwc",
    "aquant x --force_output_size 16": "NE16",
    "aquant x --float_type float16": "float_type=float16",
    "aquant x -D 0": "divisor",
    'aquant x -N "x: y"': "norm function",
    'validate x --norm_func "x: import"': "norm function",
    "fquant --use_ne16": "accelerator of GAP9",
    "qtune --step * use_ne16=true": "accelerator of GAP9",
    "qtune --step * no_such=1": "no quantization option",
    "qtune * float float16": "float_type=float16",
    "fusions -a scale8 no_such_fusion": "no_such_fusion",
    "open net.onnx --use_hard_tanh": "tanh stays tanh",
    "adjust -i": "`adjust -s N`",
    "draw --expressions quantized": "-F",
    "compress auto": "GAP9",
    "nodeoption conv1 NOSUCH 1": "NOSUCH",
}


@pytest.mark.parametrize(("line", "message"), ALWAYS_REFUSED.items())
def test_check_finds_what_never_runs(run: Run, line: str, message: str) -> None:
    checked = run("--check", "-e", "open net.onnx", "-e", line)
    assert checked.status == 1
    assert checked.err.count("-e:2: ") == checked.err.count("warning") + 1
    assert message in checked.err
    ran = run("--keep-going", "-e", "open net.onnx", "-e", "fquant", "-e", line)
    assert message in ran.err


def test_float_type_of_the_arithmetic_that_there_is_runs(run: Run) -> None:
    assert run("-e", "open net.onnx", "-e", "fquant --float_type float32").status == 0
