"""How often the pieces of a kernel run for one tile: the counts that kernel tables name.

All functions take arrays of tile sizes at once, so that a tile search is one numpy expression.
A share is what the busiest core gets: the ceiling over the cores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnshell.chips.model.geometry import Geometry, IntArray

FloatArray = npt.NDArray[np.float64]

# 16 banks of one 32-bit word: the distance after which L1 addresses share a bank.
BANK_ROW_BYTES = 64
WORD_BYTES = 4


@dataclass(frozen=True, slots=True)
class TileSizes:
    """Sizes of many tiles of one layer: output channels, output rows, input channels."""

    geometry: Geometry
    cores: int
    out: IntArray
    rows: IntArray
    depth: IntArray

    def share(self, count: IntArray) -> IntArray:
        """What the busiest core gets of ``count`` pieces."""
        return -(-count // self.cores)

    @property
    def positions(self) -> IntArray:
        """Pixels of the filter's own output, before a pool."""
        return self.geometry.filter_rows(self.rows) * self.geometry.filter_width

    @property
    def pixels(self) -> IntArray:
        """Pixels of the output after the pool."""
        return self.rows * self.geometry.width


def _ones(tile: TileSizes) -> IntArray:
    return np.ones_like(tile.out)


def _height_share(tile: TileSizes) -> FloatArray:
    """The tile's part of the map's height: its mean share of what happens at the map's ends."""
    height = max(1, tile.geometry.filter_height)
    return np.asarray(tile.geometry.filter_rows(tile.rows) / height, np.float64)


def _touching(tile: TileSizes) -> tuple[int, int]:
    """Columns and rows of the filter's map whose windows touch padding."""
    window, geometry = tile.geometry.window, tile.geometry
    top, left, bottom, right = window.pads
    columns = -(-left // window.strides[1]) + -(-right // window.strides[1])
    rows = -(-top // window.strides[0]) + -(-bottom // window.strides[0])
    return min(columns, geometry.filter_width), min(rows, geometry.filter_height)


def _border(tile: TileSizes) -> FloatArray:
    """Positions of one channel whose window touches padding; a tile gets its share of the rows at
    the top and the bottom."""
    columns, ends = _touching(tile)
    inner = tile.geometry.filter_width - columns
    return tile.geometry.filter_rows(tile.rows) * columns + inner * ends * _height_share(tile)


def _padded_sides(tile: TileSizes) -> FloatArray:
    """Sides of the tile that are padded: each is a call of its own."""
    top, left, bottom, right = tile.geometry.window.pads
    return (left > 0) + (right > 0) + ((top > 0) + (bottom > 0)) * _height_share(tile)


def _padded_edges(tile: TileSizes) -> FloatArray:
    """Lengths of the padded sides of the tile."""
    top, left, bottom, right = tile.geometry.window.pads
    rows = tile.geometry.filter_rows(tile.rows)
    ends = tile.geometry.filter_width * ((top > 0) + (bottom > 0))
    return rows * ((left > 0) + (right > 0)) + ends * _height_share(tile)


def _kernel(tile: TileSizes, height: int, width: int) -> IntArray:
    return _ones(tile) * (height * width)


def _one_bank(tile: TileSizes) -> IntArray:
    """Fours of input channels when columns and weights of all cores start in the same bank.

    Columns and weight rows are ``depth`` elements apart; with 16 banks of 4 bytes a multiple of 64
    bytes puts every load of an iteration into one bank.
    """
    return _in_one_bank(tile) * (tile.depth // 4)


def _in_one_bank(tile: TileSizes) -> IntArray:
    """1 where columns and weights of all cores start in the same bank."""
    column_bytes = tile.depth * tile.geometry.input_element_bytes
    return np.asarray(column_bytes % BANK_ROW_BYTES == 0, np.int64)


def _pitch(tile: TileSizes) -> FloatArray:
    """Bytes in L1 from one row of the input tile to the next; of a matrix, the row of a channel."""
    inputs = [entry for entry in tile.geometry.operands if entry.role == "input"]
    unit_bytes = inputs[0].unit_bytes if inputs else 1.0
    rows = tile.rows if inputs and inputs[0].extent == "output" else _ones(tile)
    return np.asarray(unit_bytes * rows, np.float64)


def _pitch_banks(tile: TileSizes, banks: int) -> IntArray:
    """1 where rows that follow each other start in ``banks`` banks, over and over."""
    apart = BANK_ROW_BYTES / banks
    steps = _pitch(tile) / apart
    return np.asarray((steps % 1 == 0) & ((banks == 1) | (steps % 2 == 1)), np.int64)


def _pitch_in_words(tile: TileSizes) -> IntArray:
    """1 where rows start at words, but in more than four banks."""
    few = sum(_pitch_banks(tile, banks) for banks in (1, 2, 4))
    return np.asarray(_pitch(tile) % WORD_BYTES == 0, np.int64) - few


def _window(tile: TileSizes) -> tuple[int, int]:
    return tile.geometry.window.kernel


def _taps(tile: TileSizes) -> int:
    height, width = _window(tile)
    return height * width


def _pool_taps(tile: TileSizes) -> IntArray:
    pool = tile.geometry.pool
    return _kernel(tile, *pool.kernel) if pool else np.zeros_like(tile.out)


def _pooled(tile: TileSizes) -> IntArray:
    return tile.pixels if tile.geometry.pool else np.zeros_like(tile.out)


COUNTS: dict[str, Callable[[TileSizes], IntArray | FloatArray]] = {
    "one": _ones,
    "out": lambda tile: tile.out,
    "out_share": lambda tile: tile.share(tile.out),
    "out_pair_share": lambda tile: -(-tile.share(tile.out) // 2),
    "out_fours": lambda tile: -(-tile.out // 4),
    "gates": lambda tile: _ones(tile) * tile.geometry.gates,
    "depth": lambda tile: tile.depth,
    "depth_share": lambda tile: tile.share(tile.depth),
    "depth_fours": lambda tile: tile.depth // 4,
    "depth_fours_in_one_bank": _one_bank,
    "in_one_bank": _in_one_bank,
    "rows_in_one_bank": lambda tile: _pitch_banks(tile, 1),
    "rows_in_two_banks": lambda tile: _pitch_banks(tile, 2),
    "rows_in_four_banks": lambda tile: _pitch_banks(tile, 4),
    "rows_in_words": _pitch_in_words,
    "depth_rest": lambda tile: tile.depth % 4,
    "rows": lambda tile: tile.geometry.filter_rows(tile.rows),
    "columns": lambda tile: _ones(tile) * tile.geometry.filter_width,
    "positions": lambda tile: tile.positions,
    "position_fours": lambda tile: tile.positions // 4,
    "position_two": lambda tile: (tile.positions % 4) // 2,
    "position_one": lambda tile: tile.positions % 2,
    "position_share": lambda tile: tile.share(tile.positions),
    "position_pair_share": lambda tile: -(-tile.share(tile.positions) // 2),
    "position_share_fours": lambda tile: tile.share(tile.positions) // 4,
    "position_share_rest": lambda tile: tile.share(tile.positions) % 4,
    "output_share": lambda tile: tile.share(tile.out * tile.pixels),
    "border": _border,
    "padded_sides": _padded_sides,
    "padded_edges": _padded_edges,
    "input_positions": lambda tile: tile.geometry.input_rows(tile.rows) * tile.geometry.input_width,
    "patch": lambda tile: tile.depth * _taps(tile),
    "patch_fours": lambda tile: tile.depth * _taps(tile) // 4,
    "patch_rest": lambda tile: tile.depth * _taps(tile) % 4,
    "taps": lambda tile: _kernel(tile, *_window(tile)),
    "kernel_rows": lambda tile: _kernel(tile, _window(tile)[0], 1),
    "kernel_columns": lambda tile: _kernel(tile, 1, _window(tile)[1]),
    "kernel_column_fours": lambda tile: _kernel(tile, 1, _window(tile)[1] // 4),
    "kernel_column_rest": lambda tile: _kernel(tile, 1, _window(tile)[1] % 4),
    "pool_taps": _pool_taps,
    "pool_positions": _pooled,
}
