"""Everything that reads what a stranger wrote, as functions of bytes.

Each ends in a result or in NNShellError, whatever the bytes are. ``scripts/fuzz_readers.py`` drives
them with the coverage of the code; the files that it found worth keeping are in tests/fuzz/corpus.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from fuzzing.cases import check_message
from nnshell import flow
from nnshell.chips.model.chip import load_chip
from nnshell.chips.model.kernels import load_kernels
from nnshell.importers.onnx.file import read_whole
from nnshell.importers.tflite.importer import import_tflite
from nnshell.inputs.datasets import read_cifar_python, read_idx
from nnshell.inputs.labels import read_labels
from nnshell.inputs.norm_parser import parse_norm
from nnshell.ir.select import select
from nnshell.quantization import load_statistics
from nnshell.session.project import Project
from nnshell.shell.lines import scan
from nnshell.shell.makefiles.functions import Undecided
from nnshell.shell.makefiles.read import read_makefile
from nnshell.shell.options import options_file
from nnshell.state.read import read_state
from nnshell.support.errors import NNShellError
from nnshell.tutorials.walkthrough import parse

Reader = Callable[[bytes, Path], object]


@cache
def _lenet() -> Project:
    return flow.open_graph("sample:lenet")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _file(read: Callable[[Path], object], name: str) -> Reader:
    """A reader of files called ``name``."""

    def run(data: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(data)
        return read(path)

    return run


def _norm(data: bytes, _: Path) -> object:
    return parse_norm(_text(data))(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))


def _makefile(path: Path) -> object:
    makefile = read_makefile(str(path))
    for name in makefile.variables:
        with contextlib.suppress(Undecided):
            makefile.value(name)
    return makefile


def _samples(path: Path) -> object:
    project = _lenet()
    return [batch.arrays for batch in flow.batches_of(project, flow.load_inputs(str(path)))]


READERS: dict[str, Reader] = {
    "cifar": _file(lambda path: read_cifar_python(str(path)), "data_batch_1"),
    "chip": _file(load_chip, "chip.toml"),
    "idx": _file(lambda path: read_idx(str(path), 10), "t10k-images-idx3-ubyte"),
    "kernels": _file(load_kernels, "kernels.toml"),
    "labels": _file(lambda path: read_labels(str(path), ["a.png", "b.png"]), "labels.csv"),
    "labels-json": _file(lambda path: read_labels(str(path), ["a.png", "b.png"]), "labels.json"),
    "line": lambda data, _: scan(_text(data), {"A": "b c", "_": ""}),
    "makefile": _file(_makefile, "Makefile"),
    "norm": _norm,
    "npy": _file(_samples, "x.npy"),
    "npz": _file(_samples, "x.npz"),
    "onnx": _file(read_whole, "model.onnx"),
    "options": _file(lambda path: options_file(str(path)), "options.json"),
    "pickle": _file(load_statistics, "stats.pickle"),
    "picture": _file(_samples, "picture.ppm"),
    "selector": lambda data, _: select(_lenet().graph, _text(data)),
    "state": _file(read_state, "model.json"),
    "statistics": _file(load_statistics, "stats.json"),
    "tflite": _file(import_tflite, "model.tflite"),
    "tutorial": lambda data, _: parse(_text(data), "tutorial"),
}


def check(name: str, data: bytes, folder: Path) -> bool:
    """Whether the reader takes the bytes; anything but NNShellError in one line passes on."""
    try:
        READERS[name](data, folder)
    except NNShellError as error:
        check_message(str(error))
        return False
    return True
