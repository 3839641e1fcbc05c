"""The C form of each operator's integer arithmetic, by (operator, scheme).

A form is a function from (Builder, Site) to the values of the node's outputs. What is not in the
table has no C form, and is refused with its name.
"""

from nnshell.targets.c.forms import elementwise, filters, moves, pools, products
from nnshell.targets.c.forms.table import FORMS, form_of

__all__ = ["FORMS", "elementwise", "filters", "form_of", "moves", "pools", "products"]
