"""What integers cost, as commands show it: qshow, qerror, validate, dump, weights, simulate."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from nnshell import flow

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
    out = commands(
        "validate img/* --json float.json", "validate img/* -q --json int8.json --confusion"
    ).out
    report = json.loads(Path("int8.json").read_text())
    of_float = json.loads(Path("float.json").read_text())
    assert of_float.keys() == report.keys()
    assert (of_float["engine"], of_float["agreement_with_float"]) == ("float", 1)
    assert 0 <= report["accuracy"] <= report["top5"] <= 1
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
    assert out.index("predictions of") < out.index("net: L2")
    assert "Cycles" not in out  # the map is not below a table of layers


def test_simulate_runs_tile_by_tile_and_says_that_it_is_equal(commands: Any) -> None:
    out = commands("simulate img/* --limit 2 --tiled --summary").out
    assert "2 of 2 samples are equal to the whole int8 run" in out
    assert "where the time goes" in out


def test_simulate_explains_a_layer_and_sweeps_settings(commands: Any) -> None:
    out = commands("simulate --explain 3", "simulate --cores 1,8 --l2 64k,300k --format json")
    assert "tiles: the chosen one and the best others" in out.out
    points = json.loads(out.out[out.out.index("[\n") :])
    assert len(points) == 4 and {point["cores"] for point in points} == {1, 8}
    commands("simulate --cores 1,8 --l2 64k,300k --json s.json")
    assert json.loads(Path("s.json").read_text())["points"] == points


def test_a_kernel_table_and_a_chip_of_one_s_own_are_settings(commands: Any) -> None:
    for table, old, new in (
        ("kernels_pulp_nn", 'name = "pulp-nn"', 'name = "mine"'),
        ("chip", "bytes_per_cycle = 8.0", "bytes_per_cycle = 1.0"),
    ):
        text = files("nnshell.chips.tables").joinpath(f"{table}.toml").read_text(encoding="utf-8")
        Path(f"{table}.toml").write_text(text.replace(old, new))
    simulate = "simulate --summary --json {}.json"
    lines = ("set kernels kernels_pulp_nn.toml", simulate.format("eight"))
    commands(*lines, "set chip chip.toml", simulate.format("one"))
    eight, one = (json.loads(Path(f"{name}.json").read_text()) for name in ("eight", "one"))
    assert eight["kernels"] == one["kernels"] == "mine"
    assert one["total_cycles"] > eight["total_cycles"]


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
        ("qerror img/* --compare_quantized", "not part of nnshell"),
        ("aquant -f 8 -s img/*", "is not one of SQ8, POW2, FLOAT: as in `-s SQ8 FILES`"),
        ("aquant img/* --use_ne16", "NE16 is an accelerator of GAP9"),
        ("validate img/* --prediction_step_idx 99", "no step 99"),
        ("validate img/* --prediction_step_idx 1", "is not computed from the inputs"),
        ("validate img/* --engine fast", "'fast' is not one of"),
        ("tensors -t gone", "nothing is stored as 'gone'"),
        ("qshow nosuch", "nosuch"),
        ("dump img/* -s input_1 -c 7", "no channel 7"),
        ("qtune --step fc nonsense=1", "nonsense"),
        ("simulate --json no/such/../", "no/such"),
        ("simulate --tiled", "--tiled needs inputs"),
        ("simulate --explain nobody", "no node matches 'nobody'"),
        ("simulate --cores 1,x", "--cores 1,x"),
        ("simulate --cores 1,2 --trace t.json", "--trace is for one setting"),
        ("simulate img/* --l1 32k,64k", "INPUTS is for one setting"),
        ("simulate --summary --format json", "--summary is text"),
        ("simulate --kernels none", "no kernel table none"),
        ("set kernels gone.toml", "no kernel table gone.toml"),
        ("set chip gone.toml", "cannot read the chip file"),
    ],
)
def test_mistakes_are_one_line(run: Run, line: str, message: str) -> None:
    outcome = run(*[word for entry in (*QUANTIZE, line) for word in ("-e", entry)])
    assert outcome.status == 1
    assert message in outcome.err.splitlines()[-1]
    assert "set debug true" not in outcome.err


def test_an_interrupted_validation_shows_its_part_and_ends_the_script(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = flow.validate

    def interrupted(*given: Any, **options: Any) -> Any:
        return dataclasses.replace(whole(*given, **options), complete=False)

    monkeypatch.setattr("nnshell.flow.validate", interrupted)
    lines = (*QUANTIZE, "validate img/* -q --json v.json", "set l1_size")
    outcome = run(*[word for entry in lines for word in ("-e", entry)])
    assert outcome.status == 130
    assert "these are the results so far" in outcome.out and "l1_size" not in outcome.out
    assert json.loads(Path("v.json").read_text())["partial"] is True


def test_what_validate_shows_is_drawn(commands: Any) -> None:
    pytest.importorskip("matplotlib")
    commands("validate img/* -q --confusion --svg c.svg", "validate img/* -q --svg p.svg")
    assert "labels against predictions" in Path("c.svg").read_text()
    assert "predictions of the int8 engine" in Path("p.svg").read_text()


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


def test_qerror_of_steps_alone_shows_no_error_of_earlier_steps(commands: Any) -> None:
    commands("qerror img/* --format json > q.json", "qerror img/* -s --format json > s.json")
    whole, alone = (
        {row["name"]: row["qsnr_db"] for row in json.loads(Path(name).read_text())}
        for name in ("q.json", "s.json")
    )
    assert whole.keys() == alone.keys()
    assert alone["conv1_fusion"] == whole["conv1_fusion"]
    assert alone["fc"] > whole["fc"]


def test_qerror_reports_the_inputs_below_a_limit(commands: Any) -> None:
    commands("qerror img/* -r 1000 --format json > all", "qerror img/* -r -1000 --format json > no")
    rows = json.loads(Path("all").read_text())
    assert len(rows) == 12 and rows[0]["sample"].startswith("img/")
    assert [row["qsnr_db"] for row in rows] == sorted(row["qsnr_db"] for row in rows)
    assert json.loads(Path("no").read_text()) == []


def test_dump_of_steps_alone_holds_integers(commands: Any) -> None:
    commands(
        "dump img/* -A --npz a.npz", "dump img/* -q --npz q.npz", "dump img/* -A -d --npz d.npz"
    )
    alone, whole, real = (np.load(f"{name}.npz") for name in "aqd")
    assert set(alone) == set(whole) and alone["fc"].dtype == np.int8
    assert np.array_equal(alone["conv1_fusion"], whole["conv1_fusion"])
    assert real["fc"].dtype == np.float32


def test_validate_with_a_threshold_takes_one_value_for_two_classes(run: Run) -> None:
    model = onnx.load("net.onnx")
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, shape in (("w2", (1, 64)), ("b2", (1,))):
        values = numpy_helper.to_array(weights[name])[:1].reshape(shape)
        weights[name].CopyFrom(numpy_helper.from_array(values, name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1
    onnx.save(model, "one.onnx")
    lines = ["open one.onnx", *QUANTIZE[1:]]
    lines += ["dump img/* --npz f.npz", "dump img/* -q -d --npz q.npz"]
    lines += [f"validate img/* {e} --binary_classification --class_thr T --format json > v{n}"
              for n, e in enumerate(("", "-q"))]  # fmt: skip
    run(*[word for line in lines[:-2] for word in ("-e", line)])
    values = [np.load(name)["output_1"].reshape(-1) for name in ("f.npz", "q.npz")]
    threshold = float(np.sort(values[0])[5:7].mean())
    lines = [line.replace("T --format", f"{threshold} --format") for line in lines]
    for name in (
        "img/image_2_2.png",
        "img/image_5_2.png",
        "img/image_8_2.png",
        "img/image_11_2.png",
    ):
        Path(name).unlink()
    outcome = run(*[word for line in lines for word in ("-e", line)])
    assert outcome.status == 0, outcome.err
    for number, name in enumerate(("f.npz", "q.npz")):
        rows = json.loads(Path(f"v{number}").read_text())
        found = np.load(name)["output_1"].reshape(-1)
        assert [row["predicted"] for row in rows] == (found > threshold).astype(int).tolist()
        assert 0 < sum(row["predicted"] for row in rows) < len(rows)


def test_a_threshold_for_several_values_is_refused(run: Run) -> None:
    lines = ("open net.onnx", "validate img/* --binary_classification")
    outcome = run(*[word for line in lines for word in ("-e", line)])
    assert outcome.status == 1 and "the output has 3 values" in outcome.err


def test_quantization_options_are_saved_edited_and_read_again(commands: Any, run: Run) -> None:
    commands("qtune --step fc narrow_weights=false", "qtunesave o.json", "save_stats s.json")
    values = json.loads(Path("o.json").read_text())
    assert values["fc"] == {"narrow_weights": False} and values["*"]["narrow_weights"] is True
    values["*"]["quantized_dimension"] = "tensor"
    Path("o.json").write_text(json.dumps(values))
    out = commands("qtune --json o.json", "qtunesave p.json", "qshow --format json > q.json").out
    assert "quantization options set" in out
    assert json.loads(Path("p.json").read_text()) == values
    rows = {row["name"]: row for row in json.loads(Path("q.json").read_text())}
    assert len(rows["conv1_fusion/conv1"]["weights"]["scale"]) == 1
    refused = run("-e", "open net.onnx", "-e", "qtunesave o.json")
    assert refused.status == 1 and "run aquant first" in refused.err


def test_dump_of_a_range_leaves_constants_out(commands: Any, run: Run) -> None:
    commands("dump img/* -q -s 0:3 --npz a.npz", "dump img/* -s '*' --npz b.npz")
    assert set(np.load("a.npz")) == {"input_1", "conv1_fusion"}
    assert set(np.load("b.npz")) == {"input_1", "conv1_fusion", "fc", "output_1"}
    refused = run("-e", "open net.onnx", "-e", "dump img/* -s 1")
    assert refused.status == 1 and "only constants match '1'" in refused.err


def test_folders_of_data_sets_calibrate_on_training_and_validate_on_test_files(run: Run) -> None:
    Path("mnist").mkdir()
    for name, count in (("train", 5), ("t10k", 3)):
        pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8), np.uint8)
        head = np.array([0x803, count, 8, 8], ">u4").tobytes()
        Path(f"mnist/{name}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        labels = np.array([0x801, count], ">u4").tobytes() + bytes(count)
        Path(f"mnist/{name}-labels-idx1-ubyte").write_bytes(labels)
    lines = ("open net.onnx", "aquant mnist -D 255", "validate mnist -q")
    outcome = run(*[word for line in lines for word in ("-e", line)])
    assert outcome.status == 0, outcome.err
    assert "3 images" in outcome.out and "of 3 labelled" in outcome.out
    assert "reading train-images-idx3-ubyte" in outcome.err
    assert "reading t10k-images-idx3-ubyte" in outcome.err


def test_transposing_grey_images_is_a_warning(commands: Any) -> None:
    err = commands("validate img/* -T").err
    assert "warning: -T swaps height and width of grey images" in err
