"""SIGTERM, SIGHUP and SIGINT: nothing half-written, nothing left over, status 128 + n."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

_START = """
open sample:lenet
adjust
fusions --scale8
fquant
show > ready
"""
_BUSY = "gen model.c -M out -T out/tensors -t -H model.h\n" * 200


def _start(folder: Path, script: str) -> subprocess.Popen[str]:
    (folder / "script.nns").write_text(script)
    return subprocess.Popen(
        [sys.executable, "-m", "nnshell", "-s", "script.nns"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(folder), "OMP_NUM_THREADS": "1"},
    )


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_leaves_whole_sets_and_no_other_files(tmp_path: Path, name: str) -> None:
    process = _start(tmp_path, _START + _BUSY)
    _wait_for(tmp_path / "out" / "model.c", process)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + getattr(signal, name), errors
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.rglob(".nnshell-*")] == []
    assert (tmp_path / "out" / "model.h").exists()
    expected = "interrupted" if name == "SIGINT" else f"ended by {name}"
    assert errors.splitlines()[-1].endswith(expected)


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = _start(tmp_path, _START + "shell sleep 0.2\nset_var DONE yes\nset_var\n")
    finally:
        signal.signal(signal.SIGHUP, handler)
    _wait_for(tmp_path / "ready", process)
    process.send_signal(signal.SIGHUP)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "DONE" in output


def test_keep_going_does_not_go_on_after_the_end(tmp_path: Path) -> None:
    process = _start(tmp_path, _START + "shell sleep 5\n" + "show > after\n")
    _wait_for(tmp_path / "ready", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert not (tmp_path / "after").exists()
