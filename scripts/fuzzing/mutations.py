"""Ways to spoil bytes, JSON and ONNX models; each takes the random generator and the victim."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

HUGE = (2**31 - 1, 2**31, 2**40, 2**62, -(2**31), -(2**63), 2**28)
ODD_INTEGERS = (0, 1, -1, 2, 3, 7, -2, 255, 1000, 65536, *HUGE)
ODD_FLOATS = (float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-45, 1e38, -1e38, 3.5, 1e-8)
ODD_TEXTS = (
    *("", " ", "x", "input_1", "output_1", "a b", "a/b", "../x", "a\nb", "a\tb", "\x00", "\u202e"),
    *("é", "名前", "😀", "%s%n", "{x}", "$(HOME)", "[1]", "a:b", "*", "-1", "0", "a,b", "#", "'"),
    *('"', "\\", "x" * 3000, "\x1b[31m", "None", "nan", "\ufeff"),
)

# -- bytes ---------------------------------------------------------------------------------


def spoiled_bytes(random: Random, content: bytes) -> bytes:
    """Some bytes changed, cut out, doubled or put in, or the end cut off."""
    spoiled = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        if not spoiled:
            break
        _SPOILERS[random.randrange(len(_SPOILERS))](random, spoiled)
    return bytes(spoiled)


def _flip(random: Random, data: bytearray) -> None:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set(random: Random, data: bytearray) -> None:
    data[random.randrange(len(data))] = random.choice(
        (0, 1, 0x7F, 0x80, 0xFF, random.randrange(256))
    )


def _set_early(random: Random, data: bytearray) -> None:
    """Headers are before, and more happens there than among weights."""
    data[random.randrange(min(len(data), 64))] = random.randrange(256)


def _cut(random: Random, data: bytearray) -> None:
    start = random.randrange(len(data))
    del data[start : start + random.choice((1, 2, 8, 100))]


def _truncate(random: Random, data: bytearray) -> None:
    del data[random.randrange(len(data)) :]


def _insert(random: Random, data: bytearray) -> None:
    start = random.randrange(len(data))
    data[start:start] = random.randbytes(random.choice((1, 2, 8, 64)))


def _double(random: Random, data: bytearray) -> None:
    start = random.randrange(len(data))
    data[start:start] = data[start : start + random.choice((4, 32, 256))]


def _zero(random: Random, data: bytearray) -> None:
    start = random.randrange(len(data))
    stop = min(len(data), start + random.choice((4, 32, 256)))
    data[start:stop] = bytes(stop - start)


_SPOILERS = (_flip, _flip, _set, _set, _set_early, _cut, _truncate, _insert, _double, _zero)

# -- JSON ----------------------------------------------------------------------------------


def odd_value(random: Random, depth: int = 2) -> Any:
    """Any JSON value, the awkward ones more often."""
    kind = random.randrange(8 if depth else 6)
    if kind == 6:
        return [odd_value(random, depth - 1) for _ in range(random.randrange(4))]
    if kind == 7:
        names = [random.choice(ODD_TEXTS) for _ in range(random.randrange(4))]
        return {name: odd_value(random, depth - 1) for name in names}
    simple = (None, random.choice((True, False)), random.choice(ODD_INTEGERS))
    return (*simple, random.choice(ODD_FLOATS), random.choice(ODD_TEXTS), random.uniform(-9, 9))[
        kind
    ]


def spoiled_json(random: Random, document: Any) -> Any:
    """A copy with some values replaced, removed, doubled or renamed, at any depth."""
    copy = json.loads(json.dumps(document))
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        places = list(_places(copy))
        if not places:
            return odd_value(random)
        holder, key = random.choice(places)
        action = random.randrange(5)
        if action == 0:
            del holder[key]
        elif action == 1 and isinstance(holder, dict):
            holder[random.choice((*ODD_TEXTS, *holder))] = holder.pop(key)
        elif action == 2 and isinstance(holder, list):
            holder.insert(random.randrange(len(holder) + 1), holder[key])
        elif action == 3:
            other, name = random.choice(places)
            holder[key] = json.loads(json.dumps(other[name]))
        else:
            holder[key] = odd_value(random)
    return copy


def _places(value: Any) -> Any:
    """(container, key) of every value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in entries:
        yield value, key
        if isinstance(entry, dict | list):
            yield from _places(entry)


# -- ONNX models ---------------------------------------------------------------------------


def spoil_model(random: Random, model: onnx.ModelProto) -> None:
    """One to three faults, in place."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        with contextlib.suppress(Exception):  # there is nothing of the kind to spoil
            random.choice(FAULTS)(random, model)


def _any_node(random: Random, model: onnx.ModelProto) -> Any:
    return random.choice(model.graph.node)


def _any_constant(random: Random, model: onnx.ModelProto) -> Any:
    return random.choice(model.graph.initializer)


def _constant_shape(random: Random, model: onnx.ModelProto) -> None:
    dims = list(_any_constant(random, model).dims)
    dims[random.randrange(len(dims))] = random.choice(ODD_INTEGERS)
    tensor = _any_constant(random, model)
    del tensor.dims[:]
    tensor.dims.extend(dims)


def _constant_of_other_shape(random: Random, model: onnx.ModelProto) -> None:
    """Consistent in itself, but not what the node needs."""
    tensor = _any_constant(random, model)
    shape = [random.choice((0, 1, 2, 3, 4, 5)) for _ in range(random.randrange(6))]
    dtype = random.choice((np.float32, np.float32, np.int64, np.float64, np.int8, np.float16, bool))
    tensor.CopyFrom(numpy_helper.from_array(np.ones(shape, dtype), tensor.name))


def _constant_values(random: Random, model: onnx.ModelProto) -> None:
    tensor = _any_constant(random, model)
    array = np.array(numpy_helper.to_array(tensor))
    flat = array.reshape(-1)
    if array.dtype.kind == "f":
        count = random.choice((1, 1, flat.size))
        flat[:count] = random.choice(ODD_FLOATS)
    else:
        flat[random.randrange(flat.size)] = random.choice(ODD_INTEGERS)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _constant_scale(random: Random, model: onnx.ModelProto) -> None:
    tensor = _any_constant(random, model)
    array = np.array(numpy_helper.to_array(tensor))
    if array.dtype.kind == "f":
        with np.errstate(all="ignore"):
            array = array * array.dtype.type(random.choice((0, 1e-30, 1e20, 1e36, -1, 1e-42)))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _constant_type(random: Random, model: onnx.ModelProto) -> None:
    _any_constant(random, model).data_type = random.choice((*range(-1, 25), 99, 2**31 - 1))


def _constant_bytes(random: Random, model: onnx.ModelProto) -> None:
    tensor = _any_constant(random, model)
    tensor.raw_data = tensor.raw_data[: random.randrange(len(tensor.raw_data) + 1)]


def _constant_gone(random: Random, model: onnx.ModelProto) -> None:
    del model.graph.initializer[random.randrange(len(model.graph.initializer))]


def _constant_twice(random: Random, model: onnx.ModelProto) -> None:
    model.graph.initializer.add().CopyFrom(_any_constant(random, model))


def _constant_becomes_input(random: Random, model: onnx.ModelProto) -> None:
    tensor = _any_constant(random, model)
    info = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
    model.graph.input.append(info)
    if random.random() < 0.5:
        model.graph.initializer.remove(tensor)


def _external(random: Random, model: onnx.ModelProto) -> None:
    tensor = _any_constant(random, model)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    if random.random() < 0.7:
        tensor.ClearField("raw_data")
    places = (
        "weights.bin",
        "../x",
        "/etc/passwd",
        "",
        ".",
        "a\x00b",
        "model.onnx",
        "nope",
        "/dev/zero",
    )
    entries = {
        "location": random.choice(places),
        "offset": str(random.choice((0, 1, -1, 10**12, "x", "", 2**64))),
        "length": str(random.choice((0, 1, 4, -1, 10**12, "x", "", 2**64))),
    }
    for key in random.sample(sorted(entries), random.randint(0, 3)):
        tensor.external_data.add(key=key, value=entries[key])


def _attribute_number(random: Random, model: onnx.ModelProto) -> None:
    attribute = random.choice(_any_node(random, model).attribute)
    if attribute.type == onnx.AttributeProto.INTS:
        action = random.randrange(4)
        if action == 0:
            attribute.ints[random.randrange(len(attribute.ints))] = random.choice(ODD_INTEGERS)
        elif action == 1:
            attribute.ints.append(random.choice(ODD_INTEGERS))
        elif action == 2:
            del attribute.ints[random.randrange(len(attribute.ints)) :]
        else:
            attribute.ints[:] = [random.choice((-1, 0, 1, 2, 9)) for _ in attribute.ints]
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = random.choice(ODD_FLOATS)
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = random.choice(ODD_INTEGERS)
    else:
        attribute.s = random.choice(ODD_TEXTS).encode()


def _attribute_type(random: Random, model: onnx.ModelProto) -> None:
    attribute = random.choice(_any_node(random, model).attribute)
    attribute.type = random.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))


def _attribute_kind(random: Random, model: onnx.ModelProto) -> None:
    """Another kind of value, said correctly."""
    attribute = random.choice(_any_node(random, model).attribute)
    tensor = numpy_helper.from_array(np.ones(3, np.float32))
    kinds = (1, 1.5, "text", [1, 2], [1.5], ["a", "b"], tensor, model.graph, [tensor], [2**40])
    attribute.CopyFrom(helper.make_attribute(attribute.name, random.choice(kinds)))


def _attribute_name(random: Random, model: onnx.ModelProto) -> None:
    node = _any_node(random, model)
    names = ("axis", "axes", "pads", "auto_pad", "perm", "keepdims", "group", "ceil_mode", "alpha")
    value = random.choice((*ODD_INTEGERS, "SAME_UPPER", "VALID", [0, 1], [2, 2, 2, 2], 0.5))
    node.attribute.append(helper.make_attribute(random.choice((*names, "mode", "to")), value))


def _attribute_gone(random: Random, model: onnx.ModelProto) -> None:
    attributes = _any_node(random, model).attribute
    del attributes[random.randrange(len(attributes))]


def _operator(random: Random, model: onnx.ModelProto) -> None:
    node = _any_node(random, model)
    known = [other.op_type for other in model.graph.node]
    others = (
        *("Foo", "", "If", "Loop", "LSTM", "ConvTranspose", "Shape", "Gather", "Cast", "Split"),
        *("TopK", "Resize", "MatMul", "Concat", "Constant", "Softmax", "Reshape", "Einsum"),
        *("GridSample", "QuantizeLinear", "Where", "Clip", "Pad", "Expand", "ReduceMax"),
    )
    node.op_type = random.choice((*known, *others))


def _domain(random: Random, model: onnx.ModelProto) -> None:
    node = _any_node(random, model)
    node.domain = random.choice(("ai.onnx", "com.microsoft", "ai.onnx.ml", *ODD_TEXTS))


def _node_gone(random: Random, model: onnx.ModelProto) -> None:
    del model.graph.node[random.randrange(len(model.graph.node))]


def _node_twice(random: Random, model: onnx.ModelProto) -> None:
    node = model.graph.node.add()
    node.CopyFrom(_any_node(random, model))
    if random.random() < 0.5:
        node.output[0] = "again"


def _nodes_shuffled(random: Random, model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)
    random.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _edge(random: Random, model: onnx.ModelProto) -> None:
    """A node reads, or makes, another tensor: cycles, two makers, wrong shapes."""
    node = _any_node(random, model)
    names = [n for other in model.graph.node for n in (*other.input, *other.output)]
    field = node.input if random.random() < 0.7 else node.output
    field[random.randrange(len(field))] = random.choice((*names, "", "nowhere"))


def _edges_counted(random: Random, model: onnx.ModelProto) -> None:
    node = _any_node(random, model)
    field = random.choice((node.input, node.output))
    if random.random() < 0.5:
        del field[random.randrange(len(field)) :]
    else:
        field.append(random.choice(("", "more", *node.input)))


def _name(random: Random, model: onnx.ModelProto) -> None:
    """A tensor or node gets another name, everywhere."""
    text = random.choice(ODD_TEXTS)
    node = _any_node(random, model)
    if random.random() < 0.4:
        node.name = text
        return
    old = random.choice((*node.input, *node.output))
    for other in model.graph.node:
        other.input[:] = [text if name == old else name for name in other.input]
        other.output[:] = [text if name == old else name for name in other.output]
    for entry in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        entry.name = text if entry.name == old else entry.name


def _end_shape(random: Random, model: onnx.ModelProto) -> None:
    value = random.choice((*model.graph.input, *model.graph.output))
    shape = value.type.tensor_type.shape
    action = random.randrange(5)
    if action == 0:
        shape.dim[random.randrange(len(shape.dim))].dim_value = random.choice(ODD_INTEGERS)
    elif action == 1:
        shape.dim[random.randrange(len(shape.dim))].dim_param = random.choice(ODD_TEXTS)
    elif action == 2:
        shape.dim.add().dim_value = random.choice((0, 1, 2, 5))
    elif action == 3:
        del shape.dim[random.randrange(len(shape.dim)) :]
    else:
        value.type.tensor_type.ClearField("shape")


def _end_type(random: Random, model: onnx.ModelProto) -> None:
    value = random.choice((*model.graph.input, *model.graph.output))
    if random.random() < 0.7:
        value.type.tensor_type.elem_type = random.randrange(-1, 25)
    else:
        value.type.sequence_type.elem_type.tensor_type.elem_type = 1


def _ends(random: Random, model: onnx.ModelProto) -> None:
    """Outputs and inputs come, go and repeat."""
    field = random.choice((model.graph.input, model.graph.output))
    names = [n for node in model.graph.node for n in (*node.input, *node.output)]
    action = random.randrange(4)
    if action == 0:
        del field[random.randrange(len(field))]
    elif action == 1:
        field.add().CopyFrom(random.choice(field))
    elif action == 2:
        field.append(helper.make_tensor_value_info(random.choice(names), 1, [1, 2]))
    else:
        random.choice(field).name = random.choice((*names, *ODD_TEXTS))


def _value_info(random: Random, model: onnx.ModelProto) -> None:
    name = random.choice(_any_node(random, model).output)
    shape = [random.choice(ODD_INTEGERS) for _ in range(random.randrange(6))]
    model.graph.value_info.append(helper.make_tensor_value_info(name, 1, shape))


def _versions(random: Random, model: onnx.ModelProto) -> None:
    action = random.randrange(4)
    if action == 0:
        model.ir_version = random.choice((0, 1, 3, 10, 11, 99, 2**40))
    elif action == 1:
        del model.opset_import[:]
    elif action == 2:
        model.opset_import.append(helper.make_opsetid(random.choice(("", "x", "ai.onnx")), 9))
    else:
        model.opset_import[0].version = random.choice((-1, 0, 1, 5, *range(6, 30), 2**40))


def _sparse(random: Random, model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), _any_constant(random, model).name)
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2, 2]))


def _function(random: Random, model: onnx.ModelProto) -> None:
    """A function of the model's own, which may call itself."""
    inner = random.choice(("Relu", "Twice", "Foo"))
    nodes = [helper.make_node(inner, ["a"], ["b"], domain="" if inner == "Relu" else "own")]
    ids = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    model.functions.append(helper.make_function("own", "Twice", ["a"], ["b"], nodes, ids))
    node = _any_node(random, model)
    node.op_type, node.domain = "Twice", "own"
    if random.random() < 0.7:
        model.opset_import.append(helper.make_opsetid("own", 1))
        del node.attribute[:]


def _subgraph(random: Random, model: onnx.ModelProto) -> None:
    node = _any_node(random, model)
    node.op_type = random.choice(("If", "Loop", node.op_type))
    node.attribute.append(helper.make_attribute("then_branch", model.graph))


FAULTS: tuple[Callable[[Random, onnx.ModelProto], None], ...] = (
    *(_constant_shape, _constant_of_other_shape, _constant_of_other_shape, _constant_values),
    *(_constant_values, _constant_scale, _constant_type, _constant_bytes, _constant_gone),
    *(_constant_twice, _constant_becomes_input, _external, _attribute_number, _attribute_number),
    *(_attribute_number, _attribute_type, _attribute_kind, _attribute_name, _attribute_gone),
    *(_operator, _operator, _domain, _node_gone, _node_twice, _nodes_shuffled, _edge, _edge),
    *(_edges_counted, _name, _end_shape, _end_shape, _end_type, _ends, _value_info, _versions),
    *(_sparse, _function, _subgraph),
)
