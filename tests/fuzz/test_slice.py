"""A few cases of every category of scripts/fuzz.py, the same each time.

`python scripts/fuzz.py` runs ten thousand; what it prints about a finding runs that case again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing.cases import Violation, check_message, refused
from fuzzing.categories import CATEGORIES

from nnshell.support.errors import GraphError, ModelError

_FUZZ = Path(__file__).parents[2] / "scripts" / "fuzz.py"

if sys.platform == "win32":
    pytest.skip("the fuzzer forks", allow_module_level=True)


def fuzz(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(_FUZZ), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_bad_inputs_end_in_one_line_or_a_result() -> None:
    done = fuzz("--cases", "50", "--seed", "1", "--processes", "2")
    assert done.returncode == 0, done.stdout
    for category in CATEGORIES:
        assert category.name in done.stdout


def test_a_case_can_be_run_again() -> None:
    done = fuzz("--only", "onnx-bytes", "--case", "3", "--seed", "1")
    assert done.returncode == 0 and "onnx-bytes" in done.stdout


@pytest.mark.parametrize(
    "text", ["", "two\nlines", "Traceback (most recent call last)", "KeyError: 'x'", "x" * 5000]
)
def test_a_message_that_no_user_should_read_is_a_finding(text: str) -> None:
    with pytest.raises(Violation):
        check_message(text)


def test_only_errors_of_ours_count_as_refused() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert refused(lambda: fail(GraphError("no")))
    assert refused(lambda: fail(ModelError("2 nodes of x cannot be imported", details=["a", "b"])))
    assert not refused(lambda: None)
    with pytest.raises(IndexError):
        refused(lambda: fail(IndexError("bug")))
