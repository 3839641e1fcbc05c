"""Models whose large tensors stay in the file: the same model, whatever the bytes are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnshell.importers.onnx import file
from nnshell.importers.onnx.external import array_of
from nnshell.importers.onnx.importer import import_onnx
from nnshell.importers.onnx.weights import LARGE_BYTES
from nnshell.importers.onnx.wire import ITSELF, with_references
from nnshell.ir.basic_operators import Constant
from nnshell.support.errors import ModelError
from tests.importers.conftest import make_model
from tests.importers.parts import node

Save = Callable[..., Path]

_MOST = 1 << 30
_DTYPES = ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT8", "UINT16", "INT64", "BOOL", "INT4")


def _tensor(random: Random, dtype: str, elements: int) -> onnx.TensorProto:
    kind = getattr(onnx.TensorProto, dtype)
    size = onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
    count = (elements + 1) // 2 if dtype == "INT4" else elements * size
    data = bytes(random.choice(b"\0\1") for _ in range(count))
    return onnx.TensorProto(name=dtype, data_type=kind, dims=[elements], raw_data=data)


@given(st.integers(0, 1 << 30))
@settings(max_examples=15, deadline=None)
def test_a_reference_stands_for_the_numbers_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    random = Random(seed)
    path = tmp_path_factory.mktemp("wire") / "model.onnx"
    sizes = [random.choice((0, 1, 100, LARGE_BYTES // 4 + 1, 2 * LARGE_BYTES)) for _ in _DTYPES]
    tensors = [_tensor(random, dtype, n) for dtype, n in zip(_DTYPES, sizes, strict=True)]
    held = onnx.helper.make_node("Constant", [], ["c"], value=_tensor(random, "FLOAT", 9000))
    graph = onnx.helper.make_graph(
        [held], "g", [], [], tensors, doc_string="d" * random.choice((0, 40_000))
    )
    model = onnx.helper.make_model(graph, producer_name="p" * 300)
    path.write_bytes(model.SerializeToString())
    content, _ = with_references(path, _MOST, worth=0) or (b"", "")
    slim = onnx.ModelProto.FromString(content)
    held_slim = slim.graph.node[0].attribute[0].t
    for whole, small in (
        *zip(tensors, slim.graph.initializer, strict=True),
        (held.attribute[0].t, held_slim),
    ):
        assert small.ByteSize() <= max(LARGE_BYTES + 200, 0)
        expected = onnx.numpy_helper.to_array(whole)
        values = array_of(small, path)
        assert values.dtype == expected.dtype
        assert values.tobytes() == expected.tobytes()
    assert held_slim.external_data[0].value == ITSELF
    for tensor in (*slim.graph.initializer, held_slim):
        file.load(tensor, path) if file.is_outside(tensor) else None
    assert slim == model


def test_a_model_is_the_same_with_its_numbers_in_the_file(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(3)
    weights = random.normal(size=(300, 300)).astype(np.float32)
    scale = random.uniform(0.01, 0.02, size=5000).astype(np.float32)  # a large one of a node's
    constant = node(
        "Constant", outputs=("c",), value=onnx.numpy_helper.from_array(weights * 2, "?")
    )
    nodes = [
        constant,
        node("MatMul", "x", "w", outputs=("t",)),
        node("MatMul", "t", "c", outputs=("u",)),
        node("MatMul", "u", "v", outputs=("s",)),
        node("Mul", "s", "scale"),
    ]
    constants = {"w": weights, "v": random.normal(size=(300, 5000)).astype(np.float32)}
    path = save(make_model(nodes, {"x": [1, 300]}, constants=constants | {"scale": scale}))
    plain = import_onnx(path).graph
    monkeypatch.setattr(file, "with_references", partial(with_references, worth=0))
    walked = import_onnx(path).graph
    assert [n.name for n in walked] == [n.name for n in plain]
    for one, other in zip(walked, plain, strict=True):
        if isinstance(one.op, Constant):
            assert isinstance(other.op, Constant)
            np.testing.assert_array_equal(one.op.value, other.op.value)
    assert walked.source == plain.source  # the file's hash, too


@given(st.integers(0, 1 << 30))
@settings(max_examples=60, deadline=None)
def test_bytes_that_are_no_model_are_read_as_any_file(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """What is walked parses to what the whole parses to; what does not parse is not walked."""
    random = Random(seed)
    tensors = [_tensor(random, dtype, 9000) for dtype in _DTYPES[:3]]
    graph = onnx.helper.make_graph([], "g", [], [], tensors)
    data = bytearray(onnx.helper.make_model(graph).SerializeToString())
    for _ in range(random.randint(1, 3)):
        data[random.randrange(min(len(data), 300))] = random.randrange(256)
    if random.random() < 0.3:
        del data[random.randrange(len(data)) :]
    path = tmp_path_factory.mktemp("wire") / "model.onnx"
    path.write_bytes(data)
    walked = with_references(path, _MOST, worth=0)
    try:
        whole = onnx.ModelProto.FromString(bytes(data))
    except Exception:
        return
    if walked is not None:
        slim = onnx.ModelProto.FromString(walked[0])
        for tensor in slim.graph.initializer:
            if file.is_outside(tensor) and any(e.value == ITSELF for e in tensor.external_data):
                file.load(tensor, path)
        assert slim == whole


def test_a_tensor_of_another_size_is_refused_alike(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model([node("MatMul", "x", "w")], {"x": [1, 100]}, constants={
        "w": np.ones((100, 100), np.float32)})  # fmt: skip
    model.graph.initializer[0].raw_data = bytes(39_000)
    path = save(model)
    messages = []
    for worth in (_MOST, 0):
        monkeypatch.setattr(file, "with_references", partial(with_references, worth=worth))
        with pytest.raises(ModelError) as refused:
            import_onnx(path)
        messages.append(str(refused.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("length", ["40000", "9" * 18, "9" * 5000, "-1", "", "4e4"])
def test_a_reference_beyond_the_file_is_refused(save: Save, length: str) -> None:
    model = make_model([node("MatMul", "x", "w")], {"x": [1, 100]}, constants={
        "w": np.ones((100, 100), np.float32)})  # fmt: skip
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", ITSELF), ("offset", "10"), ("length", length)):
        tensor.external_data.add(key=key, value=value)
    with pytest.raises(ModelError, match=r"'w'.*cannot be read|raw_data size"):
        import_onnx(save(model))
