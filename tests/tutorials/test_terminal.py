"""A tutorial in a real terminal: Enter, Ctrl-C, a narrow window."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nnshell

pexpect = pytest.importorskip("pexpect", reason="pexpect drives a terminal")
if sys.platform == "win32":
    pytest.skip("needs a POSIX terminal", allow_module_level=True)

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")
_COLUMNS = 70


class Terminal:
    """nnshell in a narrow terminal, in an empty folder."""

    def __init__(self, home: Path) -> None:
        environment = os.environ | {
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "PYTHONPATH": str(Path(nnshell.__file__).parents[1]),
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "COLUMNS": str(_COLUMNS),
        }
        self.child: Any = pexpect.spawn(
            sys.executable,
            ["-m", "nnshell.cli"],
            env=environment,
            cwd=str(home),
            dimensions=(40, _COLUMNS),
            encoding="utf-8",
            timeout=90,
        )
        self.seen = ""
        self.expect(r"\(NNT\)")

    def expect(self, pattern: str) -> str:
        """Wait for a text; everything that was sent up to it since the last one."""
        give_up = time.monotonic() + 90
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < give_up, f"no {pattern!r} in {self.seen!r}"
            try:
                self.seen += _ESCAPES.sub("", self.child.read_nonblocking(4096, timeout=0.2))
            except pexpect.TIMEOUT:
                continue
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path)
    yield opened
    opened.child.close(force=True)


def test_keys_of_a_tutorial(terminal: Terminal) -> None:
    terminal.child.send("tutorial lenet\r")
    shown = terminal.expect(r"again \| quit\)")
    assert "Step 1 of 15: Open the model" in shown
    assert max(len(line) for line in shown.splitlines()) <= _COLUMNS
    terminal.child.send("\x03")  # Ctrl-C is not Enter
    terminal.expect(r"\^C")
    terminal.child.send("graph\r")
    assert "lenet.onnx" not in terminal.expect("Still to do: open sample:lenet")
    terminal.child.send("\r")
    terminal.expect("62,006")
    terminal.expect("4 checks hold; Enter: next step")
    terminal.child.send("!echo be''gun; sleep 60\r")
    terminal.expect("begun")
    terminal.child.send("\x03")
    terminal.expect("stopped")
    terminal.child.send("\r")
    terminal.expect("Step 2 of 15")
    terminal.child.send("quit\r")
    terminal.expect("--step 2` goes on")
    terminal.child.send("quit\r")
    terminal.child.expect(pexpect.EOF)
    terminal.child.close()
    assert terminal.child.exitstatus == 0
