"""Python pickles as data: the operations in a file are read and never carried out.

NNTool keeps calibration statistics as pickles. ``pickletools.genops`` lists a pickle's operations;
here they build plain lists, tuples and mappings. A class or a function in the file stays a name,
and calling it an entry with that name: nothing is imported, nothing is called. Of what such
entries stand for, numbers and arrays of numpy are known.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAX_OPERATIONS = 5_000_000
_MAX_DEPTH = 8  # levels that ``plain`` follows; statistics have five
_MAX_ITEMS = 2_000_000  # entries that ``plain`` visits
_DTYPE = re.compile(r"[<>|=]?[fiu][1248]")
_ORDERS = {"<": "<", ">": ">", "=": "=", "|": "="}


class Malformed(ValueError):
    """Bytes that are no pickle, or more than statistics can be."""


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function, as ``module`` and ``name``."""

    module: str
    name: str


@dataclass(slots=True)
class Made:
    """What calling something would have made: its name, the arguments and the state given after."""

    by: Any
    arguments: Any
    state: Any = None
    items: list[tuple[Any, Any]] = field(default_factory=list)  # of mappings, as OrderedDict


@dataclass(slots=True)
class Entries:
    """A mapping as its pairs, in order: keys may be anything."""

    items: list[tuple[Any, Any]] = field(default_factory=list)


def read_pickle(data: bytes) -> Any:
    """The object a pickle describes, made of ``Entries``, lists, tuples, ``Made`` and values.

    Raises Malformed for bytes that are no whole pickle.
    """
    machine = _Machine()
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(data)):
            if count > MAX_OPERATIONS:
                raise Malformed("it has too many operations")
            if operation.name == "STOP":
                return machine.stack.pop()
            machine.do(operation.name, argument)
    except Malformed:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Malformed(f"it is no pickle: {error}") from None
    raise Malformed("it has no end")


_VALUES = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
    | {"BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": Entries,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
}
_PASSED_OVER = frozenset({"PROTO", "FRAME"})


class _Machine:
    """The stack and the memo of an unpickler."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []  # what lies under each mark
        self._memo: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """Carry one operation out, on data."""
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name not in _PASSED_OVER:
            operation = _OPERATIONS.get(name)
            if operation is None:
                raise Malformed(f"it has the operation {name}")
            operation(self, argument)

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._below.pop()
        return items

    def mark(self, _: Any) -> None:
        self._below.append(self.stack)
        self.stack = []

    def put(self, number: Any) -> None:
        self._memo[int(number)] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def get(self, number: Any) -> None:
        self.stack.append(self._memo[int(number)])

    def short_tuple(self, size: int) -> None:
        items = self.stack[-size:]
        if len(items) < size:
            raise IndexError("the stack is too short")
        self.stack[-size:] = [tuple(items)]

    def set_items(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        target.items.extend(zip(pairs[::2], pairs[1::2], strict=True))

    def add_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Made):  # of list's children the items do not matter
            raise TypeError("items for what holds none")

    def name(self, argument: Any) -> None:
        module, _, name = str(argument).partition(" ")
        self.stack.append(Name(module, name))

    def stack_name(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Name(str(module), str(name)))

    def reduce(self, _: Any) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = Made(self.stack[-1], arguments)

    def reduce_with_keywords(self, _: Any) -> None:
        self.stack.pop()
        self.reduce(None)

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Made):
            self.stack[-1].state = state

    def instance(self, argument: Any) -> None:
        arguments = tuple(self.since_mark())
        self.name(argument)
        self.stack[-1] = Made(self.stack[-1], arguments)

    def object(self, _: Any) -> None:
        made_by, *arguments = self.since_mark()
        self.stack.append(Made(made_by, tuple(arguments)))


def _dictionary(machine: _Machine) -> None:
    items = machine.since_mark()
    machine.stack.append(Entries())
    machine.set_items(items)


def _set_item(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_items([key, value])


_OPERATIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": _Machine.mark,
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.short_tuple(1),
    "TUPLE2": lambda machine, _: machine.short_tuple(2),
    "TUPLE3": lambda machine, _: machine.short_tuple(3),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "FROZENSET": lambda machine, _: machine.push(machine.since_mark()),
    "DICT": lambda machine, _: _dictionary(machine),
    "APPEND": lambda machine, _: machine.add_items([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.add_items(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.add_items(machine.since_mark()),
    "SETITEM": lambda machine, _: _set_item(machine),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.reduce_with_keywords,
    "BUILD": _Machine.build,
    "INST": _Machine.instance,
    "OBJ": _Machine.object,
}


def plain(value: Any) -> Any:
    """A read pickle as lists, pairs of mappings, numbers and texts; None for everything else.

    Arrays are lists of their numbers; an object of a class is the entries of its state.
    """
    return _Flattener().plain(value, _MAX_DEPTH)


class _Flattener:
    def __init__(self) -> None:
        self._left = _MAX_ITEMS

    def plain(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if depth < 0 or self._left < 0:
            return None
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list | tuple):
            return [self.plain(item, depth - 1) for item in value]
        if isinstance(value, Entries):
            return self._entries(value.items, depth)
        return self._object(value, depth) if isinstance(value, Made) else None

    def _entries(self, items: Iterable[tuple[Any, Any]], depth: int) -> Entries:
        pairs = [(self.plain(k, depth - 1), self.plain(v, depth - 1)) for k, v in items]
        return Entries(pairs)

    def _object(self, result: Made, depth: int) -> Any:
        numbers = array_of(result)
        if numbers is not None:
            values = numbers.tolist()
            return values if numbers.ndim else float(values)
        if result.items:
            return self._entries(result.items, depth)
        state = result.state
        if isinstance(state, tuple) and len(state) == 5 and isinstance(state[4], list):
            return self.plain(state[4], depth - 1)  # an array of objects
        if isinstance(state, tuple) and len(state) == 2:  # what __dict__ and __slots__ hold
            state = state[1] if isinstance(state[1], Entries) else state[0]
        if state is None and isinstance(result.arguments, tuple):
            return [self.plain(item, depth - 1) for item in result.arguments]
        return self.plain(state, depth - 1)


def array_of(made: Made) -> np.ndarray[Any, Any] | None:
    """The numbers of a numpy scalar or array; None for anything else."""
    if not isinstance(made.by, Name) or not made.by.module.startswith("numpy"):
        return None
    try:
        if made.by.name == "scalar":
            kind, data = made.arguments
            return np.frombuffer(_bytes(data), _dtype(kind), 1)[0:1].reshape(())
        if made.by.name == "_frombuffer":
            data, kind, shape, order = made.arguments
            return np.frombuffer(_bytes(data), _dtype(kind)).reshape(shape, order=order)
        if made.by.name == "_reconstruct" and made.state is not None:
            _, shape, kind, by_columns, data = made.state
            array = np.frombuffer(_bytes(data), _dtype(kind))
            return array.reshape(shape, order="F" if by_columns is True else "C")
    except (ValueError, TypeError):
        return None
    return None


def _bytes(data: Any) -> bytes:
    if isinstance(data, Made) and isinstance(data.arguments, tuple) and data.arguments:
        text = data.arguments[0]  # protocols 0 to 2 spell bytes as an encoded text
        return str(text).encode("latin-1")
    if isinstance(data, str):
        return data.encode("latin-1")
    if not isinstance(data, bytes | bytearray):
        raise TypeError("no bytes")
    return bytes(data)


def _dtype(result: Any) -> np.dtype[Any]:
    """A dtype of plain numbers; ValueError for any other."""
    code = str(result.arguments[0]) if isinstance(result, Made) and result.arguments else ""
    state = result.state if isinstance(result, Made) else None
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    if not _DTYPE.fullmatch(code) or order not in _ORDERS:
        raise ValueError("no dtype of numbers")
    return np.dtype(_ORDERS[order] + code[-2:])
