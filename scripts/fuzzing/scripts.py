"""Bad scripts and command lines of the process, run in this process as `main` runs them."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from fuzzing.cases import (
    ACCEPTED,
    REFUSED,
    Violation,
    check_message,
    check_unchanged,
    snapshot,
)
from fuzzing.models import FIXED
from fuzzing.vocabulary import FILES, command_line, redirected, some_value, spoiled_line
from nnshell.cli import main

_GOOD_STARTS = (
    (),
    ("open model.onnx",),
    ("open model.onnx", "adjust", "fusions --scale8"),
    ("open model.onnx", "adjust", "fusions --scale8", "fquant --seed 1"),
    ("open model.onnx", "adjust", "fusions --scale8", "aquant img/* -D 255 -M RGB"),
    ("open other.onnx", "fquant"),
)
_WRITERS = ("save_state", "save_stats", "gen", "dump", "simulate", "validate", "draw", "tensors")
_EXITS = (0, 1, 2, 130)


def prepare(random: Random, folder: Path) -> None:
    """Files that scripts find in their folder."""
    for name, model in (("model", "lenet"), ("other", random.choice(sorted(FIXED)))):
        content = FIXED[model](random).model().SerializeToString()
        (folder / f"{name}.onnx").write_bytes(content)
    (folder / "bad.onnx").write_bytes(random.randbytes(200))
    (folder / "img").mkdir()
    for number in range(3):
        pixels = Image.frombytes("RGB", (12, 12), random.randbytes(432))
        pixels.save(folder / "img" / f"{'abc'[number]}_{number}.png")
    np.savez(folder / "x.npz", images=np.ones((2, 3, 12, 12), np.float32), labels=np.arange(2))
    (folder / "script.nns").write_text("set l1_size 1000\nshow\n")


@contextmanager
def _standard_input(text: str) -> Iterator[None]:
    kept, sys.stdin = sys.stdin, io.StringIO(text)
    try:
        yield
    finally:
        sys.stdin = kept


def run_main(words: Sequence[str], given: str = "") -> tuple[int, str]:
    """Exit status and what went to standard error."""
    errors = Path(os.environ["HOME"]) / "errors"
    sys.stderr.flush()
    before = errors.stat().st_size
    with _standard_input(given):
        try:
            status = main(list(words))
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else 1
    sys.stderr.flush()
    sys.stdout.flush()
    with errors.open("rb") as stream:
        stream.seek(before)
        printed = stream.read().decode(errors="replace")
    if status not in _EXITS:
        raise Violation(f"exit status {status}")
    if status == 1 and not printed.strip():
        raise Violation("exit status 1 without a message")
    for line in printed.splitlines():
        if line.strip() and status == 1:
            check_message(line)
    return status, printed


def script_case(random: Random, folder: Path) -> str:
    """A script: a start that works, then lines at random."""
    prepare(random, folder)
    lines = list(random.choice(_GOOD_STARTS))
    for _ in range(random.choice((1, 1, 2, 4))):
        line = redirected(random, command_line(random))
        lines.append(spoiled_line(random, line) if random.random() < 0.4 else line)
    text = random.choice(("\n", "\n", "\r\n")).join(lines) + random.choice(("\n", ""))
    given = [["-l", "error"], []][random.randrange(2)]
    given += ["--keep-going"] if random.random() < 0.4 else []
    given += ["--check"] if random.random() < 0.1 else []
    if random.random() < 0.25:
        status, _ = run_main([w for w in given if w != "--check"], text)
    else:
        content = text.encode("utf-8", "surrogatepass")
        if random.random() < 0.1:
            content = random.choice((b"\xff\xfe", b"\xef\xbb\xbf", b"\x80")) + content
        (folder / "fuzz.nns").write_bytes(content)
        status, _ = run_main([*given, "-s", "fuzz.nns"])
    return REFUSED if status else ACCEPTED


def writer_case(random: Random, folder: Path) -> str:
    """One command that writes; when it fails, everything on the disk is as it was."""
    prepare(random, folder)
    (folder / "model.json").write_text("kept")
    (folder / "out").mkdir()
    start = [word for line in random.choice(_GOOD_STARTS[2:]) for word in ("-e", line)]
    before = snapshot(folder)
    line = command_line(random, _WRITERS)
    status, _ = run_main([*start, "-e", line])
    if status:
        check_unchanged(folder, before)
    return REFUSED if status else ACCEPTED


_FLAGS = (
    *("-i", "--keep-going", "--check", "-g", "-q", "-d", "--anonymise", "-v", "-h", "--help", "--"),
    *("--version", "--nope", "-x", "-n", "--use_hard_tanh", "--no_fold_batchnorm"),
)
_WITH_VALUE = {
    **dict.fromkeys(("-s", "-m", "-M", "-T", "-H", "-c", "--orgmodel_path"), FILES),
    "-e": ("open model.onnx", "show", "nope", "", "quit", "set l1_size 5", "'"),
    "-l": ("debug", "INFO", "x", ""),
    "-D": ("A=1", "A", "=1", "A=", "1A=1", "A=$(A)", "HOME=x"),
    "--subs": ("N=2", "x", "N=", "N=-1"),
    "--input_shapes": ("in0=[1,3,12,12]", "in0=[", "in0=[0]", "x=[1]", "in0=1x3x12x12"),
    "--model_file": ("a/b.c", "", "model.c"),
}


def process_case(random: Random, folder: Path) -> str:
    """The options of the process in odd combinations."""
    prepare(random, folder)
    if random.random() < 0.4:
        _valid_state(folder)
    words: list[str] = []
    for _ in range(random.randrange(6)):
        kind = random.randrange(3)
        if kind == 0:
            words.append(random.choice(_FLAGS))
        elif kind == 1:
            option = random.choice(sorted(_WITH_VALUE))
            words += [option, random.choice(_WITH_VALUE[option])]
        else:
            words.append(random.choice((*FILES, "model.json", "model.onnx", some_value(random))))
    status, _ = run_main(words, random.choice(("", "show\n", "open model.onnx\nquit\n", "nope")))
    return REFUSED if status else ACCEPTED


def _valid_state(folder: Path) -> None:
    run_main(
        ["-e", "open model.onnx", "-e", "fusions --scale8", "-e", "fquant", "-e", "save_state"]
    )
    json.loads((folder / "model.json").read_text())
