"""A graph in torch computes what it computes elsewhere: in float, and rounded."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra train")

from nnshell.execution.engines import make_engine  # noqa: E402
from nnshell.execution.float_engine import FloatEngine  # noqa: E402
from nnshell.ir.basic_operators import Output  # noqa: E402
from nnshell.ir.flat import flatten  # noqa: E402
from nnshell.ir.work import Window  # noqa: E402
from nnshell.learning.training.model import TrainedModel  # noqa: E402
from nnshell.ops.conv2d import Conv2D  # noqa: E402
from nnshell.ops.image_format import ImageFormat  # noqa: E402
from nnshell.ops.relu import Relu6  # noqa: E402
from nnshell.session.project import Project  # noqa: E402
from nnshell.support.errors import GraphError  # noqa: E402
from tests.learning.nets import SHAPE, conv, pictures, quantized, residual  # noqa: E402
from tests.ops.cases import Case, cases  # noqa: E402
from tests.quantization.nets import Net  # noqa: E402

UNTRAINED = {"image_format"}  # integers in, and nothing to train before it


@cases()
def test_an_operator_computes_in_torch_what_it_computes_in_onnx_runtime(example) -> None:  # type: ignore[no-untyped-def]
    case = Case(example)
    try:
        model = TrainedModel(case.graph)
    except GraphError as error:
        assert case.op.kind in str(error) and "node" in error.where
        pytest.skip(f"{case.op.kind} is refused")
    batch = case.batch()
    results = FloatEngine(case.graph, threads=1).run(batch)
    outputs = model(*[torch.from_numpy(np.asarray(array)) for array in batch])
    for node, output in zip(case.graph.outputs, outputs, strict=True):
        expected = results[node.name]
        assert output.shape == expected.shape
        np.testing.assert_allclose(output.detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_what_can_be_trained_through_is_most_of_all() -> None:
    import nnshell.ops
    from nnshell.ir.operator import OPERATORS

    assert nnshell.ops is not None
    for kind in ("conv2d", "linear", "add", "batch_norm", "bilinear_resizer", "split", "matmul"):
        for example in OPERATORS[kind].examples():
            TrainedModel(Case(example).graph)


def test_what_cannot_be_trained_through_is_refused_by_name() -> None:
    example = ImageFormat.examples()[0]
    with pytest.raises(GraphError, match="image_format cannot be trained through") as caught:
        TrainedModel(Case(example).graph)
    assert "node" in caught.value.where


def pool_and_clip() -> Project:
    """relu6 after a depthwise convolution: the range of a rectifier with two ends."""
    net = Net(*SHAPE)
    op = Conv2D(Window((3, 3), pads=(1, 1, 1, 1)), 4)
    first = net.node("dw", op, net.x, *net.parameters("dw", op, net.graph.type_of(net.x), 4))
    inner = net.node("six", Relu6(), first)
    last = net.linear("head", conv(net, "second", inner))
    net.node("output_1", Output(0), last)
    return quantized(net.graph)


@pytest.mark.parametrize("quantizer", ["lsq", "lsq+", "qat", "pact", "dorefa"])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_model_is_rounded_where_the_simulated_engine_rounds(quantizer: str, bits: int) -> None:
    """As weights of DoReFa have a grid of their own, only activations are compared there."""
    project = quantized(residual(), bits)
    model = TrainedModel(project.graph, quantizer).eval()
    batch = pictures(40, seed=2)
    with torch.no_grad():
        output = model(torch.from_numpy(batch.arrays[0]))[0].numpy()
    expected = make_engine(project.graph, "simulated").run(batch.arrays)["output_1"]
    scale = np.abs(expected).max()
    tolerance = 0.35 if quantizer in ("pact", "dorefa", "qat") and bits < 8 else 0.06
    assert np.abs(output - expected).mean() < tolerance * scale
    assert len(model.grouped()) == len({id(group) for group, _ in model.grouped()})


@pytest.mark.parametrize("quantizer", ["lsq", "lsq+", "qat", "pact", "dorefa"])
def test_gradients_reach_every_weight_bias_and_step(quantizer: str) -> None:
    model = TrainedModel(quantized(residual()).graph, quantizer).train()
    batch = pictures(16, seed=5)
    model(torch.from_numpy(batch.arrays[0]))[0].square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()), name
        assert name.endswith("offset") or float(parameter.grad.abs().max()) > 0, name


def test_a_constant_that_two_filters_read_is_one_parameter() -> None:
    net = Net(*SHAPE)
    op = Conv2D(Window((3, 3), pads=(1, 1, 1, 1)))
    weights, bias = net.parameters("shared", op, net.graph.type_of(net.x), 4)
    once = net.node("first", op, net.x, weights, bias)
    net.node("output_1", Output(0), net.node("second", op, once, weights, bias))
    model = TrainedModel(net.graph)
    assert len(model.values) == 2
    assert sorted(path for path, _ in model.trained()) == sorted([weights.node, bias.node])


def test_outputs_come_in_the_order_of_the_graph() -> None:
    net = Net(*SHAPE)
    first = conv(net, "first", net.x)
    net.node("late", Output(1), first)
    net.node("early", Output(0), net.linear("head", first))
    model = TrainedModel(net.graph)
    batch = pictures(2).arrays
    expected = FloatEngine(net.graph, threads=1).run(list(batch))
    for name, output in zip(("early", "late"), model(torch.from_numpy(batch[0])), strict=True):
        np.testing.assert_allclose(output.detach().numpy(), expected[name], atol=1e-4)


def test_weights_come_back_as_they_went_in() -> None:
    graph = residual()
    flat = flatten(graph)
    for path, value in TrainedModel(graph).trained():
        np.testing.assert_array_equal(value, flat.by_path[path].node.op.known_value)
