"""Chip files: what they hold, and what happens when they are wrong."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from nnshell.chips import load_chip
from nnshell.support.errors import UsageError

TEXT = files("nnshell.chips.tables").joinpath("chip.toml").read_text(encoding="utf-8")


def test_gap8_has_eight_cores_and_its_published_memories() -> None:
    chip = load_chip()
    assert (chip.cores, chip.l1_bytes, chip.l2_bytes) == (8, 65536, 524288)
    assert (chip.l3_ram_bytes, chip.l3_flash_bytes) == (8 * 2**20, 64 * 2**20)


def test_every_number_of_the_chip_file_names_its_source() -> None:
    values = [
        line for line in TEXT.splitlines() if "=" in line and not line.startswith(("#", "name"))
    ]
    unsourced = [
        line
        for line in values
        if not any(f"[{origin}]" in line for origin in ("read", "derived", "fitted"))
        and not line.startswith("reference_cluster_hz")
    ]
    assert unsourced == []


def test_short_lines_pay_the_latency_that_too_few_outstanding_reads_leave() -> None:
    port = load_chip().cluster_dma
    long, short = port.cycles(1, 4096), port.cycles(1024, 4)
    assert long == port.latency_cycles + 4096 / port.bytes_per_cycle
    assert short > 4 * long


def test_l3_lines_cost_a_request_each() -> None:
    external = load_chip().micro_dma
    one = external.fc_cycles(1, 4096, flash=False)
    many = external.fc_cycles(64, 64, flash=False)
    assert many - one == 63 * external.line_fc_cycles
    assert external.fc_cycles(1, 4096, flash=True) > one


def test_an_empty_transfer_costs_nothing() -> None:
    chip = load_chip()
    assert chip.cluster_dma.cycles(1, 0) == 0
    assert chip.micro_dma.fc_cycles(0, 64, flash=False) == 0


def test_the_lowest_voltage_that_runs_the_clocks_is_taken() -> None:
    chip = load_chip()
    assert chip.operating_point(50e6, 90e6).volt == 1.0
    assert chip.operating_point(250e6, 90e6).volt == 1.2
    assert chip.operating_point(1e9, 1e9).volt == 1.2


def test_another_chip_is_another_file(tmp_path: Path) -> None:
    path = tmp_path / "gap9.toml"
    path.write_text(TEXT.replace('name = "GAP8"', 'name = "GAP9"').replace("65536", "131072"))
    chip = load_chip(path)
    assert (chip.name, chip.l1_bytes) == ("GAP9", 131072)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bytes = 65536", "bytes = -1"),
        ("bytes = 65536", 'bytes = "64k"'),
        ("outstanding = 8", ""),
        ("outstanding = 8", "outstanding = 0"),
        ("volt = 1.2", "volt = 1e308"),
        ("bytes_per_cycle = 8.0", "bytes_per_cycle = 0"),
        ("bytes_per_cycle = 8.0", "bytes_per_cycle = nan"),
        ("[l1]", "[l1"),
    ],
)
def test_a_wrong_chip_file_is_refused_with_its_name(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(UsageError, match=r"bad\.toml"):
        load_chip(path)


def test_a_missing_chip_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the chip file"):
        load_chip(tmp_path / "none.toml")
