"""Command lines at random: real commands and options, with words that may fit or not."""

from __future__ import annotations

import argparse
import io
import shlex
from functools import cache
from random import Random

from fuzzing.mutations import ODD_FLOATS, ODD_INTEGERS, ODD_TEXTS
from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.session import Session
from nnshell.support.settings import SETTINGS

# Commands that wait for a person, run for long, or hand the line to another program.
_LEFT_OUT = {"py", "run_pyscript", "tutorial", "edit", "doctor"}

NODES = (
    *("input_1", "output_1", "5", "-1", "*", "2:5", "99", "3_0", "0:", ":3", "_Conv_0", "_Relu_1"),
    *("_Conv*", "Conv", "a,b", "_Conv_0, 5", "5:2", "_Conv_0_fusion", "*/*", "9" * 5000 + "_0"),
    *("_Gemm_7", "_Conv_3_fusion/_Conv_3", "1,2,3", "-99", "_Flatten_6", "constant*", "[", "3_9"),
)
FILES = (
    *("model.onnx", "other.onnx", "bad.onnx", "model.json", "stats.json", "img", "img/*", "x.npz"),
    *("img/a_1.png", "missing.onnx", "missing/*", "out", "out/", "out/new/x.json", "/dev/full"),
    *("/dev/null", "/proc/self/nothing", "/etc/passwd", "", ".", "..", "~", "model.onnx/x", "a\0b"),
    *("script.nns", "x" * 300, "sample:lenet", "sample:nothing", "sample:calibration", "x.tflite"),
)
_WORDS = (
    *("rgb888", "offset_int8", "none", "shift_int8", "bw8", "scale8", "float", "pow2", "channel"),
    *("tensor", "std3", "SQ8", "POW2", "clip_type=std3", "narrow_weights=false", "weight_bits=4"),
    *("ALLOCATE", "1", "0", "true", "false", "on", "csv", "json", "plain", "in0=[1,3,8,8]"),
    *("N=2", "batch=1", "x: x/128-1", "3,12,12", "2,0,1", "0,0,0", "fuse-conv", "debug", "error"),
    *("fold-batch-norm", "expression_matcher", "scaled_match_group", "RGB", "L", "uint8"),
)
_SYNTAX = (
    *("'", '"', "\\", "#", ";", ">", ">>", "|", "$(", "$(HOME)", "$(NOPE)", "{x}", "`", "!", "@"),
    *("--", "-", "\u2013", "\u2014q", "&&", "*", "?", "~", "\t", "\0", "\x1b[2J", "\ufeff", "\r"),
    *("é", "😀", "\u202e", "\xa0", "=", "--=", "[", "(", ")", "<", "%", "x" * 20_000, "\x0b"),
)
_TARGETS = ("out.txt", "/dev/full", "missing/x", "img", "model.onnx/x", "", "two words", "'q'")


@cache
def _parsers() -> dict[str, argparse.ArgumentParser | None]:
    """The commands and their parsers."""
    shell = Shell(Session(), command_sets(), stdin=io.StringIO(), stdout=io.StringIO())
    found: dict[str, argparse.ArgumentParser | None] = {}
    for name in (*shell.get_visible_commands(), "_eof", "shortcuts"):
        function = shell.get_command_func(name)
        found[name] = shell.command_parsers.get(function) if function is not None else None
    return found


def some_value(random: Random) -> str:
    kind = random.randrange(8)
    if kind < 2:
        return random.choice(FILES)
    if kind < 4:
        return random.choice(NODES)
    if kind < 6:
        return random.choice(_WORDS)
    if kind == 6:
        return str(random.choice((*ODD_INTEGERS, *ODD_FLOATS, 1, 2, 8, 12)))
    return random.choice((*ODD_TEXTS, *SETTINGS))


def command_line(random: Random, names: tuple[str, ...] = ()) -> str:
    """A command with options and arguments of its own, quoted as a careful person would."""
    parsers = _parsers()
    known = sorted(parsers)
    name = random.choice(names or known)
    while name in _LEFT_OUT and not names:
        name = random.choice(known)
    words = [name]
    parser = parsers.get(name)
    if parser is not None:
        words += _arguments(random, parser)
    elif random.random() < 0.5:
        words += [some_value(random) for _ in range(random.randrange(3))]
    return " ".join(shlex.quote(word) if word not in ("|",) else word for word in words)


def _arguments(random: Random, parser: argparse.ArgumentParser) -> list[str]:
    words: list[str] = []
    for action in parser._actions:
        chance = 0.7 if not action.option_strings else 0.12
        if random.random() < chance and action.dest != "help":
            if action.option_strings:
                words.append(random.choice(action.option_strings))
            words += [_fitting(random, action) for _ in range(_count(random, action))]
    if random.random() < 0.05:
        words.append(random.choice(("--nope", "-Z", "--", "-h", "--help", some_value(random))))
    return words


def _count(random: Random, action: argparse.Action) -> int:
    if action.nargs == 0:
        return 0
    if isinstance(action.nargs, int):
        return action.nargs
    return {None: 1, "?": random.choice((0, 1))}.get(action.nargs, random.choice((1, 1, 2, 6)))


def _fitting(random: Random, action: argparse.Action) -> str:
    """Mostly of the kind that the action takes."""
    if random.random() < 0.2:
        return some_value(random)
    if action.choices:
        return str(random.choice(sorted(map(str, action.choices))))
    if action.type in (int, float):
        return str(random.choice((0, 1, 2, 12, -1, 255, *ODD_INTEGERS, *ODD_FLOATS)))
    names = f"{action.dest} {action.metavar}".lower()
    if any(part in names for part in ("file", "path", "dir", "script", "npz")):
        return random.choice(FILES)
    if any(part in names for part in ("select", "node", "step", "first", "last", "input", "names")):
        return random.choice(NODES)
    return some_value(random)


def redirected(random: Random, line: str) -> str:
    kind = random.randrange(8)
    if kind == 0:
        return f"{line} {random.choice(('>', '>>'))} {random.choice(_TARGETS)}"
    if kind == 1:
        return f"{line} | {random.choice(('cat', 'head -1', 'false', 'nosuchprogram', ''))}"
    return line


def spoiled_line(random: Random, line: str) -> str:
    """Words and characters put in, taken out and moved."""
    for _ in range(random.choice((1, 1, 2, 5))):
        start = random.randrange(len(line) + 1)
        stop = min(len(line), start + random.choice((0, 0, 1, 5)))
        put = random.choice((*_SYNTAX, some_value(random), ""))
        line = line[:start] + put + line[stop:]
    return line
