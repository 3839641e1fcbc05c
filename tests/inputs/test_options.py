"""Input options: what is refused, and where merged values come from."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from nnshell.inputs.binding import resolve_options
from nnshell.inputs.options import InputOptions, merge
from nnshell.support.errors import UsageError
from nnshell.support.settings import Settings


@pytest.mark.parametrize(
    "values",
    [
        {"divisor": 0.0},
        {"divisor": float("nan")},
        {"offset": float("inf")},
        {"height": 0},
        {"width": -1},
        {"height": 100_000, "width": 100_000},
        {"mode": "RBG"},
        {"nptype": "object"},
        {"bit_shift": 99},
        {"zero_pad": (1,)},
        {"zero_pad": (1, -1)},
        {"slices": (0, 1)},
        {"slices": (0, 4, 0)},
        {"limit": 0},
        {"seed": -1},
    ],
)
def test_impossible_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        InputOptions(**values)


def test_the_first_layer_that_gives_a_value_wins_and_is_named() -> None:
    merged = merge(
        ("command", InputOptions(divisor=255.0)),
        ("last aquant", InputOptions(divisor=2.0, transpose=True)),
        ("set", InputOptions(norm_func="x: x/128-1", transpose=False)),
    )
    assert merged.options == InputOptions(divisor=255.0, transpose=True, norm_func="x: x/128-1")
    assert dict(merged.sources) == {
        "divisor": "command",
        "transpose": "last aquant",
        "norm_func": "set",
    }
    assert merged.from_layer("set") == ("norm_func",)
    assert merged.describe("last aquant") == "transpose"
    assert merged.describe("set") == "norm_func x: x/128-1"


def test_a_given_false_hides_a_lower_layers_true() -> None:
    merged = merge(("a", InputOptions(transpose=False)), ("b", InputOptions(transpose=True)))
    assert merged.options.transpose is False


def test_merging_layers_without_values_gives_nothing() -> None:
    merged = merge(("command", InputOptions()), ("set", InputOptions()))
    assert merged.options.given() == ()
    assert merged.describe("set") == ""


def test_options_and_reading_arrays_import_no_image_library() -> None:
    code = (
        "import sys, nnshell.inputs.options; assert 'numpy' not in sys.modules;"
        "import nnshell.inputs.input_set, nnshell.inputs.checks; assert 'PIL' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_how_many_samples_and_which_is_never_taken_from_an_earlier_command() -> None:
    earlier = InputOptions(divisor=2.0, transpose=True, limit=3, seed=4)
    context = SimpleNamespace(input_options=earlier, settings=Settings())
    merged = resolve_options(context, InputOptions(offset=1.0)).options  # type: ignore[arg-type]
    assert merged == InputOptions(divisor=2.0, transpose=True, offset=1.0)
