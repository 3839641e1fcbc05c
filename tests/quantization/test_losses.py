"""Losses are said where they arise, and gone with what it says; healthy networks have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnshell
from nnshell.quantization.losses import Loss, loss_lines
from nnshell.session.project import Project

from .healthy import Array, Writer, write


def quantized(folder: Path, model: onnx.ModelProto, samples: Array) -> Project:
    onnx.save(model, folder / "m.onnx")
    project = nnshell.open_graph(folder / "m.onnx")
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    nnshell.quantize(project, nnshell.calibrate(project, samples))
    return project


def of_kind(project: Project, kind: str) -> list[Loss]:
    return [loss for loss in nnshell.losses(project) if loss.kind == kind]


def noise_db(project: Project, samples: Array) -> float:
    """QSNR of the graph's last computed tensor."""
    compared = nnshell.compare(project, samples, inner=False)
    return max(compared, key=lambda entry: entry.step).qsnr_db


def pulled(project: Project, loss: Loss) -> None:
    """What the first lever says to type."""
    words = loss.levers[0].typed([loss.step]).split()
    assert words[:2] == ["qtune", "--step"] and loss.levers[0].typed([loss.step]) in loss.hint
    nnshell.tune(project, {words[2]: loss.levers[0].mapping()})


@pytest.mark.parametrize("number", range(14))
def test_healthy_networks_lose_nothing(tmp_path: Path, number: int) -> None:
    path, samples = write(tmp_path, number)
    project = nnshell.open_graph(path)
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    nnshell.quantize(project, nnshell.calibrate(project, samples))
    assert nnshell.losses(project) == []


def with_dead(exponent: float, channel: int, bias: float, relu: bool) -> tuple[Writer, str]:
    """A convolution of which a channel has weights of 10^exponent."""
    w = Writer((3, 8, 8), 1)
    y = w.conv("x", 3, 4)
    weights, biases = (onnx.numpy_helper.to_array(c).copy() for c in w.constants)
    weights[channel] *= 10.0**exponent
    biases[:] = (0.3, -0.2, 0.1, 0.4)
    biases[channel] = bias
    w.constants = [
        onnx.numpy_helper.from_array(v, c.name)
        for v, c in zip((weights, biases), w.constants, strict=True)
    ]
    y = w.node("Relu", [y]) if relu else y
    return w, w.conv(y, 4, 4, kernel=1)  # reads any zero point


@settings(max_examples=8, deadline=None)
@given(st.floats(-7, -5.5), st.integers(0, 3), st.sampled_from((-2e-5, 1.0, 2.5)))
def test_dead_channels_are_named_and_fitted_scales_bring_them_back(
    tmp_path_factory: pytest.TempPathFactory, exponent: float, channel: int, bias: float
) -> None:
    w, y = with_dead(exponent, channel, bias, relu=True)
    samples = w.samples()
    project = quantized(tmp_path_factory.mktemp("dead"), w.model(y, (4, 8, 8)), samples)
    before = noise_db(project, samples)
    losses = [e for e in nnshell.losses(project) if e.kind in ("bias_part", "multiplier_bits")]
    if not losses:  # where the bias alone is beyond int32 it erases weights, which costs nothing
        assert before > 30
        return
    assert len(losses) == 1 and losses[0].channels == (channel,)
    pulled(project, losses[0])
    assert nnshell.losses(project) == []
    assert noise_db(project, samples) > max(before, 30)


@pytest.mark.parametrize("relu", [False, True])
def test_every_lever_that_a_line_names_makes_the_line_go_away(tmp_path: Path, relu: bool) -> None:
    w, y = with_dead(-6, 2, -2e-5, relu)
    for index in range(2):
        project = quantized(tmp_path, w.model(y, (4, 8, 8)), w.samples())
        for loss in nnshell.losses(project):
            levers = loss.levers
            if index < len(levers):
                nnshell.tune(project, {loss.step: levers[index].mapping()})
                assert nnshell.losses(project) == []


def test_a_layer_of_many_products_has_few_bits_and_fitted_scales_are_exact(tmp_path: Path) -> None:
    w = Writer((20000,), 2)
    model = w.model(w.dense("x", 20000, 6), 6)
    samples = w.samples()
    project = quantized(tmp_path, model, samples)
    (loss,) = of_kind(project, "multiplier_bits")
    before = noise_db(project, samples)
    pulled(project, loss)
    assert not of_kind(project, "multiplier_bits")
    assert noise_db(project, samples) > before + 3


def test_padding_that_wins_a_max_pool_is_said_and_becomes_a_border(tmp_path: Path) -> None:
    w = Writer((2, 8, 8), 0)
    pool = w.node("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    samples = w.samples() - 2
    project = quantized(tmp_path, w.model(pool, (2, 4, 4)), samples)
    (loss,) = of_kind(project, "pool_padding")
    assert "`fusions -a expand_pool_padding`" in loss.hint and noise_db(project, samples) < 20
    nnshell.fuse(project, "expand_pool_padding")
    nnshell.quantize(project, nnshell.calibrate(project, samples))
    assert nnshell.losses(project) == [] and noise_db(project, samples) > 35


def test_padding_before_a_relu_wins_nothing(tmp_path: Path) -> None:
    w = Writer((2, 8, 8), 0)
    y = w.conv("x", 2, 4)
    pool = w.node("MaxPool", [y], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    project = quantized(tmp_path, w.model(w.node("Relu", [pool]), (4, 4, 4)), w.samples())
    assert nnshell.losses(project) == []


@pytest.mark.parametrize(("reach", "count"), [(0.05, 1), (0.25, 1), (2.0, 0)])
def test_a_table_read_at_few_steps_is_said(tmp_path: Path, reach: float, count: int) -> None:
    w = Writer((2, 8, 8), 0)
    samples = w.samples() * np.float32(reach)
    project = quantized(tmp_path, w.model(w.node("Tanh", ["x"]), (2, 8, 8)), samples)
    losses = of_kind(project, "table_steps")
    assert len(losses) == count and all("0.063" in loss.text for loss in losses)


def test_depthwise_weights_that_make_up_for_small_channels_are_said_and_equalized(
    tmp_path: Path,
) -> None:
    w = Writer((3, 8, 8), 0)
    y = w.node("Relu", [w.conv("x", 3, 6, kernel=1)])
    z = w.conv(y, 6, 6, groups=6)
    values = [onnx.numpy_helper.to_array(c).copy() for c in w.constants]
    values[0][1] /= 500
    values[1][1] /= 500
    values[2][1] *= 500
    names = [c.name for c in w.constants]
    w.constants = [onnx.numpy_helper.from_array(v, n) for v, n in zip(values, names, strict=True)]
    samples = w.samples()
    project = quantized(tmp_path, w.model(z, (6, 8, 8)), samples)
    (loss,) = of_kind(project, "channel_spread")
    assert loss.channels == (1,) and "`weight_equalization INPUTS`" in loss.hint
    before = noise_db(project, samples)
    nnshell.equalize(project, samples)
    assert nnshell.losses(project) == [] and noise_db(project, samples) > before + 6


def test_outputs_of_different_ranges_that_are_joined_are_said(tmp_path: Path) -> None:
    w = Writer((3, 8, 8), 0)
    boxes = w.node("Mul", [w.conv("x", 3, 4), w.constant(np.float32(100))])
    scores = w.node("Sigmoid", [w.conv("x", 3, 2)])
    joined = w.node("Concat", [boxes, scores], axis=1)
    project = quantized(tmp_path, w.model(joined, (6, 8, 8)), w.samples())
    (loss,) = of_kind(project, "joined_ranges")
    assert loss.effect > 1 / 16


@pytest.mark.parametrize(("count", "said"), [(1, 1), (7, 1), (8, 0)])
def test_few_samples_are_said(tmp_path: Path, count: int, said: int) -> None:
    path, samples = write(tmp_path, 4)
    project = nnshell.open_graph(path)
    nnshell.quantize(project, nnshell.calibrate(project, samples[:count]))
    assert len(of_kind(project, "few_samples")) == said
    nnshell.quantize(project, nnshell.calibrate_randomly(project))
    assert not of_kind(project, "few_samples")


def test_many_nodes_with_one_kind_of_loss_take_one_line() -> None:
    losses = [Loss("cut_off", f"node{n}", n / 10, "share", f"{n}0 %") for n in range(1, 10)]
    (line,) = loss_lines(losses)
    assert line.startswith("node9: 90 %") and "8 more: node8, node7" in line


def test_a_loss_is_data(tmp_path: Path) -> None:
    w, y = with_dead(-6, 2, -2e-5, relu=True)
    project = quantized(tmp_path, w.model(y, (4, 8, 8)), w.samples())
    (values,) = [loss.to_json() for loss in nnshell.losses(project)]
    assert values["kind"] == "bias_part" and values["channels"] == [2]
    assert values["effect"] >= 2 and "fit_scales=true" in str(values["hint"])


@pytest.mark.parametrize(("factor", "said"), [(1.0, 0), (3.0, 1)])
def test_inputs_outside_the_calibrated_range_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, factor: float, said: int
) -> None:
    path, samples = write(tmp_path, 4)
    project = nnshell.open_graph(path)
    nnshell.quantize(project, nnshell.calibrate(project, samples))
    nnshell.validate(project, samples * np.float32(factor), "int8")
    assert sum("outside the range that was calibrated" in r.message for r in caplog.records) == said
