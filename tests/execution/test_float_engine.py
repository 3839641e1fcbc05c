"""The float engine: batches in, named arrays out, errors a user can act on."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.text import parse_graph
from nnshell.support.errors import GraphError, InputError

LEVELS = onnxruntime.GraphOptimizationLevel

TEXT = """\
%input_1 = input : 2x3
%input_2 = input {index=1} : 3
%sum = add(%input_1, %input_2)
%relu = relu(%sum)
%output_1 = output(%relu) : 2x3
"""


def test_a_batch_of_any_size_runs_in_one_engine() -> None:
    engine = FloatEngine(parse_graph(TEXT), ["sum", "output_1"], threads=1)
    for samples in (1, 4):
        first = np.full((samples, 2, 3), -2.0)
        second = np.arange(3.0) * np.ones((samples, 1))
        found = engine.run([first, second])
        assert list(found) == ["sum", "output_1"]
        assert found["sum"].dtype == np.float32
        np.testing.assert_array_equal(found["sum"], first + second[:, np.newaxis])
        np.testing.assert_array_equal(found["output_1"], np.maximum(first + second[:, None], 0))


def test_an_empty_batch_gives_empty_arrays() -> None:
    found = FloatEngine(parse_graph(TEXT), threads=1).run([np.zeros((0, 2, 3)), np.zeros((0, 3))])
    assert found["output_1"].shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([np.zeros((1, 2, 3))], "the graph has 2 inputs, 1 were given"),
        ([np.zeros((1, 2, 4)), np.zeros((1, 3))], "wants samples of shape 2x3, not 1x2x4"),
        ([np.zeros((2, 3)), np.zeros((1, 3))], "different numbers of samples"),
        ([np.zeros((2, 2, 3)), np.zeros((1, 3))], "different numbers of samples"),
        ([np.zeros(()), np.zeros((1, 3))], "wants samples of shape 2x3"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(batch: list[np.ndarray], message: str) -> None:
    with pytest.raises(InputError) as caught:
        FloatEngine(parse_graph(TEXT), threads=1).run(batch)
    assert message in str(caught.value)


def test_a_tensor_that_does_not_exist_is_refused() -> None:
    with pytest.raises(GraphError, match="no tensor is called 'nothing'"):
        FloatEngine(parse_graph(TEXT), ["nothing"])


def test_a_graph_the_runtime_refuses_is_an_error_of_one_line() -> None:
    text = "%x = input : 1x4x4 chw\n%o = output(%p)\n"
    text += "%p = average_pool(%x) {window=Window(kernel=(2, 2), pads=(2, 2, 2, 2))}"
    with pytest.raises(GraphError) as caught:
        FloatEngine(parse_graph(text), threads=1)
    assert "ONNX Runtime" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_border_of_zeros_wins_over_negative_numbers_in_a_maximum() -> None:
    text = "%x = input : 1x2x2 chw\n%b = pad(%x) {pads=((0, 0), (1, 0), (1, 0))}\n"
    text += "%p = max_pool(%b) {window=Window(kernel=(2, 2))}\n%o = output(%p)"
    found = FloatEngine(parse_graph(text), threads=1).run([-np.ones((1, 1, 2, 2))])
    assert found["o"].tolist() == [[[[0.0, 0.0], [0.0, -1.0]]]]


def test_a_graph_that_only_the_optimizers_refuse_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = onnxruntime.InferenceSession

    def session(model: bytes, options: Any, **others: Any) -> Any:
        if options.graph_optimization_level != LEVELS.ORT_DISABLE_ALL:
            raise RuntimeError("a fusion went wrong")
        return opened(model, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    batch = [np.full((1, 2, 3), 2.0), np.ones((1, 3))]
    found = FloatEngine(parse_graph(TEXT), threads=1).run(batch)
    np.testing.assert_array_equal(found["output_1"], np.full((1, 2, 3), 3.0))
