"""A few hundred random graphs of all operators through everything; scripts/company.py runs more."""

from __future__ import annotations

from functools import cache

import pytest

from nnshell.ir.operator import OPERATORS

from .checks import CHECKS
from .graphs import Company, company, examples

GRAPHS = 240
SHARES = {"passes_keep_the_function": 1, "engines_agree": 1, "files_agree": 3}
LEAST_SHARE = 10  # one graph of so many runs through the other checks
CASES = [
    pytest.param(name, seed, id=f"{name} {seed}")
    for name in CHECKS
    for seed in range(0, GRAPHS, SHARES.get(name, LEAST_SHARE))
]

of_seed = cache(company)


@pytest.mark.parametrize(("check", "seed"), CASES)
def test_graphs_of_all_operators(check: str, seed: int) -> None:
    CHECKS[check](of_seed(seed))


def test_every_operator_is_in_the_company() -> None:
    graphs = [of_seed(seed) for seed in range(GRAPHS)]
    kinds = set().union(*(graph.kinds for graph in graphs))
    assert {example.op.kind for example in examples()} <= kinds
    assert {kind for kind in OPERATORS if OPERATORS[kind].examples()} <= kinds
    assert sum(graph.rejected for graph in graphs) < GRAPHS / 4, "most draws are comparable"


def test_the_same_seed_gives_the_same_graph() -> None:
    one, other = company(7), company(7)
    assert isinstance(one, Company)
    assert [(n.name, n.op) for n in one.graph if n.kind != "constant"] == [
        (n.name, n.op) for n in other.graph if n.kind != "constant"
    ]
