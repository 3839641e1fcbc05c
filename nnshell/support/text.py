"""Text from anywhere made safe to show: the one place where control characters are escaped.

Names in a model, of files and in labels may hold anything: sequences that set a terminal's title or
clear it, marks that turn the order of letters round, bells. The shell sends all that it prints
through ``printable``, and tables and pictures their cells and labels through ``in_one_line``; what
writes files for people to look at (pages, drawings) does the same.
"""

from __future__ import annotations

import re

# C0 without line feed and tab, DEL, C1; zero-width and joining marks but for those of scripts and
# emoji (200c, 200d); line and paragraph separators; marks of direction; byte order mark.
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
_UNSAFE = re.compile(f"[{_CONTROLS}]")
_UNSAFE_IN_LINE = re.compile(f"[{_CONTROLS}\t\n]")


def printable(text: str) -> str:
    """``text`` with control characters as escapes; line feeds and tabs stay."""
    return _UNSAFE.sub(_escaped, text)


def in_one_line(text: str) -> str:
    """As ``printable``; line feeds and tabs too."""
    return _UNSAFE_IN_LINE.sub(_escaped, text)


def short(text: str, most: int = 80) -> str:
    """``text``, its end left out where it has more than ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
