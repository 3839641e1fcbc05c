"""What people type out of habit: pasted prompts, folders, other words, parts of names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnshell
from nnshell.cli import main


def run(*lines: str) -> int:
    return main([word for line in lines for word in ("-e", line)])


def test_a_pasted_prompt_is_no_part_of_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("(NNT) open sample:lenet", "(NNT lenet.onnx 0) show") == 0
    assert "_conv1_Conv" in capsys.readouterr().out


def test_folders_are_shown_and_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "x.txt").write_text("")
    assert run("ls", "cd inner", "ls", "pwd") == 0
    assert capsys.readouterr().out.splitlines() == [
        "inner/",
        str(tmp_path / "inner"),
        "x.txt",
        str(tmp_path / "inner"),
    ]
    assert run("cd nowhere") == 1


def test_other_words_for_a_command_run_it_with_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("load sample:lenet", "accuracy sample:test --limit 10", "histogram 1") == 0
    heard = capsys.readouterr()
    assert "Total accuracy" in heard.out and "'accuracy' is read as 'validate'" in heard.err


@pytest.mark.parametrize("command", ["show", "fusions --explain", "nodeoption"])
def test_a_part_of_a_name_selects_when_it_is_unique(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ("open sample:lenet", "adjust", "fusions --scale8")
    assert run(*lines, f"{command} conv1") == 0
    assert run(*lines, f"{command} conv") == 1
    assert "did you mean" in capsys.readouterr().err


def test_simulate_explains_a_layer_by_the_name_of_its_node(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = ("open sample:lenet", "adjust", "fusions --scale8")
    printed: list[Any] = []
    for name in ("/conv1/Conv", "_conv1_Conv_fusion"):
        assert run(*lines, f"simulate --explain {name}") == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_simulate_numbers_and_names_layers_as_show_does(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ("open sample:lenet", "adjust", "fusions --scale8")
    assert run(*lines, "simulate --explain 9") == 0
    assert "step 9, _fc1_Gemm_fusion" in capsys.readouterr().out
    assert run(*lines, "simulate --format csv") == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(row.startswith("9,_fc1_Gemm_fusion,") for row in rows)


def test_a_model_that_is_not_there_gets_near_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "net.onnx").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert run("open net.onnx") == 1
    assert "did you mean models/net.onnx?" in capsys.readouterr().err
    assert run("open lenet.onnx") == 1
    assert "did you mean sample:lenet?" in capsys.readouterr().err


def test_samples_are_named_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ("open sample:lenet", 'set input_norm_func "x: x/128-1"')
    assert run(*lines, "dump sample:test --limit 1 -s output_1") == 0
    assert capsys.readouterr().out.splitlines()[-3].startswith("sample:test/test_0000_0.png")


def test_letters_of_descriptions_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("open sample:lenet", "show") == 0
    key = capsys.readouterr().out.splitlines()[-1]
    assert key.startswith("description: F filter") and "P padding" in key


def first_record(printed: str) -> Any:
    """The first row of the only table in JSON among what was printed."""
    return json.loads(printed[printed.index("[\n") :])[0]


def test_weights_and_activations_of_a_node_are_quantized_as_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ("open sample:lenet", 'set input_norm_func "x: x/128-1"')
    form = "--clip_type none --form symmetric --format json"
    assert run(*lines, f"quantize_values --node _conv1_Conv {form}") == 0
    row = first_record(capsys.readouterr().out)
    weights = nnshell.open_graph("sample:lenet")["_conv1_Conv_weights"].op.known_value
    assert row["scale"] == pytest.approx(np.abs(weights).max() / 127, rel=1e-2)
    image = "sample:test/test_0000_0.png"
    assert run(*lines, f"quantize_values --node output_1 --input {image} {form}") == 0
    row = first_record(capsys.readouterr().out)
    assert row["scale"] == pytest.approx(25.2004 / 128, rel=2e-2)
    np.save(tmp_path / "x.npy", np.array([[0.5, -1.0]]))
    assert run(f"quantize_values --file {tmp_path}/x.npy --clip_type none --form symmetric") == 0
    assert "-1..0.5" in capsys.readouterr().out
    assert run("quantize_values --input x 1") == 1


def test_the_error_of_a_channel_s_weights_is_that_of_its_integers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = ("open sample:lenet", 'set input_norm_func "x: x/128-1"')
    assert run(*lines, "aquant sample:calibration --limit 5", "explain scales 3") == 0
    shown = capsys.readouterr().out
    weights = nnshell.open_graph("sample:lenet")["_conv1_Conv_weights"].op.known_value[0]
    scale = np.abs(weights).max() / 127
    error = np.abs(np.rint(weights / scale) * scale - weights)
    assert f"largest error {error.max():.3g}, mean {error.mean():.3g}" in shown


def test_no_options_and_written_pictures_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("open sample:lenet", "nodeoption", f"weights --svg {tmp_path}/w.svg") == 0
    heard = capsys.readouterr()
    assert "no options are set" in heard.out and "w.svg" in heard.err
