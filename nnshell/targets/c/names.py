"""What foreign names become in C: identifiers, comments and strings that cannot break out."""

from __future__ import annotations

import re

from nnshell.support.text import short

_NOT_IN_COMMENTS = re.compile(r"[^A-Za-z0-9_ .,:;+=()\[\]<>'/-]")
_NOT_IN_STRINGS = re.compile(r"[^A-Za-z0-9_ .,:;+=()\[\]<>/-]")
_LONGEST_COMMENT = 200
_LINE = 92


def comment(text: str) -> str:
    """Text for the inside of a comment: plain ASCII without asterisks and question marks."""
    return _NOT_IN_COMMENTS.sub("_", short(text, _LONGEST_COMMENT))


def comment_block(text: str) -> str:
    """A comment folded at blanks."""
    lines, line = [], "/*"
    for word in comment(text).split():
        if len(line) + len(word) + 1 > _LINE and line != "/*":
            lines.append(line)
            line = "  "
        line += f" {word}"
    return "\n".join([*lines, f"{line} */"])


def string(text: str) -> str:
    """A string literal of the text's UTF-8 bytes."""
    encoded = "".join(chr(byte) for byte in text.encode("utf-8", "replace"))
    escaped = _NOT_IN_STRINGS.sub(lambda result: f"\\{ord(result[0]):03o}", encoded)
    return f'"{escaped}"'
