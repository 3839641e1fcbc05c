"""Preprocessed images against what NNTool quantized, and real data sets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from nnshell.inputs.input_set import open_inputs
from nnshell.inputs.layout import InputSpec
from nnshell.inputs.options import InputOptions


def vector_sets(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("vectors/*/script.nns"))


def test_inputs_quantize_to_nntools_integers(test_data: Path) -> None:
    compared = 0
    for folder in vector_sets(test_data):
        norm = re.search(r'set input_norm_func "(.*)"', (folder / "script.nns").read_text())
        record = json.loads((folder / "qrecs.json").read_text())["input_1"]["out_qs"][0]
        acts = [np.load(path) for path in sorted(folder.glob("acts_*.npz"))]
        spec = InputSpec("input_1", acts[0]["q__input_1"].shape)
        options = InputOptions(norm_func=norm and norm[1], transpose=True)
        inputs = open_inputs(str(folder / "test" / "*"), [spec], options)
        values = np.concatenate([batch.arrays[0] for batch in inputs.batches(3)])
        scaled = np.floor(values / record["scale"][0] + 0.5) + record["zero_point"][0]
        for image, act in zip(np.clip(scaled, -128, 127), acts, strict=True):
            np.testing.assert_array_equal(image, act["q__input_1"])
            compared += 1
    assert compared


@pytest.mark.parametrize(
    ("name", "shape", "count", "classes"),
    [
        ("cifar10_test.npz", (3, 32, 32), 10_000, 10),
        ("t10k-images-idx3-ubyte.gz", (1, 28, 28), 10_000, 10),
        ("mlperf_kws01_1000_mfcc_int8.npz", (49, 10, 1), 1000, 12),
    ],
)
def test_real_data_sets_open_with_labels(
    test_data: Path, name: str, shape: tuple[int, ...], count: int, classes: int
) -> None:
    inputs = open_inputs(str(test_data / "data" / name), [InputSpec("input_1", shape)])
    assert len(inputs) == count
    assert set(inputs.labels) == set(range(classes))
    assert inputs[count - 1].arrays[0].shape == (1, *shape)
