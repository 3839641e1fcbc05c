"""The prompt in a real terminal: completion, Ctrl-C, history."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pexpect = pytest.importorskip("pexpect", reason="pexpect drives a terminal")
if sys.platform == "win32":
    pytest.skip("needs a POSIX terminal", allow_module_level=True)

_ROOT = Path(__file__).parents[2]
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


class Terminal:
    """nnshell in a terminal of 100 by 30 characters."""

    def __init__(self, home: Path) -> None:
        environment = os.environ | {
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "PYTHONPATH": str(_ROOT),
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
        }
        environment.pop("NO_COLOR", None)
        self.child: Any = pexpect.spawn(
            sys.executable,
            ["-m", "nnshell.cli"],
            env=environment,
            cwd=str(home),
            dimensions=(30, 100),
            encoding="utf-8",
            timeout=90,
        )
        self._sent = ""
        self.expect(r"\(NNT\)")

    def type(self, text: str) -> None:
        self.child.send(text)

    def expect(self, pattern: str, seconds: float = 90.0) -> str:
        """Wait until the screen was sent this text; what was sent since the last one waited for."""
        give_up = time.monotonic() + seconds
        while not (found := re.search(pattern, self._text())):
            assert time.monotonic() < give_up, f"no {pattern!r} in {self._text()!r}"
            with contextlib.suppress(pexpect.TIMEOUT):
                self._sent += self.child.read_nonblocking(4096, timeout=0.2)
        before, self._sent = self._text()[: found.end()], self._text()[found.end() :]
        return before

    def _text(self) -> str:
        return _ESCAPES.sub("", self._sent)

    def status(self) -> int | None:
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus  # type: ignore[no-any-return]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path)
    yield opened
    opened.child.close(force=True)


def test_completion_a_failing_command_and_quit(terminal: Terminal) -> None:
    terminal.type("set l1_s\t")
    terminal.expect("ize")
    terminal.type("48000\r")
    terminal.expect("now: 48000")
    terminal.type("hlep\r")
    terminal.expect("did you mean help")
    terminal.type("quit\r")
    assert terminal.status() == 0


def test_interrupting_a_command_and_a_line_keeps_the_session(terminal: Terminal) -> None:
    terminal.type("set l1_size 48000\r")
    terminal.expect("now: 48000")
    terminal.type("!echo be''gun; sleep 60\r")
    terminal.expect("begun")
    terminal.type("\x03")
    terminal.expect(r"stopped; graph and settings")
    terminal.expect(r"\(NNT\)")
    terminal.type("set l2_size 1")
    terminal.expect("l2_size 1")
    terminal.type("\x03")
    terminal.expect(r"\^C")
    terminal.expect(r"\(NNT\)")
    terminal.type("set l2_size\r")
    terminal.expect("l2_size: 300000")
    terminal.type("set l1_size\r")
    terminal.expect("l1_size: 48000")


def test_typed_lines_survive_a_kill_and_come_back(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type("set l1_size 48000\r")
    terminal.expect("now: 48000")
    terminal.child.kill(signal.SIGKILL)
    terminal.child.expect(pexpect.EOF)
    history = tmp_path / "state" / "nnshell" / "history"
    assert history.read_text() == "set l1_size 48000\n"
    again = Terminal(tmp_path)
    again.type("\x1b[A\r")  # the up key
    again.expect("now: 48000")
    again.child.close(force=True)


@pytest.mark.skipif(shutil.which("less") is None, reason="needs less")
def test_what_is_longer_than_the_window_is_paged(terminal: Terminal) -> None:
    terminal.type("set -v\r")
    shown = terminal.expect(r"\n:")
    assert "load_quantization" in shown and "l1_size" not in shown
    terminal.type("q")
    terminal.expect(r"\(NNT\)")
    terminal.type("set_var SHORT yes\r")  # fits: no pager in between
    terminal.expect(r"\(NNT\)")


def test_a_table_fits_the_terminal(terminal: Terminal) -> None:
    terminal.type("set pager false\r")
    terminal.expect(r"now: False")
    terminal.type("set -v\r")
    shown = terminal.expect(r"l1_size[^\r\n]*\r?\n")
    assert "Meaning" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100
