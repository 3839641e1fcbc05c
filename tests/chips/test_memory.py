"""Packing: buffers alive at the same time never overlap, and the peak is close to the bound."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nnshell.support.packing import Buffer, live_bytes, pack


@st.composite
def lives(draw: st.DrawFn) -> tuple[int, int, int]:
    first = draw(st.integers(0, 12))
    return draw(st.integers(0, 5000)), first, first + draw(st.integers(0, 6))


def _buffers(drawn: list[tuple[int, int, int]]) -> list[Buffer]:
    return [
        Buffer(f"t{number}", "activation", size, first, last)
        for number, (size, first, last) in enumerate(drawn)
    ]


@settings(max_examples=150, deadline=None)
@given(st.lists(lives(), max_size=25), st.sampled_from([1, 4, 8]))
def test_buffers_that_live_together_never_overlap(
    drawn: list[tuple[int, int, int]], alignment: int
) -> None:
    buffers = _buffers(drawn)
    found = pack(buffers, alignment)
    assert len(found.placements) == sum(buffer.size_bytes > 0 for buffer in buffers)
    for number, one in enumerate(found.placements):
        assert one.offset_bytes % alignment == 0
        assert one.end_bytes <= found.peak_bytes
        for other in found.placements[number + 1 :]:
            if one.buffer.meets(other.buffer):
                assert one.end_bytes <= other.offset_bytes or other.end_bytes <= one.offset_bytes


@settings(max_examples=100, deadline=None)
@given(st.lists(lives(), max_size=25))
def test_the_peak_is_never_below_the_live_bytes(drawn: list[tuple[int, int, int]]) -> None:
    buffers = _buffers(drawn)
    found = pack(buffers, 1)
    assert found.peak_bytes >= live_bytes(buffers) == found.live_bytes


def test_a_chain_packs_to_its_lower_bound() -> None:
    sizes = [400, 300, 200, 500, 100, 600, 50]
    chain = [Buffer(f"t{i}", "activation", size, i, i + 1) for i, size in enumerate(sizes)]
    assert pack(chain, 1).peak_bytes == live_bytes(chain) == 700


def test_what_lies_in_memory_at_a_step_is_listed_by_offset() -> None:
    found = pack([Buffer("a", "activation", 8, 0, 2), Buffer("b", "weights", 16, 1, 1)], 8)
    assert {entry.buffer.name for entry in found.at(0)} == {"a"}
    assert [entry.offset_bytes for entry in found.at(1)] == [0, 16]
    assert found.used_by_step(2) == [8, 24]
    assert found.used_by_step(3) == [8, 24, 8]


def test_what_lives_all_the_time_lies_above_the_rest_and_costs_no_more() -> None:
    passing = [Buffer(f"t{at}", "activation", 100 * (at + 1), at, at + 1) for at in range(6)]
    lifelong = [Buffer(f"w{at}", "weights", 8 * (at + 1), 0, 6) for at in range(4)]
    found = pack([*lifelong, *passing], 4)
    assert found.peak_bytes == found.live_bytes == live_bytes([*lifelong, *passing])
    lowest = min(p.offset_bytes for p in found.placements if p.buffer.kind == "weights")
    assert lowest >= max(p.end_bytes for p in found.placements if p.buffer.kind == "activation")
