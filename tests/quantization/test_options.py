"""Quantization options: NNTool's names, what is refused and why, single nodes."""

from __future__ import annotations

import json

import pytest

from nnshell.quantization import QuantizationOptions
from nnshell.support.errors import UsageError


def test_nntool_keys_are_taken() -> None:
    options = QuantizationOptions.from_mapping(
        {"scheme": "scaled", "quantized_dimension": "tensor", "narrow_weights": False, "sq_bits": 8}
    )
    assert options.scheme == "SQ8"
    assert not options.kernel.per_channel
    assert not options.kernel.narrow_weights


def test_options_survive_json() -> None:
    options = QuantizationOptions(clip_type="std3", nodes={"conv*": {"clip_type": "none"}})
    again = QuantizationOptions.from_mapping(json.loads(json.dumps(options.to_mapping())))
    assert again == options


@pytest.mark.parametrize("scheme", ["FLOAT", "float", "SQ4", 7])
def test_other_schemes_are_refused_with_what_to_type(scheme: object) -> None:
    with pytest.raises(UsageError, match="SQ8"):
        QuantizationOptions.from_mapping({"scheme": scheme})


@pytest.mark.parametrize(
    ("key", "value"),
    [("use_ne16", True), ("force_input_size", 16), ("hwc", True), ("float_type", "bfloat16")],
)
def test_options_of_other_chips_are_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{key}=.*is not possible"):
        QuantizationOptions.from_mapping({key: value})


@pytest.mark.parametrize(("key", "value"), [("use_ne16", False), ("weight_bits", 8)])
def test_values_that_change_nothing_are_accepted(key: str, value: object) -> None:
    assert QuantizationOptions.from_mapping({key: value}) == QuantizationOptions()


def test_a_mistyped_key_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="narrow_weights"):
        QuantizationOptions.from_mapping({"narow_weights": True})


@pytest.mark.parametrize(
    "values",
    [
        {"clip_type": "p99"},
        {"narrow_weights": 1},
        {"sq_bits": 4},
        {"weight_bits": 1},
        {"act_bits": True},
        {"nodes": [1]},
    ],
)
def test_values_of_the_wrong_kind_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        QuantizationOptions.from_mapping(values)


def test_single_nodes_are_chosen_by_name_or_pattern() -> None:
    options = QuantizationOptions().with_node("conv*", {"clip_type": "std3"})
    options = options.with_node("conv2", {"clip_type": "std5"})
    assert options.for_node("conv1_fusion/conv1").clip_type == "std3"
    assert options.for_node("fc").clip_type == "none"
    assert options.for_node("conv2").clip_type == "std5"


def test_options_of_a_node_are_checked_as_well() -> None:
    with pytest.raises(UsageError, match="use_ne16"):
        QuantizationOptions().with_node("conv1", {"use_ne16": True})
    with pytest.raises(UsageError, match="options of conv1"):
        QuantizationOptions(nodes={"conv1": {"nothing": 1}})
