"""The table of C forms and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nnshell.ir.facts import Role
from nnshell.ir.flat import Item
from nnshell.support.errors import QuantizationError
from nnshell.targets.c.builder import Builder, Site
from nnshell.targets.c.program import Value

Form = Callable[[Builder, Site], Sequence[Value]]

FORMS: dict[tuple[str, str], Form] = {}
BY_ROLE: dict[tuple[Role, str], Form] = {}  # of operators with one input and no form of their own


def form(*kinds: str, scheme: str = "SQ8") -> Callable[[Form], Form]:
    """Function decorator: the C form of operators of these kinds in a scheme."""

    def enter(function: Form) -> Form:
        for kind in kinds:
            assert (kind, scheme) not in FORMS, f"two C forms of {kind} in {scheme}"
            FORMS[kind, scheme] = function
        return function

    return enter


def form_of_role(role: Role, scheme: str = "SQ8") -> Callable[[Form], Form]:
    """Function decorator: the C form of all operators of a role that have one input."""

    def enter(function: Form) -> Form:
        assert (role, scheme) not in BY_ROLE, f"two C forms of every {role} in {scheme}"
        BY_ROLE[role, scheme] = function
        return function

    return enter


def form_of(item: Item) -> Form:
    """Raises QuantizationError for a node that has no C form."""
    quantization = item.node.quantization
    assert quantization is not None, f"{item.path} is not quantized"
    scheme = quantization.scheme
    general = BY_ROLE.get((item.node.op.role, scheme)) if len(item.inputs) == 1 else None
    match = FORMS.get((item.node.kind, scheme), general)
    if match is None:
        schemes = sorted(s for kind, s in FORMS if kind == item.node.kind)
        hint = f"it has one in {', '.join(schemes)}" if schemes else ""
        raise QuantizationError(
            f"operator '{item.node.kind}' has no C form in scheme {scheme}",
            where=f"node {item.path}",
            hint=hint or "run `adjust`, remove the node, or run it with --engine lowered",
        )
    return match
