"""Ctrl-C during long work, from outside: at the prompt and in a script."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

if sys.platform == "win32":
    pytest.skip("signals are POSIX's", allow_module_level=True)

_ROOT = Path(__file__).parents[2]
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")
_SAMPLES = 400_000  # seconds of calibration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """net.onnx, one.npz with a sample, many.npz with too many."""
    weights = np.random.default_rng(0).normal(0, 1, (64, 1, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv")],
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 13)])
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    np.savez(tmp_path / "one.npz", images=np.ones((1, 8, 8, 1), np.uint8))
    np.savez(tmp_path / "many.npz", images=np.ones((_SAMPLES, 8, 8, 1), np.uint8))
    return tmp_path


def test_a_script_stops_with_130_and_the_old_state(folder: Path) -> None:
    lines = "open net.onnx\naquant one.npz\nsave_state\nshow\naquant many.npz\nsave_state\n"
    (folder / "s.nns").write_text(lines)
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "nnshell", "-s", "s.nns"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "active memory" not in process.stdout.readline():  # the end of `show`
        assert process.poll() is None
    time.sleep(0.1)
    state = (folder / "net.json").read_bytes()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)  # 130 either way for who asks a shell
    assert errors.splitlines()[-1] == "s.nns:5: interrupted"
    assert (folder / "net.json").read_bytes() == state
    assert not list(folder.glob(".nnshell-*"))


@pytest.fixture
def screen(folder: Path) -> Iterator[Screen]:
    pexpect = pytest.importorskip("pexpect", reason="pexpect drives a terminal")
    child = pexpect.spawn(
        sys.executable,
        ["-m", "nnshell"],
        env=os.environ
        | {"HOME": str(folder), "XDG_STATE_HOME": str(folder), "PYTHONPATH": str(_ROOT)}
        | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        cwd=str(folder),
        dimensions=(30, 120),
        encoding="utf-8",
    )
    yield Screen(child, pexpect.TIMEOUT)
    child.close(force=True)


class Screen:
    """What a terminal shows."""

    def __init__(self, child: object, timeout: type[Exception]) -> None:
        self.child, self._timeout, self._sent = child, timeout, ""

    def type(self, text: str) -> None:
        self.child.send(text)  # type: ignore[attr-defined]

    def expect(self, pattern: str, seconds: float = 60.0) -> str:
        """Wait for a text; all that came before it."""
        give_up = time.monotonic() + seconds
        while not (found := re.search(pattern, _ESCAPES.sub("", self._sent))):
            assert time.monotonic() < give_up, f"no {pattern!r} in {self._sent!r}"
            with contextlib.suppress(self._timeout):
                self._sent += self.child.read_nonblocking(4096, 0.2)  # type: ignore[attr-defined]
        shown = _ESCAPES.sub("", self._sent)
        self._sent = shown[found.end() :]
        return shown[: found.end()]


def test_the_prompt_comes_back_with_the_graph_as_before(screen: Screen) -> None:
    screen.expect(r"\(NNT\)")
    screen.type("open net.onnx\r")
    screen.expect(r"net: inputs")
    screen.type("aquant many.npz\r")
    screen.expect(r"calibrating")
    time.sleep(0.1)
    screen.type("\x03")
    screen.expect(r"stopped; graph and settings are as before")
    screen.type("verify\r")
    screen.expect(r"0 of \d+ steps are quantized")
    screen.type("aquant one.npz\r")
    screen.expect(r"Quantization set")
    screen.type("verify\r")
    assert "Traceback" not in screen.expect(r"(\d+) of \1 steps are quantized")
