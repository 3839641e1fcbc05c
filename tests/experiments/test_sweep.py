"""Tables of options: every row is what its options give when they are typed one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nnshell
from nnshell.cli import main
from nnshell.experiments.sweep import combinations, values_of
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
