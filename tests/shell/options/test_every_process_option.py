"""Every option of the program's own command line, by discovery: with it the outcome differs."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from nnshell.cli import main
from nnshell.shell.invocation import _parser

from .cases import IMPORT, Fails
from .harness import Outcome
from .models import write_files

Words = tuple[str, ...]
_STATE = ("-g", "net.json")

# By longest spelling: what is typed without the option, and the option.
_CASES: dict[str, tuple[Words, Words]] = {
    "graph": (("-e", "graph"), ("data.onnx",)),
    "--script_file": (("-e", "set_var"), ("-s", "lines.nns")),
    "--execute": (("data.onnx",), ("-e", "show")),
    "--interactive": (("-e", "help formats"), ("-i",)),
    "--keep_going": (("-e", "nonsense", "-e", "help formats"), ("--keep-going",)),
    "--check": (("-e", "help formats"), ("--check",)),
    "-D": (("-e", "set_var"), ("-D", "A=1")),
    "--makefile": (("-e", "set_var Y $(X)", "-e", "set_var"), ("--makefile", "own.mk")),
    "--log_level": (("data.onnx", "-e", "astats square/* -D 255"), ("-l", "error")),
    "--generate": (("net.json",), ("-g",)),
    "--model_file": (_STATE, ("-m", "other.c")),
    "--model_directory": (_STATE, ("-M", "there")),
    "--tensor_directory": (_STATE, ("-T", "there")),
    "--header_file": (_STATE, ("-H", "net.h")),
    "--template_file": (_STATE, ("-c", "own.tpl")),
    "--basic_kernel_source_file": (_STATE, ("--basic_kernel_source_file", "own.c")),
    "--basic_kernel_header_file": (_STATE, ("--basic_kernel_header_file", "own.h")),
    "--dont_dump_tensors": (_STATE, ("-d",)),
    "--anonymise": (_STATE, ("--anonymise",)),
    "--version": ((), ("--version",)),
}
for _name, _case in IMPORT.items():
    _model = (_case.base or "data.onnx").format()
    _CASES[_name] = ((_model, "-e", "show"), tuple((_case.words or _name).split()))
_CASES["--load_quantization"] = (("integers.onnx", "-e", "qshow"), ("-q",))
_IDLE = {name for name, case in IMPORT.items() if case.idle}


def _options() -> dict[str, argparse.Action]:
    """By longest spelling, that with underscores where there are two."""
    actions: dict[str, argparse.Action] = {}
    for action in _parser()._actions:
        if not isinstance(action, argparse._HelpAction):
            spelling = max(action.option_strings or [action.dest], key=len)
            underscored = f"--{spelling[2:].replace('-', '_')}"
            actions.setdefault(underscored if spelling.startswith("--") else spelling, action)
    return actions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, with a state, and one whose model has moved."""
    path = tmp_path_factory.mktemp("process").resolve()
    write_files(path)
    with chdir(path):
        quantized = ["-e", "fusions --scale8", "-e", "aquant data.npz", "-e"]
        assert main(["data.onnx", *quantized, "save_state net.json"]) == 0
        assert main(["gone.onnx", *quantized, "save_state moved.json"]) == 0
        Path("gone.onnx").rename("found.onnx")
        yield path


def outcome(
    words: Words, folder: Path, capfd: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
) -> tuple[int, Outcome]:
    """Exit status, and what was printed, written and said; a line waits at standard input."""
    before = set(folder.rglob("*"))
    patch.setattr("sys.stdin", io.StringIO("help selectors\n"))
    capfd.readouterr()
    try:
        status = main(list(words))
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    said = capfd.readouterr()
    files = sorted(path for path in set(folder.rglob("*")) - before if path.is_file())
    written = tuple((str(path.relative_to(folder)), path.read_bytes()) for path in files)
    for path in files:
        path.unlink()
    return status, Outcome(said.out, written, (said.err,))


def test_every_option_has_a_case_and_every_case_an_option() -> None:
    assert set(_CASES) == set(_options())


@pytest.mark.parametrize("name", _options())
def test_an_option_changes_what_the_program_does(
    name: str,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words, option = _CASES[name]
    first = name in ("-D", "--script_file")
    typed = (*option, *words) if first else _after(words, option)
    without = outcome(words, folder, capfd, monkeypatch)
    with_it = outcome(typed, folder, capfd, monkeypatch)
    if name in _IDLE:
        assert with_it[0] == without[0] and with_it[1].printed == without[1].printed
        return
    assert with_it != without
    if name in IMPORT:
        assert (with_it[0] == 0) is (IMPORT[name].fails is not Fails.WITH)


def _after(words: Words, option: Words) -> Words:
    """The option after the file, before the commands."""
    files = 0 if words[:1] == () or words[0].startswith("-") else 1
    return (*words[:files], *option, *words[files:])
