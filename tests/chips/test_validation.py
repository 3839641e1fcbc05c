"""What the docs say of the published figures still holds, and memory plans are tight there."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nnshell.chips import Network, Parameters, simulate_network

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def scripts() -> dict[str, ModuleType]:
    """The validation script and the networks it compares."""
    found = {}
    names = ("published_networks", "simulator_fit", "validate_simulator")
    for name in names:
        known = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        assert known is not None and known.loader is not None
        module = importlib.util.module_from_spec(known)
        sys.modules[name] = module
        known.loader.exec_module(module)
        found[name] = module
    return found


def test_the_validation_table_of_the_docs_holds(scripts: dict[str, ModuleType]) -> None:
    said: list[str] = []
    assert scripts["validate_simulator"].main(["--check"], said.append) == 0, said


def test_published_networks_have_the_published_work(scripts: dict[str, ModuleType]) -> None:
    build = scripts["published_networks"].network
    macs = {name: build(name).macs for name in ("mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224")}
    assert macs["mobilenet_v1_1.0_224"] == pytest.approx(569e6, rel=0.005)
    assert macs["mobilenet_v2_1.0_224"] == pytest.approx(300e6, rel=0.01)


@pytest.mark.parametrize("l2_size", [200_000, 300_000, 400_000])
@pytest.mark.parametrize("name", ["mobilenet_v1_1.0_224", "mobilenet_v2_1.0_128", "ds_cnn_medium"])
def test_l2_plans_are_within_a_twentieth_of_the_live_bytes(
    scripts: dict[str, ModuleType], name: str, l2_size: int
) -> None:
    network: Network = scripts["published_networks"].network(name)
    report = simulate_network(network, Parameters(l2_size=l2_size))
    assert report.memory.peak_bytes <= 1.05 * report.memory.live_bytes
    assert report.memory.peak_bytes <= l2_size


def test_more_l2_hardly_ever_costs_time(scripts: dict[str, ModuleType]) -> None:
    network: Network = scripts["published_networks"].network("mobilenet_v2_1.0_128")
    cycles = [
        simulate_network(network, Parameters(l2_size=size)).total_cycles
        for size in (150_000, 250_000, 350_000, 450_000)
    ]
    for less, more in itertools.pairwise(cycles):
        assert more <= 1.01 * less
