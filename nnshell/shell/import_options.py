"""The options of importing a model, the same for `open` and for the process command line."""

from __future__ import annotations

import argparse

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
