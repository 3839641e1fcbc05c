"""Comparing integers with floats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from nnshell.execution.metrics import Accumulator, compare_arrays, compare_engines
from nnshell.ir.graph import Graph
from nnshell.ops.add import Add
from nnshell.ops.relu import Relu
from nnshell.support.errors import InputError

from .nets import Net, conv_op, quantized, ranges, samples

VALUES = arrays(np.float64, 12, elements=st.floats(-100, 100))


@dataclass
class Batch:
    arrays: tuple[NDArray[Any], ...]


def net() -> Graph:
    built = Net(2, 6, 6)
    y = built.fused(built.x, ("conv", conv_op()), ("relu", Relu()))
    graph = built.output(built.linear("fc", y))
    quantized(graph, ranges(input_1=(-6, 6), conv_fusion__relu=(0, 5), fc=(-6, 6)))
    return graph


def test_equal_arrays_are_infinitely_good() -> None:
    found = compare_arrays(np.arange(5.0), np.arange(5.0))
    assert math.isinf(found.qsnr_db)
    assert found.cosine == pytest.approx(1.0)
    assert (found.max_error, found.tolerance) == (0.0, 0.0)


def test_a_tenth_of_the_signal_as_noise_is_twenty_db() -> None:
    real = np.array([3.0, -4.0])
    found = compare_arrays(real, 1.1 * real)
    assert found.qsnr_db == pytest.approx(20.0)
    assert found.cosine == pytest.approx(1.0)
    assert found.max_error == pytest.approx(0.4)
    assert found.mean_error == pytest.approx(0.35)
    assert found.tolerance == pytest.approx(0.1)


def test_arrays_of_nothing_but_zero_compare() -> None:
    found = compare_arrays(np.zeros(3), np.zeros(3))
    assert (found.cosine, math.isinf(found.qsnr_db)) == (1.0, True)
    assert compare_arrays(np.zeros(3), np.ones(3)).qsnr_db == -math.inf


def test_sizes_must_agree() -> None:
    with pytest.raises(InputError, match="3 values are compared with 4"):
        compare_arrays(np.zeros(3), np.zeros(4))


@given(VALUES, VALUES, st.integers(1, 11))
def test_batches_add_up(real: np.ndarray, other: np.ndarray, cut: int) -> None:
    whole, parts = Accumulator(), Accumulator()
    whole.add(real, other)
    parts.add(real[:cut], other[:cut])
    parts.add(real[cut:], other[cut:])
    assert parts.qsnr_db == pytest.approx(whole.qsnr_db)
    assert parts.cosine == pytest.approx(whole.cosine)
    assert parts.max_error == whole.max_error


def test_tensors_come_worst_first_with_steps_and_inner_nodes() -> None:
    graph = net()
    (x,) = samples(graph, 6)
    found = compare_engines(graph, [Batch((x[:4],)), Batch((x[4:],))])
    assert [entry.qsnr_db for entry in found] == sorted(entry.qsnr_db for entry in found)
    labels = {entry.key: entry.label for entry in found}
    step = graph.step_numbers()["conv_fusion"]
    assert labels["conv_fusion"] == f"{step}"
    assert labels["conv_fusion/conv"] == f"{step}_0"
    assert labels["conv_fusion/relu"] == f"{step}_1"
    assert all(entry.elements == 6 * 72 for entry in found if entry.key.startswith("conv_fusion"))


def test_a_filter_before_a_relu_is_marked_as_clipped() -> None:
    graph = net()
    found = {e.key: e for e in compare_engines(graph, [Batch((samples(graph)[0],))])}
    assert found["conv_fusion/conv"].clipped
    assert not found["conv_fusion/relu"].clipped
    assert found["conv_fusion/conv"].qsnr_db < found["conv_fusion/relu"].qsnr_db
    assert found["conv_fusion/relu"].qsnr_db > 25


def test_a_filter_outside_a_fusion_is_marked_too_unless_others_read_it() -> None:
    built = Net(2, 6, 6)
    z = built.conv("second", built.node("relu", Relu(), built.conv("first", built.x)))
    graph = built.output(built.node("sum", Add(), z, built.node("relu2", Relu(), z)))
    names = ("first", "relu", "second", "relu2", "sum")
    quantized(graph, ranges(input_1=(-6, 6), **dict.fromkeys(names, (-5, 5))))
    found = compare_engines(graph, [Batch((samples(graph)[0],))])
    assert {entry.key for entry in found if entry.clipped} == {"first"}


def test_inner_nodes_can_be_left_out() -> None:
    graph = net()
    found = compare_engines(graph, [Batch((samples(graph)[0],))], inner=False)
    assert {entry.key for entry in found} == {"input_1", "conv_fusion", "fc"}


def test_no_samples_are_refused() -> None:
    with pytest.raises(InputError, match="no samples"):
        compare_engines(net(), [])


def test_measures_are_those_of_numpy_on_arrays_of_different_size() -> None:
    random = np.random.default_rng(8)
    real = random.normal(size=300)
    approximate = 3 * real + random.normal(size=300)
    found = compare_arrays(real, approximate)
    norms = np.linalg.norm(real) * np.linalg.norm(approximate)
    assert found.cosine == pytest.approx(real @ approximate / norms)
    noise = np.square(real - approximate).sum()
    assert found.qsnr_db == pytest.approx(10 * np.log10(np.square(real).sum() / noise))
    assert found.mean_error == pytest.approx(np.abs(real - approximate).mean())
    assert found.max_error == pytest.approx(np.abs(real - approximate).max())
