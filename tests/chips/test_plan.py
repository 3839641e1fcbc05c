"""Where tensors and weights go: L2 while it has room, then L3, by the cheapest to move."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from nnshell.chips import Layer, Network, Parameters, simulate_network
from nnshell.chips.model.plan import Budget, lifetimes, make_plan
from nnshell.ir.work import Work


def _plan(network: Network, l2_bytes: int, *, io_bytes: int = 10**6, keep: bool = True):  # type: ignore[no-untyped-def]
    budget = Budget(l2_bytes, io_bytes, 1000, keep)
    return make_plan(network, budget, [0.0] * len(network.layers))


def _residual(vector: Callable[..., Work], conv: Callable[..., Work]) -> Network:
    """input -> a -> b -> c = a + b: a lives over two layers."""
    work, add = conv((8, 10, 10), 8), vector("elementwise", (8, 10, 10), 2)
    layers = (
        Layer("a", "conv2d", work, ("input",), "a"),
        Layer("b", "conv2d", work, ("a",), "b"),
        Layer("c", "add", add, ("a", "b"), "c"),
    )
    return Network("residual", layers, ("input",), ("c",))


def test_a_tensor_lives_from_its_maker_to_its_last_reader(
    vector: Callable[..., Work], conv: Callable[..., Work]
) -> None:
    lives = lifetimes(_residual(vector, conv))
    assert (lives["a"].first, lives["a"].last, lives["a"].reads) == (0, 2, 2)
    assert (lives["b"].first, lives["b"].last, lives["b"].reads) == (1, 2, 1)


def test_everything_stays_in_l2_when_it_fits(
    vector: Callable[..., Work], conv: Callable[..., Work]
) -> None:
    plan = _plan(_residual(vector, conv), 100_000)
    assert plan.spilled == set()
    assert plan.external == {"input", "c"}
    assert plan.weights == ["resident", "resident", "resident"]


def test_an_input_the_application_has_no_room_for_is_planned_with_the_rest(
    vector: Callable[..., Work], conv: Callable[..., Work]
) -> None:
    plan = _plan(_residual(vector, conv), 100_000, io_bytes=100)
    assert plan.external == plan.spilled == set()
    assert _plan(_residual(vector, conv), 1_000, io_bytes=100).spilled >= {"input", "c"}


def test_a_tensor_larger_than_l2_is_spilled(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    plan = _plan(
        network(conv((3, 50, 50), 16), conv((16, 50, 50), 4), conv((4, 50, 50), 4)), 15_000
    )
    assert plan.spilled == {"layer0"}


def test_weights_that_do_not_fit_beside_the_maps_are_brought_in_by_the_layer_before(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    works = [conv((64, 8, 8), 64, 3) for _ in range(6)]
    plan = _plan(network(*works), 90_000)
    assert plan.weights.count("prefetched") >= 2
    assert "resident" in plan.weights or plan.weights[0] == "prefetched"


def test_a_library_that_keeps_no_weights_brings_all_in(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    plan = _plan(network(*[conv((8, 8, 8), 8, 3) for _ in range(3)]), 100_000, keep=False)
    assert plan.weights == ["prefetched"] * 3


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(4, 64), st.integers(4, 40)), min_size=2, max_size=6),
    st.sampled_from([60_000, 120_000, 300_000]),
)
def test_the_packed_plan_fits_l2_or_the_report_says_by_how_much(
    sizes: list[tuple[int, int]], l2_size: int
) -> None:
    layers = []
    channels, size = 3, sizes[0][1]
    for number, (out, _) in enumerate(sizes):
        shape, output = (channels, size, size), (out, size, size)
        work = Work(
            "conv", (shape,), output, output, macs=channels * out * size * size,
            input_bytes=(channels * size * size,), output_bytes=out * size * size,
            weight_bytes=channels * out, constant_bytes=6 * out + 13,
        )  # fmt: skip
        source = f"t{number - 1}" if number else "input"
        layers.append(Layer(f"l{number}", "conv2d", work, (source,), f"t{number}"))
        channels = out
    network = Network("random", tuple(layers), ("input",), (f"t{len(sizes) - 1}",))
    report = simulate_network(network, Parameters(l2_size=l2_size))
    assert report.fits == (report.l2_peak_bytes <= l2_size)
    for at in range(len(layers)):
        here = report.memory.at(at)
        for one, other in itertools.pairwise(here):
            assert one.end_bytes <= other.offset_bytes


def test_an_addition_overwrites_the_input_that_nobody_reads_again(
    conv: Callable[..., Work], vector: Callable[..., Work]
) -> None:
    shape = (16, 20, 20)
    layers = (
        Layer("one", "conv2d", conv(shape, 16, 1), ("input",), "a"),
        Layer("two", "conv2d", conv(shape, 16, 1), ("a",), "b"),
        Layer("three", "add", vector("elementwise", shape, 2), ("a", "b"), "c"),
        Layer("four", "relu", vector("activation", shape), ("c",), "d"),
        Layer("five", "conv2d", conv(shape, 16, 1), ("d",), "e"),
    )
    report = simulate_network(Network("net", layers, ("input",), ("e",)))
    assert report.plan.in_place == {"c": "a", "d": "a"}
    maps = [e.buffer for e in report.memory.placements if e.buffer.kind == "activation"]
    (held,) = [buffer for buffer in maps if buffer.name == "a"]
    assert (held.first, held.last) == (0, 4)
    assert not {"c", "d"} & {buffer.name for buffer in maps}


def test_an_input_that_is_read_later_is_not_overwritten(
    conv: Callable[..., Work], vector: Callable[..., Work]
) -> None:
    shape = (16, 20, 20)
    layers = (
        Layer("one", "conv2d", conv(shape, 16, 1), ("input",), "a"),
        Layer("two", "relu", vector("activation", shape), ("a",), "b"),
        Layer("three", "add", vector("elementwise", shape, 2), ("a", "b"), "c"),
        Layer("four", "conv2d", conv(shape, 16, 1), ("c",), "d"),
    )
    report = simulate_network(Network("net", layers, ("input",), ("d",)))
    assert "b" not in report.plan.in_place
