"""Tables in TOML, from the package or from a user's file, and what is wrong with them in words."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any, TypeVar

from nnshell.support.errors import UsageError

T = TypeVar("T")


def made_of(
    read: Callable[[], str], make: Callable[[dict[str, Any]], T], what: str, where: str, like: str
) -> T:
    """What ``make`` makes of a TOML file; ``what`` and ``like`` are what it is and a good one.

    Raises UsageError when the file cannot be read, is no TOML, lacks a value or holds a wrong one;
    FileNotFoundError.
    """
    try:
        return make(tomllib.loads(read()))
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(
            f"cannot read the {what}: {reason}", where=where, hint="give the path of a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"the {what} is not valid TOML: {error}", where=where) from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(
            f"the {what} lacks a value or holds a wrong one: {error}",
            where=where,
            hint=f"compare it with {like}",
        ) from error
