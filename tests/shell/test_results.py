"""What integers cost, as commands show it: qshow, qerror, validate, dump, weights, simulate."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Any

QUANTIZE = ("open net.onnx", "adjust", "fusions --scale8", "aquant img/* -D 128 -O -1")


@pytest.fixture(autouse=True)
def _in_the_project(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def commands(run: Run) -> Any:
    def _commands(*lines: str) -> Any:
        outcome = run(*[word for line in (*QUANTIZE, *lines) for word in ("-e", line)])
        assert outcome.status == 0, outcome.err
        return outcome

    return _commands


def test_qshow_as_json_has_the_outward_keys(commands: Any) -> None:
    commands("qshow --format json > q.json")
    rows = {row["name"]: row for row in json.loads(Path("q.json").read_text())}
    conv = rows["conv1_fusion/conv1"]
    assert conv["scheme"] == "SQ8" and conv["op"] == "conv2d"
    assert set(conv["inputs"][0]) == {"scale", "zero_point", "dtype", "min", "max"}
    assert len(conv["weights"]["scale"]) == len(conv["multiplier"]) == len(conv["shift"]) == 4
    assert rows["input_1"]["step"] == 0
    assert "multiplier" not in rows["input_1"]


def test_qshow_of_one_step_shows_its_channels(commands: Any) -> None:
    out = commands("qshow conv1_fusion").out
    assert "conv1_fusion/conv1: channels" in out
    assert len([line for line in out.split("channels")[1].splitlines() if line]) == 2 + 4


def test_qerror_is_sorted_and_opens_fusions_on_request(commands: Any) -> None:
    commands("qerror img/* --format json > q.json", "qerror img/* -i --format json > i.json")
    rows, inner = (json.loads(Path(name).read_text()) for name in ("q.json", "i.json"))
    qsnr = [row["qsnr_db"] or 999.0 for row in rows]
    assert qsnr == sorted(qsnr)
    assert {row["name"] for row in rows} < {row["name"] for row in inner}
    assert any(row.get("clipped") for row in inner)


def test_validate_counts_and_writes_json(commands: Any) -> None:
    out = commands("validate img/*", "validate img/* -q --json int8.json --confusion").out
    report = json.loads(Path("int8.json").read_text())
    assert report["engine"] == "int8" and report["images"] == 12
    assert 0 <= report["accuracy"] <= 1 and 0 <= report["agreement_with_float"] <= 1
    assert out.count("Total accuracy: ") == 2
    assert "labels against predictions" in out


def test_validate_takes_labels_from_options(commands: Any) -> None:
    labels = {path.name: 1 for path in Path("img").iterdir()}
    Path("labels.json").write_text(json.dumps(labels))
    out = commands("validate img/* --class_number 1", "validate img/* --label_json labels.json").out
    found = [line for line in out.splitlines() if line.startswith("Total accuracy")]
    assert found[0] == found[1]


def test_dump_writes_integers_and_floats_of_every_node(commands: Any) -> None:
    commands(
        "dump img/* -q --limit 2 --npz q.npz",
        "dump img/* --limit 2 --npz f.npz",
        "dump img/* -q -d --limit 1 --npz d.npz",
    )
    integers, floats, real = (np.load(name) for name in ("q.npz", "f.npz", "d.npz"))
    assert integers["conv1_fusion"].shape == (2, 4, 4, 4)
    assert integers["conv1_fusion"].dtype == np.int8
    assert {"conv1_fusion/conv1", "input_1", "output_1"} <= set(integers.files)
    assert np.array_equal(integers["conv1_fusion"], integers["conv1_fusion/relu1"])
    assert floats["output_1"].dtype == np.float32
    assert real["output_1"].shape[0] == 1
    largest = np.abs(floats["output_1"]).max()
    assert np.abs(real["output_1"][0] - floats["output_1"][0]).max() < 0.1 * largest


def test_dump_prints_values_and_checksums(commands: Any) -> None:
    out = commands("dump img/image_0_0.png -s output_1 -p 2", "dump img/* --checksum --limit 1").out
    assert "output_1: 3 float32" in out
    assert re.search(r"^input_1: [0-9a-f]{8}$", out, re.MULTILINE)


def test_stored_tensors_are_listed_and_compared(commands: Any) -> None:
    lines = ("dump img/* --limit 2 -S a", "dump img/* --limit 2 -D 120 -S b", "tensors")
    out = commands(*lines, "tensors -t a b -s -1", "tensors -t a -s -1 -n 1", "tensors -X").out
    assert "a against b" in out and "output_1: 3 float32" in out


def test_weights_and_activations_are_described(commands: Any) -> None:
    commands("weights --format json > w.json", "astats img/* --format json > a.json")
    weights = {row["name"]: row for row in json.loads(Path("w.json").read_text())}
    row = weights["conv1_weights"]
    assert row["min"] < row["mean"] < row["max"] and row["sigma"] > 0
    assert row["low_3_sigma"] == pytest.approx(row["mean"] - 3 * row["sigma"])
    assert 0 <= row["outside_3_sigma"] <= 100
    activations = {row["name"]: row for row in json.loads(Path("a.json").read_text())}
    assert activations["input_1"]["max"] <= 255 / 128 - 1


def test_random_inputs_quantize_too(run: Run) -> None:
    lines = ("open net.onnx", "fquant --uniform 1 --seed 3", "qshow --format json")
    outcome = run(*[word for line in lines for word in ("-e", line)])
    assert outcome.status == 0
    assert '"scheme": "SQ8"' in outcome.out


def test_stats_files_replace_images(commands: Any, run: Run) -> None:
    commands("save_stats ranges.json", "gen > first.c")
    lines = ("open net.onnx", "adjust", "fusions --scale8", "aquant --stats ranges.json")
    outcome = run(*[word for line in (*lines, "gen > second.c") for word in ("-e", line)])
    assert outcome.status == 0
    assert Path("first.c").read_text() == Path("second.c").read_text()


def test_options_of_the_last_aquant_hold_for_later_commands(commands: Any) -> None:
    outcome = commands("astats img/* --format json > a.json")
    assert "input options from last aquant: divisor 128.0, offset -1.0" in outcome.err
    row = json.loads(Path("a.json").read_text())[0]
    assert row["min"] >= -1


def test_simulate_writes_its_outward_forms(commands: Any) -> None:
    out = commands("simulate img/* --limit 2 --json s.json --trace t.json --memory").out
    report = json.loads(Path("s.json").read_text())
    assert report["network"] == "net" and report["kernels"] == "autotiler-sq8"
    assert report["total_cycles"] == sum(layer["cycles"] for layer in report["layers"])
    assert json.loads(Path("t.json").read_text())
    assert "predictions of the int8 engine" in out and "net: L2" in out


def test_qtune_changes_chosen_nodes_only(commands: Any) -> None:
    lines = ("qshow --format json > a.json", "qtune --step fc quantized_dimension=tensor")
    commands(*lines, "qshow --format json > b.json")
    before, after = (
        {row["name"]: row for row in json.loads(Path(name).read_text())}
        for name in ("a.json", "b.json")
    )
    assert len(before["fc"]["weights"]["scale"]) == 3
    assert len(after["fc"]["weights"]["scale"]) == 1
    assert before["conv1_fusion/conv1"] == after["conv1_fusion/conv1"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dump img/* -P x.pickle", "without pickle"),
        ("qerror img/* -r 20", "not part of nnshell"),
        ("validate img/* --prediction_step_idx 99", "no step 99"),
        ("validate img/* --engine fast", "'fast' is not one of"),
        ("tensors -t gone", "nothing is stored as 'gone'"),
        ("qshow nosuch", "nosuch"),
        ("dump img/* -s input_1 -c 7", "no channel 7"),
        ("qtune --step fc nonsense=1", "nonsense"),
        ("simulate --json no/such/../", "no/such"),
    ],
)
def test_mistakes_are_one_line(run: Run, line: str, message: str) -> None:
    outcome = run(*[word for entry in (*QUANTIZE, line) for word in ("-e", entry)])
    assert outcome.status == 1
    assert message in outcome.err.splitlines()[-1]
    assert "set debug true" not in outcome.err


def test_simulate_ignores_labels_that_are_no_classes(commands: Any) -> None:
    Path("img/image_0_0.png").rename("img/image_0_77.png")
    out = commands("simulate img/* --format csv").out
    rows = [line.split(",") for line in out.splitlines() if line.startswith("img/")]
    assert len(rows) == 12 and rows[0][1] == "" and rows[1][1] == "1"


def test_simulate_shows_the_values_of_networks_that_do_not_classify(run: Run) -> None:
    cut = ("open net.onnx", "remove relu1", *QUANTIZE[1:], "simulate img/* --limit 2 --format json")
    outcome = run(*[word for line in cut for word in ("-e", line)])
    assert outcome.status == 0, outcome.err
    rows = json.loads(outcome.out[outcome.out.rindex("[\n") :])
    assert [row["output"] for row in rows] == ["output_1", "output_1"]
    assert rows[0]["shape"] == "4x8x8" and rows[0]["min"] <= rows[0]["max"]


def test_dump_of_many_images_comes_in_batches(commands: Any) -> None:
    np.savez("many.npz", images=np.random.default_rng(0).integers(0, 256, (150, 8, 8), np.uint8))
    commands("dump many.npz -q --npz q.npz", "dump many.npz -q --checksum -s conv1_fusion > sums")
    arrays = np.load("q.npz")
    assert arrays["conv1_fusion"].shape[0] == 150
    sums = [line for line in Path("sums").read_text().splitlines() if line.startswith("conv1_")]
    assert sums[140] == f"conv1_fusion: {zlib.crc32(arrays['conv1_fusion'][140].tobytes()):08x}"
