"""Text that is safe to show."""

from __future__ import annotations

import unicodedata

from nnshell.support.text import in_one_line, printable


def test_no_character_that_acts_on_a_terminal_stays() -> None:
    for code in range(0x110000):
        letter = chr(code)
        if unicodedata.category(letter) == "Cc" and letter not in "\n\t":
            assert printable(letter).isascii(), hex(code)
            assert printable(letter).isprintable(), hex(code)
        if unicodedata.bidirectional(letter) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI"):
            assert printable(letter).isascii(), hex(code)


def test_text_of_people_stays_as_it_is() -> None:
    for text in ("conv_1/Relu", "größe", "层", "naïve café", "👩‍💻", "a\tb\nc", "नमस्ते"):
        assert printable(text) == text


def test_one_line_is_one_line() -> None:
    assert in_one_line("a\nb\tc\r\x1b[2J") == r"a\nb\tc\r\x1b[2J"
    assert len(in_one_line("".join(map(chr, range(0x3000)))).splitlines()) == 1
