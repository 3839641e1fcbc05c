"""Tables of options: every row is what its options give when they are typed one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnshell
from nnshell.cli import main
from nnshell.experiments.biases import unscaled_biases
from nnshell.experiments.sweep import (
    combinations,
    published_accuracy,
    read_published,
    values_of,
)
from nnshell.session.sizes import measure_sizes, quantized_bytes
from nnshell.support.errors import UsageError


def lenet() -> Any:
    project = nnshell.open_graph("sample:lenet")
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    return project


@pytest.mark.parametrize(
    ("options", "engine"),
    [
        ({"weight_bits": 8, "act_bits": 8, "clip_type": "none"}, "int8"),
        ({"weight_bits": 4, "act_bits": 4, "clip_type": "mse"}, "simulated"),
    ],
)
def test_a_row_is_what_its_options_give_alone(
    tmp_path: Path, options: dict[str, Any], engine: Any
) -> None:
    axes = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    lines = [
        *("open sample:lenet", "adjust", "fusions --scale8"),
        f'sweep sample:test --limit 40 -N "x: x/128-1" --calibrate_on sample:calibration '
        f"{' '.join(axes)} --json {tmp_path}/rows.json",
    ]
    assert main([word for line in lines for word in ("-e", line)]) == 0
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    project = lenet()
    images = nnshell.load_inputs("sample:calibration", norm="x: x/128-1")
    seen = nnshell.calibrate(project, images, clip_type=options["clip_type"])
    nnshell.quantize(project, seen, nnshell.QuantizationOptions(**options))
    test = nnshell.load_inputs("sample:test", norm="x: x/128-1", limit=40)
    report = nnshell.validate(project, test, engine)
    assert row["accuracy"] == pytest.approx(report.accuracy)
    assert row["agreement"] == pytest.approx(report.agreement_with_float)
    assert row["engine"] == engine and {k: row[k] for k in options} == options


def test_all_combinations_come_in_the_order_they_are_written() -> None:
    rows = combinations({"bits": [8, 4], "clip_type": ["none", "mse"]})
    assert [tuple(row.values()) for row in rows] == [
        *((8, "none"), (8, "mse")),
        *((4, "none"), (4, "mse")),
    ]


@pytest.mark.parametrize("axes", [{}, {"colour": [1]}, {"bits": []}, {"bits": list(range(1001))}])
def test_what_cannot_be_swept_is_refused(axes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        combinations(axes)


def test_values_are_numbers_flags_and_words() -> None:
    assert values_of("bits", "8, 4,3") == [8, 4, 3]
    assert values_of("allow_asymmetric_out", "true,no") == [True, False]
    with pytest.raises(UsageError, match="numbers of samples"):
        values_of("calibration", "0,10")


def test_sizes_are_those_of_parameters_and_files(tmp_path: Path) -> None:
    project = lenet()
    before = measure_sizes(project)
    assert before.int8_bytes is None and before.float_bytes == 4 * project.graph.parameters()
    nnshell.quantize(project, nnshell.calibrate_randomly(project))
    sizes = measure_sizes(project)
    weights = sum(n.type.size for n in project if n.kind == "constant" and len(n.type.shape) > 1)
    biases = project.graph.parameters() - weights
    assert sizes.int8_bytes == quantized_bytes(project.graph) == weights + 4 * biases
    for form, size in (("float", sizes.float_file_bytes), ("qdq", sizes.qdq_file_bytes)):
        nnshell.export(project, tmp_path / "x.onnx", form)
        assert (tmp_path / "x.onnx").stat().st_size == size
    assert (sizes.simulated_file_bytes or 0) > 0.95 * sizes.float_file_bytes


def measured_rows(axes: dict[str, Any], spread: Any = None) -> list[Any]:
    test = nnshell.load_inputs("sample:test", norm="x: x/128-1", limit=40)
    images = nnshell.load_inputs("sample:calibration", norm="x: x/128-1")
    return nnshell.sweep_options(lenet(), axes, test, images)


def test_biases_of_another_unit_are_other_biases() -> None:
    rows = measured_rows({"quantize": "all,bias=int32,bias=float,bias=unscaled"})
    both, chip, floating, wrong = (row.outcome for row in rows)
    assert both == chip
    assert floating.noise < 1.1 * chip.noise  # what rounding a bias to its unit costs is nothing
    assert wrong.noise > 5 * chip.noise
    assert [row.engine for row in rows] == ["int8", "int8", "simulated", "int8"]


def test_unscaled_biases_are_their_own_integers_in_the_unit_of_the_sums() -> None:
    project = lenet()
    images = nnshell.load_inputs("sample:calibration", norm="x: x/128-1")
    nnshell.quantize(project, nnshell.calibrate(project, images))
    twin = unscaled_biases(project.graph)
    bias = project["constant_conv1_bias"].op.known_value
    inner = project["_conv1_Conv_fusion"].body["_conv1_Conv"]
    unit = inner.quantization.inputs[2].scale
    integers = twin["constant_conv1_bias"].op.known_value / unit
    assert np.abs(integers).max() == pytest.approx(127)
    assert np.argmax(np.abs(bias)) == np.argmax(np.abs(integers))
    assert np.array_equal(project["constant_conv1_bias"].op.known_value, bias)


def test_a_sweep_is_kept_for_the_page_with_its_curves() -> None:
    project = lenet()
    test = nnshell.load_inputs("sample:test", norm="x: x/128-1", limit=10)
    nnshell.sweep_options(project, {"bits": [8, 3], "clip_type": ["none", "mse"]}, test)
    (table,) = project.tables
    accuracy, noise = table.plots
    assert accuracy.x == (8, 3) and set(accuracy.series) == {"clip type none", "clip type mse"}
    column = [c.key for c in table.columns].index("noise_db")
    assert [v for values in zip(*noise.series.values(), strict=True) for v in values] == [
        row[column] for row in table.rows
    ]


def test_published_rows_stand_beside_those_with_their_options(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("bits,clip_type,accuracy\n8,none,53.4\n8,,50\n4,mse,41\n")
    published = read_published(tmp_path / "p.csv")
    rows = [{"bits": 8, "clip_type": "none"}, {"bits": 8, "clip_type": "mse"}, {"bits": 3}]
    assert [published_accuracy(row, published) for row in rows] == [53.4, 50.0, None]
    (tmp_path / "p.csv").write_text("bits,score\n8,53.4\n")
    with pytest.raises(UsageError, match="no table of accuracies"):
        read_published(tmp_path / "p.csv")
