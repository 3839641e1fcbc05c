"""Configurations as lists of dictionaries, and what layers came to."""

from __future__ import annotations

from typing import Any

import pytest

from nnshell import flow
from nnshell.learning.training.config import calibration_config, with_config
from nnshell.learning.training.options import TrainingOptions
from nnshell.session.project import Project
from nnshell.session.training import quantization_of
from nnshell.support.errors import QuantizationError, UsageError

BASE = TrainingOptions()


def lenet() -> Project:
    project = flow.open_graph("sample:lenet")
    flow.fuse(project, "scale8")
    return project


def widths(project: Project, entries: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """(weight, activation) bits of each node of a graph quantized by the entries."""
    options = with_config(project.graph, BASE, entries)
    from nnshell.quantization import QuantizationOptions

    chosen = quantization_of(project.graph, QuantizationOptions(), options)
    paths = ("_conv1_Conv_fusion/_conv1_Conv", "_conv2_Conv_fusion/_conv2_Conv", "_fc3_Gemm")
    return {p: (chosen.for_node(p).weight_bits, chosen.for_node(p).act_bits) for p in paths}


def test_layers_are_named_by_type_or_name_and_the_rest_stays_float() -> None:
    found = widths(
        lenet(),
        [
            {"quant_types": ["weight"], "quant_bits": 4, "op_types": ["Conv2d"]},
            {"quant_types": ["weight", "output"], "quant_bits": {"weight": 6, "output": 5},
             "op_names": ["_conv2_Conv"]},
        ],
    )  # fmt: skip
    assert list(found.values()) == [(4, 32), (6, 5), (32, 32)]


def test_layers_are_taken_out_again() -> None:
    found = widths(
        lenet(),
        [
            {"quant_types": ["weight"], "op_types": ["default"]},
            {"exclude": True, "op_names": ["_fc3_Gemm"]},
        ],
    )
    assert list(found.values()) == [(8, 32), (8, 32), (32, 32)]


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ({}, "list"),
        ([{"op_types": ["Conv2d"], "quant_bit": 4}], "quant_bit'"),
        ([{"op_types": ["Conv2d"], "quant_bits": 9}], "quant_bits of weight is 9"),
        ([{"op_types": ["Conv2d"], "quant_types": ["bias"]}], "type 'bias'"),
        ([{"op_names": ["nothing"]}], "called 'nothing'"),
        ([{"op_types": ["LSTM"]}], "of its types"),
        ([{"quant_bits": 4}], "names no layers"),
        ([{"op_types": "Conv2d"}], "list of words"),
    ],
)
def test_configurations_that_do_not_fit_are_refused_by_name(entries: Any, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        with_config(lenet().graph, BASE, entries)


def test_a_calibration_has_bits_scales_zero_points_and_ranges_of_each_layer() -> None:
    project = lenet()
    with pytest.raises(QuantizationError):
        calibration_config(project.graph)
    flow.quantize(project, flow.calibrate_randomly(project))
    layers = calibration_config(project.graph)
    assert len(layers) == 5
    first = layers["_conv1_Conv_fusion/_conv1_Conv"]
    assert first["weight_bits"] == first["input_bits"] == first["output_bits"] == 8
    assert len(first["weight_scale"]) == 6 and first["weight_zero_point"] == 0
    assert first["tracked_min_output"] <= 0 < first["tracked_max_output"]
    assert first["output_scale"] * 255 == pytest.approx(
        first["tracked_max_output"] - first["tracked_min_output"], rel=1e-6
    )
