"""The one line of an error, whatever the names in it."""

from __future__ import annotations

import pytest

from nnshell.support.errors import GraphError, ModelError, one_line


def test_message_place_and_hint_are_one_line() -> None:
    error = GraphError("no node matches 'x'", where="node a", hint="`show` lists the nodes")
    assert str(error) == "no node matches 'x' (node a) - `show` lists the nodes"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\0b", "a\\x00b"),
        ("\u202etxt", "\\u202etxt"),
        ("\udc80", "\\udc80"),
        ("caf\u00e9 \u540d", "caf\u00e9 \u540d"),
    ],
)
def test_names_cannot_break_the_line_or_steer_the_terminal(name: str, shown: str) -> None:
    assert str(ModelError(f"node {name}", where=name, hint=name)) == (
        f"node {shown} ({shown}) - {shown}"
    )


def test_the_middle_of_a_long_text_is_left_out_and_the_hint_stays() -> None:
    error = ModelError("begin " + "x" * 100_000 + " end", where="y" * 10_000, hint="try this")
    text = str(error)
    assert text.startswith("begin ") and " end (" in text and text.endswith(" - try this")
    assert len(text) < 1300


def test_details_have_a_line_each() -> None:
    error = ModelError("2 nodes cannot be imported", details=["Foo 'a': unknown", "Bar\n'b'"])
    assert str(error).splitlines() == [
        "2 nodes cannot be imported",
        "  Foo 'a': unknown",
        "  Bar\\n'b'",
    ]


def test_a_short_line_is_returned_as_it_is() -> None:
    assert one_line("a line") == "a line"
