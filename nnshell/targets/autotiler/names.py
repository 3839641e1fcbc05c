"""Names in generated C: what a node's kernel, its variables and its macros are called.

``cap`` is NNTool's capitalisation (first letter upper, all others lower), so two nodes whose names
differ only in case would share a variable; ``Namer`` keeps variables distinct.
"""

from __future__ import annotations

import hashlib
import re

from nnshell.support.errors import GraphError

_C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def identifier(text: str) -> str:
    """``text`` as a C identifier: other characters become ``_``, a leading digit gets one."""
    name = identifier_part(text)
    return f"_{name}" if not name or name[0].isdigit() else name


def identifier_part(text: str) -> str:
    """``text`` with other characters as ``_``, for the middle of a name."""
    return re.sub(r"[^A-Za-z0-9_]", "_", text)


def cap(name: str) -> str:
    """First letter upper case, all others lower case."""
    return name.capitalize()


def is_identifier(text: str) -> bool:
    return _C_IDENTIFIER.fullmatch(text) is not None


def anonymised(name: str) -> str:
    """What stands for a name when names are hashed: ten hexadecimal digits of its SHA-1."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:10]


def joined(shape: tuple[int, ...]) -> str:
    """``16x6x5x5``."""
    return "x".join(str(extent) for extent in shape)


class Namer:
    """Hands out C names and refuses to hand one out twice."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    def claim(self, wanted: str, owner: str) -> str:
        """``wanted``, or ``wanted_2``, ``wanted_3`` ... when another node's name takes it."""
        name, count = wanted, 1
        while self._owners.setdefault(name, owner) != owner:
            count += 1
            name = f"{wanted}_{count}"
        return name

    def insist(self, name: str, owner: str) -> str:
        """A name the user chose: it must be free and an identifier."""
        if not is_identifier(name):
            raise GraphError(
                f"'{name}' is no C identifier",
                where=f"node {owner}",
                hint="give NODE_CNAME letters, digits and underscores",
            )
        taken = self._owners.setdefault(name, owner)
        if taken != owner:
            raise GraphError(
                f"the C name '{name}' is taken by node {taken}",
                where=f"node {owner}",
                hint="give NODE_CNAME another name",
            )
        return name
