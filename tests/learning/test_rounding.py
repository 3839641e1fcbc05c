"""Rounding that makes up for its errors, layer by layer and as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnshell import flow
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.experiments.bench import Bench
from nnshell.ir.flat import flatten
from nnshell.learning import adaround
from nnshell.learning.adaround import learn_rounding
from nnshell.learning.blocks import blocks_of
from nnshell.learning.layers import search_scales
from nnshell.learning.ranges import searched_ranges
from nnshell.learning.rounding import compensated, moments, nearest, output_error, settled
from nnshell.learning.rows import by_group, filter_constants, rows_of
from nnshell.learning.trial import Trial
from nnshell.quantization import QuantizationOptions
from nnshell.quantization.ranges.calibration import calibrate_graph
from nnshell.session.edits import tune
from nnshell.session.improve import apply_if_better, apply_learned
from nnshell.session.project import Project
from nnshell.session.recipe import undo
from nnshell.support.errors import QuantizationError, UsageError
from tests.learning.nets import pictures, quantized, residual

LIMITS = (-7, 7)


def noise(project: Project) -> float:
    """On pictures that nothing was learned from."""
    bench = Bench(project.graph, project.basis, [pictures(64, seed=9)])
    return bench.try_options(bench.options).noise


def test_rounding_errors_are_made_up_for_by_correlated_taps() -> None:
    random = np.random.default_rng(0)
    read = random.normal(size=(500, 6)) @ random.normal(size=(6, 12))
    weights = random.normal(size=(5, 12))
    of = moments(read, read @ weights.T, weights)
    scale = np.abs(weights).max(axis=1) / 7
    plain = scale[:, np.newaxis] * nearest(of.weights, scale, LIMITS)
    better = scale[:, np.newaxis] * compensated(of, scale, LIMITS)
    assert output_error(of, better).sum() < 0.5 * output_error(of, plain).sum()
    last, integers = settled(of, scale, better / scale[:, np.newaxis], LIMITS, False)
    assert np.array_equal(integers, np.round(integers))
    assert np.abs(integers).max() <= 7
    assert (output_error(of, last[:, np.newaxis] * integers) <= output_error(of, better)).all()


def test_independent_taps_are_rounded_to_the_nearest() -> None:
    weights = np.random.default_rng(0).normal(size=(3, 4))
    read = np.vstack([np.eye(4), -np.eye(4)])
    of = moments(read, read @ weights.T, weights)
    scale = np.full(3, 0.3)
    assert np.array_equal(compensated(of, scale, LIMITS), nearest(weights, scale, LIMITS))


def test_rows_times_weights_are_what_a_filter_makes() -> None:
    project = quantized(residual())
    trial, batch = Trial(project.graph, project.basis, [pictures(3)]), pictures(3)
    for name in ("first", "second"):
        item = trial.flat.by_path[name]
        weights, bias = filter_constants(trial.flat, item)
        made = trial.tensors("float", [item.inputs[0], item.outputs[0]])
        rows = rows_of(item, made[item.inputs[0]])
        found = rows @ by_group(item, weights).transpose(0, 2, 1)
        wanted = (made[item.outputs[0]][0] - bias.reshape(-1, 1, 1)).reshape(len(batch), 4, -1)
        assert np.isclose(np.sort(found, axis=None), np.sort(wanted, axis=None), atol=1e-4).all()


def test_a_residual_branch_is_one_block() -> None:
    blocks = blocks_of(flatten(quantized(residual()).graph))
    found = [[item.path for item in block.filters] for block in blocks]
    assert found == [["stem"], ["first", "second"], ["head"]]
    assert blocks[1].output.path == "total_relu"


def test_learned_rounding_leaves_less_noise_on_other_pictures() -> None:
    project = quantized(residual(), 3)
    before = noise(project)
    apply_learned(project, "adaround", learn_rounding(project.graph, project.basis, [pictures(64)]))
    assert noise(project) < before
    undo(project)
    assert noise(project) == before


def test_blocks_are_learned_by_gradients() -> None:
    pytest.importorskip("torch", reason="the extra nnshell[train] is not installed")
    project, batches = quantized(residual(), 3), [pictures(16)]
    bench = Bench(project.graph, project.basis, batches)
    before = bench.try_options(bench.options).noise
    found = learn_rounding(project.graph, project.basis, batches, "brecq", iterations=20)
    assert set(found.filters) == {"stem", "first", "second", "head"}
    assert "total_relu" in found.ranges
    apply_learned(project, "adaround", found)
    assert bench.try_basis(project.basis).noise < before


def test_all_layers_are_learned_together() -> None:
    pytest.importorskip("torch", reason="the extra nnshell[train] is not installed")
    project, calls = quantized(residual(), 3), list[int]()
    before, integers = noise(project), _weights(project)
    done = calls.append
    found = learn_rounding(
        project.graph, project.basis, [pictures(64)], "network", iterations=30, progress=done
    )
    assert (
        calls
        == [1] * 30
        == [1] * adaround.parts(project.graph, project.basis, [pictures(64)], "network", 30)
    )
    apply_learned(project, "adaround", found)
    assert noise(project) < before
    moved = np.abs(_weights(project) - integers)
    assert 0 < moved.max() <= 2  # a step of the real weight, and its rounding


def _weights(project: Project) -> np.ndarray[Any, Any]:
    """Integers of all filters."""
    kernels = [
        item.node.quantization.kernel
        for item in Trial(project.graph, project.basis, None).filters()
    ]  # type: ignore[union-attr]
    return np.concatenate([kernel.weights.reshape(-1).astype(int) for kernel in kernels])


def test_an_end_that_is_always_zero_teaches_nothing() -> None:
    torch = pytest.importorskip("torch", reason="the extra nnshell[train] is not installed")
    from nnshell.learning.network import relative_error

    made = [torch.ones(2), torch.tensor([1.0, 3.0])]
    error = relative_error(made, [torch.zeros(2), torch.tensor([0.0, 2.0])], [5.0, 1.0])
    assert error.item() == 0.5


def test_what_reads_float_weights_is_learned_without_them() -> None:
    pytest.importorskip("torch", reason="the extra nnshell[train] is not installed")
    project = quantized(residual(), 4)
    tune(project, {"*": {"weight_bits": 32}})
    found = learn_rounding(project.graph, project.basis, [pictures(32)], "network", iterations=3)
    assert not found.filters
    assert found.ranges


def test_searched_scales_and_ranges_leave_less_noise_than_extremes() -> None:
    project = Project(residual())
    seen = calibrate_graph(project.graph, [pictures(32).arrays])
    flow.quantize(project, seen, QuantizationOptions(weight_bits=3, act_bits=3, weight_clip="none"))
    before = noise(project)
    batches = [pictures(32)]
    found = search_scales(project.graph, project.basis, batches).updated(
        searched_ranges(project.graph, project.basis, batches)
    )
    assert apply_if_better(project, "scale_search", [found], batches).applied
    assert noise(project) < 0.8 * before


def test_what_does_not_help_is_left_out() -> None:
    project = quantized(residual())
    batches = [pictures(64)]
    apply_learned(project, "adaround", learn_rounding(project.graph, project.basis, batches))
    steps = len(project.recipe)
    again = search_scales(project.graph, project.basis, batches)  # back to the nearest integers
    assert not apply_if_better(project, "scale_search", [again], batches).applied
    assert len(project.recipe) == steps


def test_learned_integers_run_in_all_engines_alike() -> None:
    project = quantized(residual(), 8)
    apply_learned(project, "adaround", learn_rounding(project.graph, project.basis, [pictures(64)]))
    x = pictures(32, seed=3).arrays
    fast, slow = (
        engine(project.graph).run(x)["output_1"] for engine in (FastEngine, IntegerEngine)
    )
    assert np.array_equal(fast, slow)
    record = project["output_1"].quantization.output  # type: ignore[union-attr]
    simulated = flow.make_engine(project.graph, "simulated").run(x)["output_1"]
    assert np.abs(record.dequantize(fast) - simulated).max() <= 1.01 * record.first_scale


def test_weights_of_other_bits_forget_what_was_learned() -> None:
    project = quantized(residual())
    apply_learned(project, "adaround", learn_rounding(project.graph, project.basis, [pictures(32)]))
    learned = project["first"].quantization.kernel.weights  # type: ignore[union-attr]
    tune(project, {"first": {"weight_bits": 5}})
    assert project["first"].quantization.input.bits == 4  # type: ignore[union-attr]
    assert np.abs(project["first"].quantization.kernel.weights).max() > 7  # type: ignore[union-attr]
    tune(project, {"first": {"weight_bits": 4}})
    assert np.array_equal(project["first"].quantization.kernel.weights, learned)  # type: ignore[union-attr]


def test_a_new_quantization_forgets_everything_learned() -> None:
    project = quantized(residual())
    apply_learned(project, "adaround", learn_rounding(project.graph, project.basis, [pictures(32)]))
    flow.quantize(project, project.statistics, project.quantization_options)
    assert project.learned is None
    assert [step.command for step in project.recipe] == ["aquant"]


def test_refusals_say_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(QuantizationError, match="aquant"):
        learn_rounding(residual(), quantized(residual()).basis, [pictures(2)])
    monkeypatch.setattr(adaround, "find_spec", lambda name: None)
    for method in ("brecq", "network"):
        with pytest.raises(UsageError, match=r"pip install 'nnshell\[train\]'"):
            project = quantized(residual())
            learn_rounding(project.graph, project.basis, [pictures(2)], method)


def test_tuned_ranges_leave_less_noise_where_they_are_learned() -> None:
    project, batches = quantized(residual(), bits=3), [pictures(16)]
    bench = Bench(project.graph, project.basis, batches)
    plain = learn_rounding(project.graph, project.basis, batches)
    tuned = learn_rounding(project.graph, project.basis, batches, ranges=True)
    assert tuned.ranges
    noise_of = [bench.try_basis(project.basis.with_learned(each)).noise for each in (plain, tuned)]
    assert noise_of[1] < noise_of[0]
