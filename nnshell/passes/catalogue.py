"""Every fusion by name: what `fusions -l` lists and what `fusions -a` takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

from nnshell.ir.graph import Graph
from nnshell.passes.base import Notes, Pass
from nnshell.passes.expand_pool_padding import ExpandPoolPadding
from nnshell.passes.fold_constants import FoldScale
from nnshell.passes.hard_sigmoid import FuseHardSwish
from nnshell.passes.pipelines import ADJUST, GROUP_ALIASES, GROUPS, POW2, SCALE8
from nnshell.passes.remove_noops import RemoveQuantize
from nnshell.support.errors import UsageError

BY_NAME_ONLY: dict[str, Pass] = {
    "expand_pool_padding": ExpandPoolPadding(),
    "fold_scale_rounded": FoldScale(rounding=True),
    "fuse_hard_swish": FuseHardSwish(),
    "remove_quantize": RemoveQuantize(),
}

NOT_HERE: dict[str, str] = {
    "fuse_dilation": "ONNX states dilations in the convolution, space-to-batch is TFLite's",
    "expression_matcher": "generated expression kernels are not part of nnshell",
    "common_fused_expressions": "generated expression kernels are not part of nnshell",
    "fuse_matscale": "its kernel is not part of nnshell",
    "fuse_matscale_pair": "its kernel is not part of nnshell",
    "partial_split": "slices that leave gaps stay slices",
    "combine_reductions": "reductions over height and width are imported as one global pool",
    "rnn_unpack": "steps that nothing reads stay parts of a split",
    "remove_ssd_output": "detection heads are not part of nnshell yet",
    "find_missing_quantization": "every node is quantized, there is nothing to find",
}


@dataclass(frozen=True)
class NotHere(Pass):
    """A fusion of NNTool that nnshell does not have; running it leaves a note."""

    name: ClassVar[str] = "not-here"
    wanted: str = ""
    reason: str = ""

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        notes.did_not(graph.name, f"did not run {self.wanted}: {self.reason}")


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One line of `fusions -l`."""

    name: str  # as `fusions -a` takes it
    summary: str
    groups: tuple[str, ...]  # of GROUP_ALIASES, and "adjust"
    aliases: tuple[str, ...] = ()  # NNTool's names


def catalogue() -> list[CatalogueEntry]:
    """All fusions in the order in which the groups run them, then those only run by name."""
    members = {"scale8": SCALE8, "pow2": POW2, "adjust": ADJUST}
    entries = []
    for name, step in _by_own_name().items():
        groups = tuple(
            group
            for group, steps in members.items()
            if name not in BY_NAME_ONLY and any(type(step) is type(other) for other in steps)
        )
        entries.append(CatalogueEntry(name, step.summary(), groups, step.nntool_names))
    return entries


def passes_named(names: Iterable[str]) -> tuple[Pass, ...]:
    """The passes of `fusions -a NAME...`: own names, NNTool's, or groups, in the order given.

    Raises UsageError for a name that neither nnshell nor NNTool knows.
    """
    return tuple(step for name in names for step in _named(name))


def _named(name: str) -> tuple[Pass, ...]:
    expected = name.strip().lower().replace("-", "_")
    group = GROUP_ALIASES.get(expected, expected)
    if group in GROUPS:
        return GROUPS[group]
    if expected.endswith("_pow2"):
        return tuple(s for s in POW2 if expected in s.nntool_names)[:1] or _unknown(name, expected)
    match = _by_any_name().get(expected)
    if match is not None:
        return (match,)
    if expected in NOT_HERE:
        return (NotHere(expected, NOT_HERE[expected]),)
    return _unknown(name, expected)


def _unknown(name: str, expected: str) -> tuple[Pass, ...]:
    known = [*_by_any_name(), *NOT_HERE, *GROUPS, *GROUP_ALIASES]
    near = get_close_matches(expected, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "`fusions -l` lists them"
    raise UsageError(f"no fusion is called '{name}'", hint=hint)


def _by_own_name() -> dict[str, Pass]:
    steps: dict[str, Pass] = {}
    for step in (*SCALE8, *POW2, *ADJUST):
        steps.setdefault(step.name.replace("-", "_"), step)
    return steps | BY_NAME_ONLY


def _by_any_name() -> dict[str, Pass]:
    own = _by_own_name()
    aliases = {alias: step for step in own.values() for alias in step.nntool_names}
    return aliases | own
