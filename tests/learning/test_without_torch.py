"""Training is an extra: without torch one line says so; nothing imports it before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nnshell import flow
from nnshell.session import training
from nnshell.support.errors import UsageError

LOADED = """
import sys
from nnshell import flow
from nnshell.shell.app import Shell
from nnshell.shell.session import Session
import nnshell
nnshell.TrainingOptions, nnshell.train
assert "torch" not in sys.modules, "torch was imported"
"""


def test_without_torch_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs torch") as caught:
        training.train(flow.open_graph("sample:lenet"), "sample:calibration")
    assert "nnshell[train]" in caught.value.hint
    assert "\n" not in str(caught.value)


def test_nothing_imports_torch_before_training() -> None:
    subprocess.run([sys.executable, "-c", LOADED], check=True)
