"""Templates and files of the page (extra ``report``: jinja2)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from nnshell.support.errors import NNShellError


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
