"""Names that act on a terminal, in a model and of its file: no command prints one raw."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.session import Session

from .options.cases import COMMANDS, SETUPS
from .options.harness import Terminal, at_terminal_width
from .options.models import write_files

HOSTILE = "\x1b]0;owned\x07\x9b2J\r\u202e\x08"
_STYLE = re.compile(r"\x1b\[(?:[0-9;]*m|\?[0-9;]*[hl])")  # colours and the cursor, which are ours
_RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
_MODEL = f"model{HOSTILE}.onnx"


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_files(folder)
        _spoil(onnx.load("data.onnx"))
        Path(f"data{HOSTILE}.npz").write_bytes(Path("data.npz").read_bytes())
        yield folder


def _spoil(model: onnx.ModelProto) -> None:
    graph = model.graph
    graph.name += HOSTILE
    graph.doc_string = HOSTILE
    for node in graph.node:
        node.name += HOSTILE
        node.output[:] = [name + HOSTILE for name in node.output]
        constants = {tensor.name for tensor in graph.initializer}
        inputs = constants | {entry.name for entry in graph.input}
        node.input[:] = [n if n in inputs or not n else n + HOSTILE for n in node.input]
    for output in graph.output:
        output.name += HOSTILE
    onnx.save(model, _MODEL)


_SETUP = (f"open '{_MODEL}'", "adjust", "fusions --scale8", f"aquant 'data{HOSTILE}.npz'")


@pytest.mark.parametrize("stream", [Terminal, None], ids=["terminal", "pipe"])
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_command_prints_a_name_raw(
    name: str, stream: Callable[[], Terminal] | None, capfd: pytest.CaptureFixture[str]
) -> None:
    with at_terminal_width("120"):
        printed = "".join(_lines(name, stream or _pipe))
    captured = capfd.readouterr()
    for text in (printed, captured.out, captured.err):
        found = _RAW.search(_STYLE.sub("", text))
        assert found is None, f"{found[0]!r} in {text[max(0, found.start() - 80) :][:200]!r}"


def _pipe() -> Terminal:
    pipe = Terminal()
    pipe.isatty = lambda: False  # type: ignore[method-assign]
    return pipe


def _lines(name: str, stream: Callable[[], Terminal]) -> Iterator[str]:
    """What a command prints: alone, as it is used, with files of that name, in other forms."""
    command = COMMANDS[name]
    base = command.base.format(inputs=f"'data{HOSTILE}.npz'", model=f"'{_MODEL}'")
    words = [base, f"'{HOSTILE}'", f"{base} --no-such-option '{HOSTILE}'"]
    words += [f"{base} --format {form}" for form in ("plain", "csv")]
    shell = Shell(Session(), command_sets(), stdin=stream(), stdout=stream())
    for line in _SETUP if SETUPS[command.setup] else ():
        shell.onecmd_plus_hooks(line)
    assert shell.failures == 0, shell.last_failure
    restore = shell.session.remember()
    for entry in words:
        shell.onecmd_plus_hooks(f"{name} {entry}")
        if shell.guide is not None:
            shell.onecmd_plus_hooks("quit")
        restore()
        yield f"{shell.stdout.getvalue()}{shell.prompt}{shell.last_failure}"
        shell.stdout = stream()
        shell.last_failure = ""


def test_the_origin_of_nodes_is_escaped_and_there(capfd: pytest.CaptureFixture[str]) -> None:
    shell = Shell(Session(), command_sets(), stdin=_pipe(), stdout=_pipe())
    for line in (_SETUP[0], "show --origin"):
        shell.onecmd_plus_hooks(line)
    assert r"\x1b]0;owned\x07\x9b2J\r" in shell.stdout.getvalue()


@pytest.mark.parametrize("ending", ["dot", "svg", "html"])
def test_pictures_hold_no_raw_name(ending: str) -> None:
    if ending != "dot":
        pytest.importorskip("matplotlib")
        pytest.importorskip("jinja2")
    shell = Shell(Session(), command_sets(), stdin=_pipe(), stdout=_pipe())
    lines = {
        "dot": "draw -f picture.dot",
        "svg": "simulate --svg picture.svg",
        "html": "report picture.html",
    }
    for line in (_SETUP[0], lines[ending]):
        shell.onecmd_plus_hooks(line)
    assert shell.failures == 0, shell.last_failure
    assert not _RAW.search(Path(f"picture.{ending}").read_text())
