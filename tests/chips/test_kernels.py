"""Kernel tables: every kind of work has a kernel, every term a source, wrong files are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from nnshell.chips import Network, load_kernels, simulate_network
from nnshell.chips.model.counts import COUNTS, TileSizes
from nnshell.chips.model.geometry import geometry
from nnshell.chips.model.kernels import TABLES, Match
from nnshell.ir.work import Work, WorkKind
from nnshell.support.errors import UsageError

from .conftest import conv_work

WITHOUT_CODE = {"none"}
TEXT = (
    files("nnshell.chips.tables").joinpath("kernels_autotiler_sq8.toml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", TABLES)
def test_every_kind_of_work_has_a_kernel(name: str) -> None:
    kinds = {kind for kernel in load_kernels(name).kernels for kind in kernel.match.kinds}
    assert kinds == set(get_args(WorkKind)) - WITHOUT_CODE


@pytest.mark.parametrize("name", TABLES)
def test_every_term_says_where_it_comes_from(name: str) -> None:
    for kernel in load_kernels(name).kernels:
        assert kernel.terms, kernel.name
        for term in kernel.terms:
            assert len(term.source) > 5, f"{kernel.name}: {term.name}"
            assert term.cycles > 0, f"{kernel.name}: {term.name}"


@pytest.mark.parametrize(
    ("channels", "out", "kernel", "stride", "expected"),
    [
        (8, 12, 1, 1, "pointwise, few channels"),
        (64, 64, 1, 1, "pointwise"),
        (64, 64, 1, 2, "pointwise, strided"),
        (3, 8, 3, 1, "convolution 3x3"),
        (3, 8, 3, 2, "convolution 3x3, stride 2, padded before"),
        (3, 8, 5, 1, "convolution 5x5"),
        (3, 8, 7, 1, "convolution, any"),
    ],
)
def test_the_generator_choice_follows_kernel_size_and_channels(
    conv: Callable[..., Work], channels: int, out: int, kernel: int, stride: int, expected: str
) -> None:
    work = conv((channels, 16, 16), out, kernel, stride)
    assert load_kernels("autotiler-sq8").matching(work)[0].name == expected


@pytest.mark.parametrize("pads", [(0, 0, 1, 1), (0, 0, 0, 0)])
def test_a_filter_of_stride_2_that_starts_at_the_first_pixel_has_a_kernel_of_its_own(
    conv: Callable[..., Work], pads: tuple[int, int, int, int]
) -> None:
    work = conv((3, 16, 16), 8, 3, 2, pads=pads)
    assert load_kernels("autotiler-sq8").matching(work)[0].name == "convolution 3x3, stride 2"


def _core_cycles(network: Network) -> int:
    return simulate_network(network).layers[0].compute_cycles


def test_rows_that_start_in_one_bank_cost_more_than_wider_ones(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    strided = [
        _core_cycles(network(conv((3, 64, width), 8, 3, 2, pads=(0, 0, 1, 1))))
        for width in (128, 132)
    ]
    depthwise = [
        _core_cycles(network(conv((16, 64, width), 16, 3, 2, depthwise=True)))
        for width in (128, 132)
    ]
    assert strided[0] > 1.2 * strided[1] and depthwise[0] > 1.1 * depthwise[1]


@pytest.mark.parametrize(("pixels", "banks"), [(64, 1), (32, 2), (16, 4), (20, 16), (9, 0)])
def test_the_gather_of_a_matrix_knows_in_how_many_banks_the_rows_of_a_tile_start(
    conv: Callable[..., Work], pixels: int, banks: int
) -> None:
    nest = geometry(conv((256, 8, 16), 8, 1), matrix=True)
    out, rows, depth = (np.array([size]) for size in (8, pixels, 256))
    tile = TileSizes(nest, 8, out, rows, depth)
    names = {1: "one_bank", 2: "two_banks", 4: "four_banks", 16: "words"}
    found = {number: int(COUNTS[f"rows_in_{name}"](tile)[0]) for number, name in names.items()}
    assert found == {number: int(number == banks) for number in names}


def test_a_tile_costs_what_its_generated_code_takes(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    table = load_kernels("autotiler-sq8")
    layer = network(conv((8, 32, 32), 16))
    with_code, without = (
        simulate_network(layer, kernels=replace(table, tile_cycles=cycles)).layers[0]
        for cycles in (table.tile_cycles, 0)
    )
    if with_code.tiles == without.tiles:
        assert with_code.cycles - without.cycles == with_code.tiles * table.tile_cycles


def test_a_dilated_filter_takes_the_general_kernel(conv: Callable[..., Work]) -> None:
    work = conv((16, 16, 16), 16, 3, dilation=2, depthwise=True)
    assert load_kernels("autotiler-sq8").matching(work)[0].name == "depthwise, any"


def test_a_matrix_too_deep_for_l1_falls_back_to_the_plain_convolution(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    report = simulate_network(network(conv((8192, 2, 2), 64, 1)))
    assert report.layers[0].kernel == "convolution, any"
    assert report.fits


def test_a_third_table_is_a_file(
    tmp_path: Path, conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    path = tmp_path / "mine.toml"
    doubled = TEXT.replace("cycles = 16.0, per", "cycles = 32.0, per")
    path.write_text(doubled.replace('name = "autotiler-sq8"', 'name = "mine"'))
    layer = network(conv((8, 32, 32), 16))
    mine, given = simulate_network(layer, kernels=path), simulate_network(layer)
    assert mine.to_json()["kernels"] == "mine"
    assert mine.total_cycles > 1.5 * given.total_cycles


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('per = ["position_share", "depth"]', 'per = ["unheard"]', "unknown counts unheard"),
        ('layout = "chw"', 'layout = "whc"', "whc"),
        ('origin = "read"', 'origin = "guessed"', "guessed"),
        ('orders = [["rows"]]', 'orders = [["sideways"]]', "orders"),
        ("other = 10.0", "", "other"),
        ("other = 10.0", "other = nan", "nan is not a number"),
        ("accumulator_bytes = 4", "accumulator_bytes = inf", "inf is not a whole number"),
        ('name = "autotiler-sq8"', "name = ", "not valid TOML"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        load_kernels(path)


def test_an_unknown_table_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="autotiler-sq8, autotiler-pow2, pulp-nn"):
        load_kernels("cmsis-nn")


def test_a_match_holds_up_to_its_bounds_and_no_further() -> None:
    work = conv_work((10, 8, 8), 6, 3)  # 16 channels, both sides together
    assert Match(("conv",), channels_below=17).takes(work)
    assert not Match(("conv",), channels_below=16).takes(work)
    assert not Match(("depthwise",)).takes(work)
    for match, other in (
        (Match(("conv",), kernels=((3, 3),)), Match(("conv",), kernels=((1, 1), (5, 5)))),
        (Match(("conv",), strides=((1, 1),)), Match(("conv",), strides=((2, 2),))),
        (Match(("conv",), dilated=False), Match(("conv",), dilated=True)),
        (Match(("conv",), pads_before=True), Match(("conv",), pads_before=False)),
    ):
        assert match.takes(work) and not other.takes(work)
