"""Experiments on the sample network: sensitivity and mixed precision."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell import flow
from nnshell.experiments.bench import Bench
from nnshell.experiments.mixed import mixed
from nnshell.experiments.sensitivity import advise, sensitivity
from nnshell.experiments.steps import weight_bytes
from nnshell.inputs.input_set import Batch
from nnshell.learning.bias_correction import corrected_by_means
from nnshell.quantization import QuantizationOptions
from nnshell.quantization.ranges.calibration import calibrate_graph
from nnshell.session.improve import apply_learned
from nnshell.session.project import Project
from nnshell.support.errors import UsageError


@pytest.fixture
def lenet() -> Project:
    project = flow.open_graph("sample:lenet")
    flow.adjust(project)
    flow.fuse(project, "scale8")
    x = pictures(32)
    seen = calibrate_graph(project.graph, [x.arrays], clip_type="mse")
    flow.quantize(project, seen, QuantizationOptions(clip_type="mse", act_bits=4, weight_bits=4))
    return project


def pictures(count: int) -> Batch:
    blocks = np.random.default_rng(0).uniform(size=(count, 3, 8, 8)).astype(np.float32)
    x = np.kron(blocks, np.ones((1, 1, 4, 4), np.float32))
    return Batch((x,), tuple(map(str, range(count))), (None,) * count)


def test_each_node_alone_does_less_harm_than_all_together(lenet: Project) -> None:
    found = sensitivity(lenet.graph, lenet.basis, [pictures(32)])
    assert len(found) == 5
    noise = [entry.alone.noise for entry in found]
    assert noise == sorted(noise, reverse=True)
    assert all(entry.alone.noise > 0 for entry in found)
    assert lenet.quantization_options is not None
    assert not lenet.quantization_options.nodes  # the graph is as it was


def test_a_mixture_fits_the_size_and_beats_uniform_bits_of_that_size(lenet: Project) -> None:
    uniform = QuantizationOptions(clip_type="mse", act_bits=32, weight_bits=4)
    flow.quantize(lenet, lenet.statistics, uniform)  # type: ignore[arg-type]
    size = weight_bytes(lenet.graph, uniform)
    batches = [pictures(32)]
    found = mixed(lenet.graph, lenet.basis, batches, size_bytes=size)
    assert found.size_bytes <= size
    assert len(set(found.bits.values())) > 1
    assert found.outcome.noise < Bench(lenet.graph, lenet.basis, batches).try_options(uniform).noise


def test_a_mixture_needs_one_limit(lenet: Project) -> None:
    for limits in ({}, {"drop": 1.0, "size_bytes": 10}):
        with pytest.raises(UsageError, match="--size"):
            mixed(lenet.graph, lenet.basis, [pictures(2)], **limits)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the least is"):
        mixed(lenet.graph, lenet.basis, [pictures(2)], size_bytes=10)


def test_corrected_biases_bring_the_output_closer_to_the_float_one(lenet: Project) -> None:
    options = QuantizationOptions(clip_type="mse", act_bits=4, weight_bits=3)
    flow.quantize(lenet, lenet.statistics, options)  # type: ignore[arg-type]
    batches = [pictures(32)]
    bench = Bench(lenet.graph, lenet.basis, batches)
    before = bench.try_options(options).noise
    apply_learned(lenet, "bcorr", corrected_by_means(lenet.graph, lenet.basis, batches))
    assert lenet.quantized
    assert bench.try_basis(lenet.basis).noise < before
    assert lenet.recipe[-1].command == "bcorr"


def test_advice_for_the_worst_nodes_takes_noise_from_the_output(lenet: Project) -> None:
    found = sensitivity(lenet.graph, lenet.basis, [pictures(32)])
    advice = advise(lenet.graph, lenet.basis, [pictures(32)], found)
    assert advice and {entry.node for entry in advice} <= {entry.node for entry in found[:3]}
    options = lenet.quantization_options or QuantizationOptions()
    for entry in advice:
        tuned = options.with_node(entry.node, entry.change)
        bench = Bench(lenet.graph, lenet.basis, [pictures(32)])
        assert bench.try_options(tuned).noise == pytest.approx(entry.after.noise)
        assert entry.after.noise < entry.before.noise
