"""The options of importing a model, the same for `open` and for the process command line."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from nnshell.support.errors import UsageError

_LOG = logging.getLogger(__name__)

_FLAGS = (
    ("load_quantization", ("-q",), "Take over the quantization that a model file holds."),
    ("no_fold_batchnorm", (), "Keep batch normalizations as steps."),
    ("no_remove_quantize_ops", (), argparse.SUPPRESS),
    ("no_rescale_perchannel", (), argparse.SUPPRESS),
    ("use_hard_tanh", (), argparse.SUPPRESS),
    ("use_hard_sigmoid", (), argparse.SUPPRESS),
    ("use_lut_tanh", (), argparse.SUPPRESS),
    ("use_lut_sigmoid", (), argparse.SUPPRESS),
)
_LISTS = (
    ("subs", "NAME=N", "Sizes of symbolic dimensions, for example batch=1."),
    ("input_shapes", "NAME=[N,...]", "Shapes of graph inputs."),
    (
        "outputs",
        "NAME,...",
        "Tensors or nodes of the model file to end at, instead of its outputs.",
    ),
    ("fixed_inputs", "NAME=[X,...]", argparse.SUPPRESS),
)
_VALUES = (
    ("orgmodel_path", "FILE", "Path of the model now, when a state is opened."),
    ("out_ranges", "FILE", argparse.SUPPRESS),
)

# Without effect, as the result is the same either way.
_IDLE = {
    "no_remove_quantize_ops": "operators that only quantize are always left out",
    "no_rescale_perchannel": "for one weight scale use `qtune --step * quantized_dimension=tensor`",
}
_NOT_HERE = {
    "use_hard_tanh": "tanh stays tanh",
    "use_hard_sigmoid": "sigmoid stays sigmoid",
    "fixed_inputs": "freeze inputs to constants before, with the tool that made the model",
    "out_ranges": "give ranges with `aquant --stats FILE`",
}


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """Add NNTool's import options to a parser."""
    group = parser.add_argument_group("importing the graph")
    for name, short, text in _FLAGS:
        add_option(group, name, *short, action="store_true", help=text)
    for name, metavar, text in _LISTS:
        add_option(group, name, nargs="+", metavar=metavar, help=text)
    for name, metavar, text in _VALUES:
        add_option(group, name, metavar=metavar, help=text)


def add_option(group: argparse._ArgumentGroup, name: str, *short: str, **form: Any) -> None:
    """``--x_y``, and out of help's sight ``--x-y``."""
    group.add_argument(*short, f"--{name}", **form)
    dashed = name.replace("_", "-")
    if dashed != name:
        hidden = {**form, "dest": form.get("dest", name), "help": argparse.SUPPRESS}
        group.add_argument(f"--{dashed}", **{**hidden, "default": argparse.SUPPRESS})


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


def import_values(parsed: argparse.Namespace) -> dict[str, Any]:
    """The given import options as arguments of ``open_graph``; UsageError for those not had."""
    for name, reason in _IDLE.items():
        if getattr(parsed, name):
            _LOG.warning("--%s changes nothing: %s", name, reason)
    refuse_not_here(parsed)
    return {
        "fold_batchnorm": not parsed.no_fold_batchnorm,
        "subs": _pairs(parsed.subs, _size, "batch=1"),
        "input_shapes": _pairs(parsed.input_shapes, _shape, "input=[1,3,32,32]"),
        "model_path": parsed.orgmodel_path,
        "load_quantization": parsed.load_quantization,
        "outputs": _names(parsed.outputs),
    }


def refuse_not_here(parsed: argparse.Namespace) -> None:
    """UsageError with the reason for options that are NNTool's only."""
    for name, reason in _NOT_HERE.items():
        if getattr(parsed, name):
            raise UsageError(f"--{name} is not part of nnshell: {reason}")


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


def _names(words: list[str] | None) -> list[str] | None:
    if words is None:
        return None
    return [name for word in words for name in word.split(",") if name]


def _size(text: str) -> int:
    return int(text)


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.strip("[]() ").replace("x", ",").split(","))
