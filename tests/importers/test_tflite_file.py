"""TFLite files as they come: names, damage, lies, and what is not supported."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

import numpy as np
import pytest

from nnshell import flow
from nnshell.support.errors import ModelError, NNShellError

from .tflite_files import TfliteModel
from .tflite_nets import conv, heads_of_a_detector, normal, residual_block


def _names(net: TfliteModel, folder: Path) -> list[str]:
    return list(flow.open_graph(net.save(folder / "named.tflite")).graph.nodes)


def _named(*names: str) -> TfliteModel:
    """A chain of sums with constants called so."""
    net = TfliteModel()
    made = net.input(1, 4)
    for name in names:
        constant = net.constant(normal(4), name)
        made = net.op("ADD", [made, constant], (1, 4), "AddOptions")
    return net.output(made)


def test_operators_are_called_after_their_kind_and_place(tmp_path: Path) -> None:
    net = TfliteModel()
    made, _ = conv(net, net.input(1, 4, 4, 2), (4, 4, 2), 3, (3, 3), activation=1)
    names = _names(net.output(made), tmp_path)
    assert names == ["input_1", "t1", "t2", "CONV_2D_0_0", "CONV_2D_0_0_activation", "output_1"]


def test_constants_lose_what_is_no_identifier_and_are_cut(tmp_path: Path) -> None:
    long = "model/block.1/conv2d/BiasAdd;model/block/ReadVariableOp"
    names = _names(_named(long), tmp_path)
    assert "modelblock1conv2dBiasAddmodelb" in names


def test_a_name_that_is_taken_gets_a_hash_of_the_whole(tmp_path: Path) -> None:
    first, second = "a/" + "x" * 40, "a/" + "x" * 41
    names = _names(_named(first, second), tmp_path)
    short = "a" + "x" * 29
    assert short in names
    assert f"{short}_{hashlib.sha1(second.encode()).hexdigest()[:8]}" in names


def test_a_bias_that_the_file_leaves_out_is_called_after_its_filter(tmp_path: Path) -> None:
    net = TfliteModel()
    operands = [net.input(1, 6), net.constant(normal(4, 6), "w"), -1]
    net.output(net.op("FULLY_CONNECTED", operands, (1, 4), "FullyConnectedOptions"))
    assert "FULLY_CONNECTED_0_0_bias" in _names(net, tmp_path)


def test_a_constant_with_several_readers_is_numbered(tmp_path: Path) -> None:
    net = TfliteModel()
    x, shared = net.input(1, 4), net.constant(normal(4), "shared")
    first = net.op("ADD", [x, shared], (1, 4), "AddOptions")
    names = _names(net.output(net.op("MUL", [first, shared], (1, 4), "MulOptions")), tmp_path)
    assert "shared" in names and "shared_1" in names


def test_reshapes_before_linear_layers_are_left_out(tmp_path: Path) -> None:
    names = _names(residual_block(), tmp_path)
    assert not [name for name in names if name.startswith("RESHAPE")]


def test_a_detector_keeps_its_transposes_and_names(tmp_path: Path) -> None:
    graph = flow.open_graph(heads_of_a_detector().save(tmp_path / "heads.tflite"))
    flow.adjust(graph)
    assert "CONV_2D_0_0_trans_out0" in graph
    assert graph["CONV_2D_0_0_trans_out0"].op.describe((), ()) == "T 1,2,0"


# -- refusals ------------------------------------------------------------------------------


def test_everything_that_is_not_supported_is_named_at_once(tmp_path: Path) -> None:
    net = TfliteModel()
    x = net.input(1, 4, 4, 2)
    first = net.op("LOCAL_RESPONSE_NORMALIZATION", [x], (1, 4, 4, 2))
    second = net.op("L2_NORMALIZATION", [first], (1, 4, 4, 2), "L2NormOptions")
    with pytest.raises(ModelError) as caught:
        flow.open_graph(net.output(second).save(tmp_path / "bad.tflite"))
    listed = caught.value.details
    assert [line.partition(":")[0] for line in listed] == [
        "LOCAL_RESPONSE_NORMALIZATION 'LOCAL_RESPONSE_NORMALIZATION_0_0'",
        "L2_NORMALIZATION 'L2_NORMALIZATION_0_1'",
    ]


def test_another_version_of_the_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.tflite"
    path.write_bytes(b"\x08\x00\x00\x00TFL2" + bytes(40))
    with pytest.raises(ModelError, match="not a TFLite model"):
        flow.open_graph(path)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x00" * 64, b"\xff" * 64])
def test_what_is_no_file_at_all_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "junk.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a TFLite model"):
        flow.open_graph(path)


def test_weights_that_do_not_fill_their_shape_are_refused(tmp_path: Path) -> None:
    net = _named("short")
    net.tensors[1].shape = (400000,)
    with pytest.raises(ModelError, match="bytes, its shape takes"):
        flow.open_graph(net.save(tmp_path / "short.tflite"))


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    net = _named("broken")
    net.tensors[1].value = np.array([1, np.nan, 2, 3], np.float32)
    with pytest.raises(ModelError, match="NaN"):
        flow.open_graph(net.save(tmp_path / "nan.tflite"))


def test_an_input_without_extents_asks_for_them(tmp_path: Path) -> None:
    net = _named("c")
    net.tensors[0].shape = (1, 0)
    path = net.save(tmp_path / "open.tflite")
    with pytest.raises(ModelError, match="input_shapes"):
        flow.open_graph(path)
    assert flow.open_graph(path, input_shapes={"input_1": [1, 4]}).inputs[0].type.shape == (4,)


@pytest.mark.parametrize("seed", range(150))
def test_damaged_bytes_are_refused_in_words(seed: int, tmp_path: Path) -> None:
    """Flipped, cut and repeated: the model is opened, or an error of ours says why not."""
    data = bytearray(heads_of_a_detector().bytes() if seed % 2 else residual_block().bytes())
    random = Random(seed)
    for _ in range(random.randint(1, 6)):
        place = random.randrange(8, len(data))
        data[place] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)])
    if seed % 5 == 0:
        data = data[: random.randrange(len(data))]
    path = tmp_path / "damaged.tflite"
    path.write_bytes(bytes(data))
    try:
        flow.open_graph(path)
    except NNShellError as error:
        assert "\n" not in error.message
