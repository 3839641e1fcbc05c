"""What was learned, in JSON and in state files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnshell import flow
from nnshell.ir.requests import ChosenFilter, Range
from nnshell.learning.adaround import learn_rounding
from nnshell.quantization import Learned, QuantizationOptions
from nnshell.session.improve import apply_learned, equalize
from nnshell.support.errors import QuantizationError


@pytest.mark.parametrize("bits", range(2, 9))
def test_integers_survive_json_at_every_width(bits: int) -> None:
    half = 1 << (bits - 1)
    values = np.random.default_rng(bits).integers(-half, half, (3, 5, 7)).astype(np.int8)
    entry = ChosenFilter(bits, np.float32([0.1, 1e-7, 3]), values, np.float32([1, -2, 0]))
    learned = Learned({"f/conv": entry}, {"relu": Range(0.0, 1.2345)})
    back = Learned.from_json(json.loads(json.dumps(learned.to_json())))
    found = back.filter_of("conv", bits)
    assert found is not None and found.integers is not None and found.scale is not None
    assert np.array_equal(found.integers, values)
    assert np.array_equal(found.scale, entry.scale)  # type: ignore[arg-type]
    assert back.range_of("other/relu") == Range(0.0, 1.2345)
    assert back.filter_of("conv", bits + 1) is None


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"bits": 9},
        {"bits": 4, "integers": "AAAA", "shape": [1], "scale": [1.0]},
        {"bits": 4, "integers": ["AAAA"], "shape": [1 << 30, 1 << 30], "scale": [1.0]},
        {"bits": 4, "integers": ["not base64!"], "shape": [2], "scale": [1.0]},
        {"bits": 4, "integers": ["AA=="], "shape": [2], "scale": [-1.0]},
        {"bits": 4, "integers": ["AA=="], "shape": [2], "scale": ["x"]},
        {"bits": 4, "bias": [1e300]},
    ],
)
def test_damaged_values_are_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(QuantizationError, match="learn them again"):
        Learned.from_json({"filters": {"conv": entry}})


def test_values_of_another_shape_are_refused(tmp_path: Path) -> None:
    project = flow.open_graph("sample:lenet")
    flow.quantize(project, flow.calibrate_randomly(project))
    wrong = ChosenFilter(8, np.ones(1, np.float32), np.ones((2, 2), np.int8))
    with pytest.raises(QuantizationError, match="does not fit"):
        apply_learned(project, "adaround", Learned({"_conv1_Conv": wrong}))
    assert project.learned is None


def test_a_state_file_restores_what_was_learned_without_images(tmp_path: Path) -> None:
    project = flow.open_graph("sample:lenet")
    flow.adjust(project)
    flow.fuse(project, "scale8")
    images = flow.load_inputs("sample:calibration", norm="x: x/128-1", limit=16)
    equalize(project)
    flow.quantize(project, flow.calibrate(project, images), QuantizationOptions(weight_bits=4))
    batches = flow.batches_of(project, images)
    equalize(project, batches)
    apply_learned(project, "adaround", learn_rounding(project.graph, project.basis, batches))
    path = flow.save_state(project, tmp_path / "lenet.json")
    back = flow.open_graph(path)
    for node in project:
        assert node.quantization is not None
        kept = back[node.name].quantization
        assert kept is not None
        for one, other in zip(node.quantization.outputs, kept.outputs, strict=True):
            assert one.same_record(other)
        if node.kind == "constant":
            assert np.array_equal(node.quantization.kernel.values, kept.kernel.values)
