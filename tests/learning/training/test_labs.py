"""The lab of training in its fast form: directions, not figures."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the extra train")

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif("NNSHELL_TEST_DATA" not in os.environ, reason="needs NNSHELL_TEST_DATA")
def test_training_wins_back_what_few_bits_cost(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/labs/k_training.py")]
    command += [os.environ["NNSHELL_TEST_DATA"], "--fast", "--networks", "kws"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--tables", str(tmp_path)], check=True, env=environment)
    (file,) = tmp_path.glob("*.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["bits W/A"] for row in rows] == ["4/8", "3/8"]
    for row in rows:
        assert float(row["trained %"]) > float(row["untrained %"])
