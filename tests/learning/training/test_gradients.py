"""Gradients of each quantizer, by hand, on tensors small enough to follow."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra train")

from nnshell.ir.qparams import QParams  # noqa: E402
from nnshell.ir.requests import Range  # noqa: E402
from nnshell.learning.training.activations import (  # noqa: E402
    ClippedActivations,
    FixedActivations,
    OffsetActivations,
    RangeActivations,
    StepActivations,
)
from nnshell.learning.training.rounding import (  # noqa: E402
    ClippedAt,
    LearnedStep,
    QuantizedGradient,
)
from nnshell.learning.training.weights import (  # noqa: E402
    RangeWeights,
    StepWeights,
    TanhWeights,
)


def record(scale: float, zero: int = 0, bits: int = 4, asymmetric: bool = False) -> QParams:
    return QParams(np.array([scale]), zero, bits=bits, asymmetric=asymmetric)


def leaf(values: list[float] | float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


def test_lsq_has_the_gradients_of_its_paper_inside_and_outside_the_range() -> None:
    x, step = leaf([0.7, -0.3, 5.0, -9.0]), leaf(0.5)
    y = LearnedStep.apply(x, step, torch.zeros(()), (-4, 3), 0.25)
    assert y.tolist() == [0.5, -0.5, 1.5, -2.0]  # 1.4 -> 1, -0.6 -> -1, clipped to 3 and -4
    y.backward(torch.tensor([1.0, 2.0, 3.0, 5.0]))
    assert x.grad.tolist() == [1.0, 2.0, 0.0, 0.0]
    # ds = g * (round(v) - v) inside, the limit outside: -0.4, -0.4, 3, -4
    assert float(step.grad) == pytest.approx(
        0.25 * (1 * -0.4 + 2 * -0.4 + 3 * 3 + 5 * -4), rel=1e-6
    )


def test_lsq_steps_of_channels_get_the_gradients_of_their_channel() -> None:
    x, step = leaf([[0.7, 0.2], [5.0, 0.1]]), leaf([[0.5], [1.0]])
    LearnedStep.apply(x, step, torch.zeros(()), (-4, 3), 1.0).sum().backward()
    assert step.grad.flatten().tolist() == pytest.approx([-0.4 - 0.4, 3 - 0.1], rel=1e-5)


def test_lsq_plus_moves_its_offset_by_what_is_clipped() -> None:
    x, step, offset = leaf([-0.9, 0.1, 3.0]), leaf(0.5), leaf(-0.4)
    y = LearnedStep.apply(x, step, offset, (0, 3), 1.0)
    assert y.tolist() == pytest.approx([-0.4, 0.1, 1.1])
    y.backward(torch.tensor([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [0.0, 10.0, 0.0]
    assert float(offset.grad) == 101.0  # 1 where clipped, 0 inside
    assert float(step.grad) == pytest.approx(0 * 1 + 0.0 * 10 + 3 * 100, abs=1e-4)


def test_the_gradient_scale_is_of_the_elements_of_a_step_and_the_largest_integer() -> None:
    weights = StepWeights(record(0.1), np.ones((3, 2, 5), np.float32))
    assert weights.factor == pytest.approx(1 / math.sqrt(30 * 8))
    channels = QParams(np.float32([0.1, 0.2, 0.3]), axis=0, bits=4, narrow=True)
    assert StepWeights(channels, np.ones((3, 2, 5), np.float32)).factor == pytest.approx(
        1 / math.sqrt(10 * 7)
    )


def test_pact_learns_from_what_is_clipped_above_and_passes_what_is_not() -> None:
    x, alpha = leaf([-1.0, 0.4, 1.4, 2.0, 7.0]), leaf(1.5)
    y = ClippedAt.apply(x, alpha, (0, 3))
    assert y.tolist() == [0.0, 0.5, 1.5, 1.5, 1.5]
    y.backward(torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0]))
    assert x.grad.tolist() == [0.0, 2.0, 4.0, 0.0, 0.0]
    assert float(alpha.grad) == 24.0  # 1 from alpha on


def test_qat_takes_moving_averages_and_passes_gradients_inside() -> None:
    module = RangeActivations(record(0.2, -8, asymmetric=True))  # 0 .. 3
    module.train()
    x = leaf([-1.0, 0.5, 5.0])
    y = module(x)
    low, high = 0.99 * 0 + 0.01 * -1, 0.99 * 3 + 0.01 * 5
    assert module.ends.tolist() == pytest.approx([low, high])
    step = (high - low) / 15
    assert float(module.scale) == pytest.approx(step)
    zero = round(-8 - low / step)
    assert y.tolist() == pytest.approx(
        [0.0, step * math.floor(0.5 / step + 0.5), step * (7 - zero)]
    )
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]
    before = module.ends.tolist()
    module.eval()
    module(torch.tensor([50.0]))
    assert module.ends.tolist() == before


def test_a_range_stays_within_what_a_rectifier_makes() -> None:
    module = RangeActivations(record(0.2, -8, asymmetric=True), Range(0.0, 6.0)).train()
    module(torch.tensor([-100.0, 100.0]))
    assert module.range().minimum == 0.0
    assert module.ends.tolist() == pytest.approx([0.0, 0.99 * 3 + 0.01 * 6])
    step = StepActivations(record(0.2, -8, asymmetric=True), Range(0.0, 6.0))
    with torch.no_grad():
        step.learned.fill_(9.0)
    assert step.range().maximum == pytest.approx(6.0)


def test_qat_weights_have_the_step_of_their_largest() -> None:
    weights = np.float32([[0.1, -0.7], [0.3, 0.2]])
    channels = QParams(np.float32([1, 1]), axis=0, bits=4, narrow=True)
    module, values = RangeWeights(channels, weights), leaf(weights.tolist())
    y = module(values)
    assert module.step(values).flatten().tolist() == pytest.approx([0.1, 0.3 / 7])
    y.sum().backward()
    assert values.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_dorefa_weights_are_on_the_grid_of_its_paper(bits: int) -> None:
    """2 quantize(tanh(w) / 2 max + 1/2) - 1, times the scale that stays."""
    weights = np.float32(np.random.default_rng(0).normal(size=(1, 40)) * 0.1)
    stored = QParams(np.float32([1]), bits=bits + 1, narrow=True)
    module = TanhWeights(stored, weights)
    values = torch.tensor(weights, requires_grad=True)
    y = module(values)
    levels = 2**bits - 1
    share = np.tanh(weights) / (2 * np.abs(np.tanh(weights)).max()) + 0.5
    expected = (2 * np.floor(share * levels + 0.5) / levels - 1) * np.abs(weights).max()
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-6)
    assert len(np.unique(module.integers(values).detach().numpy())) <= 2**bits


def test_dorefa_weights_pass_the_gradient_of_the_tanh_and_its_maximum() -> None:
    weights = np.float32([[0.5, -0.2]])
    module = TanhWeights(QParams(np.float32([1]), bits=5, narrow=True), weights)
    values = leaf(weights.tolist())
    module(values).backward(torch.tensor([[3.0, 7.0]]))
    t0, t1 = math.tanh(0.5), math.tanh(-0.2)
    # real = 0.5 * tanh(v) / tanh(v0), the first being the largest
    of_first = 7 * 0.5 * -t1 / t0**2 * (1 - t0**2)  # 3 * d(t0 / t0) = 0
    of_second = 7 * 0.5 / t0 * (1 - t1**2)
    assert values.grad.flatten().tolist() == pytest.approx([of_first, of_second], rel=1e-5)


def test_dorefa_starts_at_the_weights_there_are() -> None:
    weights = np.float32(np.random.default_rng(1).normal(size=(4, 9)))
    module = TanhWeights(QParams(np.ones(4, np.float32), axis=0, bits=5, narrow=True), weights)
    real = module.real(module.start(torch.tensor(weights)))
    np.testing.assert_allclose(real.numpy(), weights, atol=1e-5)


def test_dorefa_activations_are_clipped_to_their_range() -> None:
    x = leaf([-0.5, 0.4, 9.0])
    y = FixedActivations(record(0.2, -8))(x)
    assert y.tolist() == pytest.approx([0.0, 0.4, 3.0])
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


def test_quantized_gradients_are_on_their_grid_and_right_on_average() -> None:
    torch.manual_seed(0)
    gradient = torch.tensor([[0.3, -0.8, 1.0]]).repeat(4000, 1)
    x = torch.zeros(4000, 3, requires_grad=True)
    QuantizedGradient.apply(x, 2).backward(gradient)
    assert sorted(set(np.round(x.grad.flatten().tolist(), 5))) == pytest.approx(
        [-1, -1 / 3, 1 / 3, 1], abs=1e-5
    )
    assert x.grad.mean(dim=0).tolist()[0] == pytest.approx(0.3, abs=0.03)


def test_lsq_plus_rounds_its_offset_to_a_zero_point() -> None:
    module = OffsetActivations(record(0.25, -3, asymmetric=True))
    with torch.no_grad():
        module.offset.fill_(-0.9)  # -3.6 steps: 4 integers below zero
    module(torch.tensor([0.0]))
    assert int(module.zero) == -4
    assert module.range().minimum == pytest.approx(-4 * 0.25)


def test_the_range_of_each_quantizer_gives_its_own_record() -> None:
    from nnshell.numeric.records import asymmetric_record, symmetric_record

    for kind in (StepActivations, OffsetActivations, RangeActivations, ClippedActivations):
        for before, make in (
            (record(0.25, -3, asymmetric=True), asymmetric_record),
            (record(0.25), symmetric_record),
        ):
            again = make(kind(before).range(), bits=4)
            assert again.first_scale == pytest.approx(0.25)
            assert again.zero_point == before.zero_point


def test_brevitas_agrees_where_it_is_installed() -> None:
    core = pytest.importorskip("brevitas.core.quant", reason="Brevitas is not installed")
    assert core is not None
    from brevitas.core.function_wrapper import RoundSte

    x = leaf([0.7, -0.3, 5.0])
    scaled = RoundSte()(torch.clamp(x / 0.5, -4, 3)) * 0.5
    mine = LearnedStep.apply(x, torch.tensor(0.5), torch.zeros(()), (-4, 3), 1.0)
    assert mine.tolist() == scaled.tolist()
