"""The network as C: model.h, model.c and the constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.targets.c.memory import Arena
from nnshell.targets.c.names import comment, comment_block, string
from nnshell.targets.c.program import Call, Port, Program, Value
from nnshell.targets.c.structs import StructField, structs

_C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
}
_VALUES_PER_LINE = 24


@dataclass(frozen=True, slots=True)
class Sources:
    """Text of the generated files and what they hold."""

    header: str
    model: str
    data: str
    constant_bytes: int


class _Constants:
    """Arrays by content: equal ones are written once."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, bytes], str] = {}
        self._texts: list[str] = []
        self.declarations: list[str] = []
        self.total_bytes = 0

    def name(self, value: NDArray[Any], owner: str) -> str:
        flat = np.ascontiguousarray(value).reshape(-1)
        key = (str(flat.dtype), flat.tobytes())
        if key not in self._names:
            name = self._names[key] = owner
            declaration = f"const {_C_TYPES[str(flat.dtype)]} {name}[{max(flat.size, 1)}]"
            self.declarations.append(f"extern {declaration};")
            self._texts.append(f"{declaration} = {{\n{_rows(flat)}\n}};")
            self.total_bytes += flat.nbytes
        return self._names[key]

    @property
    def text(self) -> str:
        return "\n\n".join(self._texts)


def _rows(flat: NDArray[Any]) -> str:
    numbers = [_integer(n) for n in flat.tolist()] or ["0"]
    starts = range(0, len(numbers), _VALUES_PER_LINE)
    return ",\n".join("    " + ", ".join(numbers[s : s + _VALUES_PER_LINE]) for s in starts)


def render(program: Program, arena: Arena, batch: int) -> Sources:
    """C of the network; ``batch`` samples for each call of model_run."""
    constants = _Constants()
    layers = _Layers(program, arena, constants)
    body = "\n".join(layers.text())
    model = "\n".join(
        [
            comment_block(f"Network {program.name}: integers only, no heap; made by nnshell."),
            '#include "model.h"',
            "",
            '#include "nn_kernels.h"',
            "",
            *constants.declarations,
            "",
            "/* The memory of all tensors between input and output. */",
            "static union {",
            f"    int8_t bytes[{max(arena.size_bytes, 1)}];",
            "    int32_t aligned;",
            "} arena;",
            "",
            body,
            *_entry_points(program, batch, layers.calls),
        ]
    )
    data = "\n".join(
        [
            "/* Constants of the network: weights, biases, multipliers, shifts, tables. */",
            "#include <stdint.h>",
            "",
            *constants.declarations,
            "",
            constants.text,
            "",
        ]
    )
    return Sources(_header(program, arena, batch), model, data, constants.total_bytes)


class _Layers:
    """Parameters and calls, layer by layer."""

    def __init__(self, program: Program, arena: Arena, constants: _Constants) -> None:
        self._program = program
        self._arena = arena
        self._constants = constants
        self.calls: list[str] = []

    def text(self) -> Iterator[str]:
        layer = ""
        for number, call in enumerate(self._program.calls, 1):
            if call.layer != layer:
                layer = call.layer
                yield comment_block(f"{layer}: {self._program.notes.get(layer, '')}")
            name = f"step_{number}"
            yield f"static const nn_{call.kernel} {name} = {self._fields(call, name)};\n"
            self.calls.append(self._statement(call, name))

    def _fields(self, call: Call, owner: str) -> str:
        lines = list(self._initializers(structs()[call.kernel], call.fields, owner))
        return "{\n    " + ",\n    ".join(lines) + "\n}"

    def _initializers(
        self, fields: tuple[StructField, ...], values: Mapping[str, Any], owner: str
    ) -> Iterator[str]:
        assert not set(values) - {field.name for field in fields}, f"{owner}: {set(values)}"
        for field in fields:
            value = values[field.name]
            if field.pointer:
                text = self._constants.name(value, f"{owner}_{field.name}")
            elif isinstance(value, dict):
                inner = ", ".join(self._initializers(structs()[_inner(field)], value, owner))
                text = f"{{{inner}}}"
            elif field.repeated:
                text = "{" + ", ".join(_integer(n) for n in value) + "}"
            else:
                text = _integer(value)
            yield f".{field.name} = {text}"

    def _statement(self, call: Call, name: str) -> str:
        arguments = [self._address(x) for x in call.inputs] + [self._address(call.output)]
        return f"    nn_run_{call.kernel}({', '.join([f'&{name}', *arguments])});"

    def _address(self, value: Value) -> str:
        buffer = value.buffer
        if buffer.place == "arena":
            return f"arena.bytes + {self._arena.offsets[buffer]}"
        if buffer.place == "constant":
            number = buffer.index
            return self._constants.name(self._program.constants[number], f"constant_{number}")
        return f"{buffer.place}_{buffer.index + 1}"


def _inner(field: StructField) -> str:
    return field.c_type.removeprefix("nn_")


def _integer(value: int) -> str:
    number = int(value)
    return f"(-{0x7FFFFFFF} - 1)" if number == -(1 << 31) else str(number)


def _parameters(program: Program) -> list[tuple[str, str, Port]]:
    """(C type, name, port) of model_run."""
    return [
        *(
            (f"const {_C_TYPES[port.dtype]} *", f"input_{number}", port)
            for number, port in enumerate(program.inputs, 1)
        ),
        *(
            (f"{_C_TYPES[port.dtype]} *", f"output_{number}", port)
            for number, port in enumerate(program.outputs, 1)
        ),
    ]


def _entry_points(program: Program, batch: int, calls: list[str]) -> list[str]:
    parameters = _parameters(program)
    arguments = ", ".join(f"{c_type}{name}" for c_type, name, _ in parameters)
    names = ", ".join(name for _, name, _ in parameters)
    unused = [
        f"    (void) {name};"
        for _, name, _ in parameters
        if not any(_mentions(call, name) for call in calls)
    ]
    one = [f"static void run_sample({arguments})", "{", *unused, *calls, "}", ""]
    steps = [f"        {name} += {port.type.size};" for _, name, port in parameters]
    loop = ["    int sample;", f"    for (sample = 0; sample < {batch}; sample++) {{"]
    loop += [f"        run_sample({names});", *steps, "    }"]
    return [
        *one,
        "void model_init(void)",
        "{",
        "    /* All constants are in place: nothing to prepare. */",
        "}",
        "",
        f"void model_run({arguments})",
        "{",
        *(loop if batch > 1 else [f"    run_sample({names});"]),
        "}",
        "",
    ]


def _mentions(call: str, name: str) -> bool:
    return f"{name}," in call or f"{name})" in call


def _header(program: Program, arena: Arena, batch: int) -> str:
    lines = [
        comment_block(f"Network {program.name}; made by nnshell."),
        "#ifndef MODEL_H",
        "#define MODEL_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define MODEL_NAME {string(program.name)}",
        f"#define MODEL_BATCH {batch} /* samples of one call */",
        f"#define MODEL_ARENA_BYTES {arena.size_bytes}",
        f"#define MODEL_INPUTS {len(program.inputs)}",
        f"#define MODEL_OUTPUTS {len(program.outputs)}",
        "",
        "/* real = scale * (integer - zero point); sizes are elements of one sample. */",
    ]
    for c_type, name, port in _parameters(program):
        prefix = f"MODEL_{name.upper()}"
        shape = ", ".join(str(n) for n in port.type.shape) or "1"
        element = c_type.removeprefix("const ").removesuffix(" *")
        lines += [
            f"#define {prefix}_NAME {string(port.key)}",
            f"#define {prefix}_TYPE {element}",
            f"#define {prefix}_SIZE {port.type.size}",
            f"#define {prefix}_SHAPE {{{shape}}} /* {comment(str(port.type.layout))} */",
            f"#define {prefix}_SCALE {port.scale!r}",
            f"#define {prefix}_ZERO_POINT ({port.zero_point})",
            "",
        ]
    arguments = ", ".join(f"{c_type}{name}" for c_type, name, _ in _parameters(program))
    lines += [
        "/* Call once before the first run. */",
        "void model_init(void);",
        "",
        "/* MODEL_BATCH samples, one after the other, each in C order of its shape. */",
        f"void model_run({arguments});",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)
