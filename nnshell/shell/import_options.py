"""The options of importing a model, the same for `open` and for the process command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, TypeVar

from nnshell.errors import UsageError

_FLAGS = (
    ("load_quantization", ("-q",), "use the quantization in the model file"),
    ("no_fold_batchnorm", (), "keep batch normalizations as steps"),
    ("no_remove_quantize_ops", (), "keep quantize and dequantize steps"),
    ("no_rescale_perchannel", (), "keep per-tensor weight scales"),
    ("use_hard_tanh", (), "read tanh as hard tanh"),
    ("use_hard_sigmoid", (), "read sigmoid as hard sigmoid"),
    ("use_lut_tanh", (), argparse.SUPPRESS),
    ("use_lut_sigmoid", (), argparse.SUPPRESS),
)
_LISTS = (
    ("subs", "NAME=N", "sizes of symbolic dimensions, as batch=1"),
    ("input_shapes", "NAME=[N,...]", "shapes of inputs"),
    ("fixed_inputs", "NAME=[X,...]", "inputs that become constants"),
)
_VALUES = (
    ("orgmodel_path", "FILE", "with a state: the model's path now"),
    ("out_ranges", "FILE", "output ranges, as JSON"),
)


_NOT_HERE = {
    "load_quantization": "quantization held in a model is not read; quantize with `aquant`",
    "no_remove_quantize_ops": "quantize and dequantize steps are not read",
    "no_rescale_perchannel": "quantization held in a model is not read",
    "use_hard_tanh": "tanh stays tanh",
    "use_hard_sigmoid": "sigmoid stays sigmoid",
    "fixed_inputs": "freeze inputs to constants before, with the tool that made the model",
    "out_ranges": "give ranges with `aquant --stats FILE`",
}


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """Add NNTool's import options to a parser."""
    group = parser.add_argument_group("importing the graph")
    for name, short, text in _FLAGS:
        group.add_argument(*short, *_spellings(name), action="store_true", help=text)
    for name, metavar, text in _LISTS:
        group.add_argument(*_spellings(name), nargs="+", metavar=metavar, help=text)
    for name, metavar, text in _VALUES:
        group.add_argument(*_spellings(name), metavar=metavar, help=text)


def import_words(parsed: argparse.Namespace) -> list[str]:
    """The given import options as words of an `open` command."""
    words = [f"--{name}" for name, _, _ in _FLAGS if getattr(parsed, name)]
    for name, _, _ in _VALUES:
        if getattr(parsed, name) is not None:
            words += [f"--{name}", getattr(parsed, name)]
    for name, _, _ in _LISTS:
        if getattr(parsed, name) is not None:
            words += [f"--{name}", *getattr(parsed, name)]
    return words


def _spellings(name: str) -> tuple[str, ...]:
    dashed = name.replace("_", "-")
    return (f"--{name}",) if dashed == name else (f"--{name}", f"--{dashed}")


def import_values(parsed: argparse.Namespace) -> dict[str, Any]:
    """The given import options as arguments of ``open_graph``; UsageError for those not had."""
    for name, reason in _NOT_HERE.items():
        if getattr(parsed, name):
            raise UsageError(f"--{name} is not part of nnshell: {reason}")
    return {
        "fold_batchnorm": not parsed.no_fold_batchnorm,
        "subs": _pairs(parsed.subs, _size, "batch=1"),
        "input_shapes": _pairs(parsed.input_shapes, _shape, "input=[1,3,32,32]"),
        "model_path": parsed.orgmodel_path,
    }


Parsed = TypeVar("Parsed")


def _pairs(
    words: list[str] | None, parse: Callable[[str], Parsed], example: str
) -> dict[str, Parsed]:
    pairs = {}
    for word in words or ():
        name, equals, text = word.rpartition("=")
        try:
            value = parse(text)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise UsageError(f"'{word}' is not NAME=VALUE", hint=f"as {example}")
        pairs[name] = value
    return pairs


def _size(text: str) -> int:
    return int(text)


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.strip("[]() ").replace("x", ",").split(","))
