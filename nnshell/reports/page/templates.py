"""Templates and files of the page (extra ``report``: jinja2)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from nnshell.support.errors import NNShellError

_PACKAGES = (
    ("jinja2", "jinja2"),
    ("matplotlib", "matplotlib"),
    ("fast_sugiyama", "fast-sugiyama"),
)


def check_extra() -> None:
    """NNShellError that names what of the extra ``report`` is not installed."""
    missing = [name for module, name in _PACKAGES if not _is_installed(module)]
    if missing:
        raise NNShellError(
            f"a page needs {', '.join(missing)}", hint="pip install 'nnshell[report]'"
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # it is being kept out
        return False


def template(name: str) -> Any:
    """A template whose values are escaped; NNShellError where jinja2 is missing."""
    return _environment().get_template(name)


def asset(name: str) -> str:
    """The text of a file that comes with the page."""
    return files("nnshell.reports.page").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Any:
    try:
        import jinja2
    except ImportError:
        raise NNShellError("the page needs jinja2", hint="pip install 'nnshell[report]'") from None
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: asset(f"templates/{name}")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
