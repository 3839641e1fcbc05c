"""Searching records for a whole graph: one pass from the inputs on, then repairs by trial.

The first pass visits every node once, producers first, and lets it say what it wants at its inputs
and gives at its outputs, knowing only what arrives. Where a reader wants something else than it
gets, a link is split. The repair takes the split links one by one: the side that pushes has its
way, the change runs through the graph from there, and what comes out is kept if fewer links are
split than before. Links that stay split in the end get quantize nodes (``placing``).

Records are therefore found, not computed: the order of links and the rule "strictly fewer" decide
between equals, and both are NNTool's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from nnshell.ir.records import Answer, Record
from nnshell.ir.requests import Range
from nnshell.numeric.records import NOTABLE_LOSS, loss
from nnshell.quantization.solving.asking import Asking
from nnshell.quantization.solving.decisions import Trial
from nnshell.quantization.solving.links import Board, Link
from nnshell.quantization.solving.network import Network, Unit
from nnshell.quantization.solving.seen import Surroundings
from nnshell.support.errors import QuantizationError

Path = frozenset[Unit]
_NOBODY: Path = frozenset()
_FRAMES_PER_UNIT = 12  # of Python's stack, along the longest chain of nodes
_MOST_QUESTIONS = 200  # of a trial, per unit: a search that runs on is given up


class _Stuck(Exception):
    """The nodes inside a fusion cannot agree on what is wanted of it."""


@dataclass(slots=True, eq=False)
class Search:
    """Finds the records of ``network``; ``trials`` tells what was tried, in order."""

    network: Network
    surroundings: Surroundings
    board: Board = field(default_factory=Board)
    trials: list[Trial] = field(default_factory=list)
    _questions_left: int = sys.maxsize

    def run(self) -> None:
        with _deep_stack(sum(1 for _ in self.network.all_units())):
            for root in self.network.roots:
                self._visit(root)
            self.board.accept(0)
            self._repair()

    @property
    def asking(self) -> Asking:
        return Asking(self.surroundings)

    def split_links(self) -> list[Link]:
        """In the order in which they became known."""
        return [link for link in self.board.known if link.split]

    # -- first pass ------------------------------------------------------------------------

    def _visit(self, unit: Unit) -> None:
        if unit.records is not None or not all(link.known for link in unit.inputs):
            return
        values = [_value(link) for link in unit.inputs]
        answer = self._first_of_fusion(unit, values) if unit.is_fusion else self._ask(unit, values)
        self._speak(unit, answer)
        for link in unit.output_links():
            self._visit(link.reader)

    def _ask(
        self,
        unit: Unit,
        values: Sequence[Record],
        wishes: Sequence[Record | None] = (),
        *,
        upwards: bool = False,
    ) -> Answer:
        expected = wishes or [None] * len(unit.node.outputs)
        return self.asking.solve(unit, values, expected, upwards=upwards)

    def _speak(self, unit: Unit, answer: Answer) -> None:
        """Keep the records of a unit, and tell its neighbours."""
        self.board.keep(unit, answer)
        self._demand_all(unit, answer)
        self._offer_all(unit, answer)

    def _demand_all(self, unit: Unit, answer: Answer, but: Link | None = None) -> None:
        for link, record in zip(unit.inputs, answer.inputs, strict=True):
            if link is not but:
                self.board.demand(link, record)

    def _offer_all(self, unit: Unit, answer: Answer, but: Link | None = None) -> None:
        for links, record in zip(unit.outputs, answer.outputs, strict=True):
            for link in links:
                if link is not but:
                    self.board.offer(link, record)

    def _first_of_fusion(self, fusion: Unit, values: Sequence[Record]) -> Answer:
        self._enter(fusion, values)
        try:
            for entry in fusion.entries:
                for link in entry.output_links():
                    self._visit_inner(link.reader)
        except _Stuck as error:
            raise _disagreement(fusion) from error
        if any(unit.inputs[0].split for unit in fusion.exits):
            raise _disagreement(fusion)
        return self._settle(fusion)

    def _visit_inner(self, unit: Unit) -> None:
        if _is_exit(unit) or unit.records is not None:
            return
        if not all(link.known for link in unit.inputs):
            return
        answer = self._ask(unit, [_value(link) for link in unit.inputs])
        self.board.keep(unit, answer)
        self._demand_all(unit, answer)
        for link in unit.inputs:
            if link.split and not _is_entry(link.producer):
                self._raise(link, frozenset((unit,)))
        self._offer_all(unit, answer)
        for link in unit.output_links():
            self._visit_inner(link.reader)

    def _enter(self, fusion: Unit, values: Sequence[Record]) -> None:
        """What arrives at a fusion, offered to its inner nodes."""
        for entry, record in zip(fusion.entries, values, strict=True):
            for link in entry.output_links():
                self.board.offer(link, record)

    def _settle(self, fusion: Unit) -> Answer:
        """What the inner nodes want is what the fusion wants; what they give is what it gives."""
        inputs = [self._settled_entry(entry, link) for entry, link in _with_outer(fusion)]
        outputs = []
        for unit in fusion.exits:
            record = unit.inputs[0].upper
            assert record is not None
            self.board.settle(unit.inputs[0], record)
            outputs.append(record)
        return Answer(tuple(inputs), tuple(outputs))

    def _settled_entry(self, entry: Unit, outer: Link) -> Record:
        links = list(entry.output_links())
        if not links:
            return _value(outer)
        wanting = next((link for link in links if link.split), links[0])
        record = wanting.lower or wanting.upper
        assert record is not None
        for link in links:
            self.board.settle(link, record)
        return record

    # -- repair ----------------------------------------------------------------------------

    def _repair(self) -> None:
        """Rounds over the links that are split, until one of them changes nothing."""
        accepted = True
        while accepted:
            accepted = False
            for link in self.split_links():
                if link.split and self._try(link):
                    accepted = True

    def _try(self, link: Link) -> bool:
        board = self.board
        mark, before = board.mark(), board.split_count
        self._questions_left = _MOST_QUESTIONS * (len(self.network.units) + 10)
        trial = Trial.of(link, before)
        try:
            if link.upwards:
                self._raise(link, frozenset((link.reader,)))
            else:
                self._lower(link, frozenset((link.producer,)))
        except _Stuck:
            board.undo(mark)
        accepted = board.split_count < before and not self._robs_a_reader(mark)
        self.trials.append(trial.ended(board.split_count, accepted))
        if accepted:
            board.accept(mark)
        else:
            board.undo(mark)
        return accepted

    def _robs_a_reader(self, mark: int) -> bool:
        """Whether a reader that was content would miss much of what the producer makes.

        NNTool does not look: a relu beside a convolution takes the negative values from it.
        """
        for link, old in self.board.agreed_before(mark).items():
            siblings = link.producer.outputs[link.output]
            new = link.upper
            if link.inner or new is None or len(siblings) < 2 or link.reader.node.op.pushes_range:
                continue
            seen = self._seen_output(link.producer, link.output)
            if loss(new.params, seen) > NOTABLE_LOSS >= loss(old.params, seen):
                return True
        return False

    def _raise(self, link: Link, path: Path) -> None:
        """The producer of a link is asked for what the reader wants."""
        unit = link.producer
        if unit in path:
            return
        answer = self._again(unit, upwards=True)
        self.board.offer(link, answer.outputs[link.output])
        if link.inner and link.split:
            raise _Stuck
        path |= {unit}
        self._spread_down(unit, answer, path, but=link)
        self._spread_up(unit, answer, path)

    def _lower(self, link: Link, path: Path) -> None:
        """The reader of a link is asked to take what the producer gives."""
        unit = link.reader
        if unit in path:
            return
        answer = self._again(unit, upwards=False)
        self.board.demand(link, answer.inputs[link.index])
        if link.inner and link.split:
            raise _Stuck
        path |= {unit}
        self._spread_up(unit, answer, path, but=link)
        self._spread_down(unit, answer, path)

    def _spread_down(self, unit: Unit, answer: Answer, path: Path, but: Link | None = None) -> None:
        self._offer_all(unit, answer, but)
        for link in unit.output_links():
            if link.split and not _is_exit(link.reader):
                self._lower(link, path)

    def _spread_up(self, unit: Unit, answer: Answer, path: Path, but: Link | None = None) -> None:
        self._demand_all(unit, answer, but)
        for link in unit.inputs:
            if link is not but and link.split and not _is_entry(link.producer):
                self._raise(link, path)

    def _again(self, unit: Unit, *, upwards: bool) -> Answer:
        """A unit that has answered before is asked again, with what arrives now."""
        self._questions_left -= 1
        if self._questions_left < 0:
            raise _Stuck
        values = [_value(link) for link in unit.inputs]
        choice = self._agreed_wish if unit.holder is not None else self._chosen_wish
        wishes = [choice(unit, output) for output in range(len(unit.outputs))]
        if unit.is_fusion:
            answer = self._again_of_fusion(unit, values, wishes, upwards)
        else:
            answer = self._ask(unit, values, wishes, upwards=upwards)
        self.board.keep(unit, answer)
        return answer

    def _again_of_fusion(
        self,
        fusion: Unit,
        values: Sequence[Record],
        wishes: Sequence[Record | None],
        upwards: bool,
    ) -> Answer:
        mark = self.board.mark()
        try:
            return self._repaired_fusion(fusion, values, wishes, upwards)
        except _Stuck:
            if self._questions_left < 0:
                raise
            self.board.undo(mark)
        accepted = fusion.accepted
        assert accepted is not None
        if fusion.records is not accepted:
            self._restore(fusion)
        return accepted

    def _restore(self, fusion: Unit) -> None:
        """The inner nodes go back to what the fusion had before the trial."""
        for link, record in fusion.settled:
            self.board.settle(link, record)
        for unit in fusion.inside:
            if unit.accepted is not None:
                self.board.keep(unit, unit.accepted)

    def _repaired_fusion(
        self,
        fusion: Unit,
        values: Sequence[Record],
        wishes: Sequence[Record | None],
        upwards: bool,
    ) -> Answer:
        self._enter(fusion, values)
        ends = [unit.inputs[0] for unit in fusion.exits]
        for link, wish in zip(ends, wishes, strict=True):
            if wish is not None:
                self.board.demand(link, wish)
        if not upwards:
            for entry in fusion.entries:
                for link in entry.output_links():
                    self._lower(link, _NOBODY)
            return self._settle(fusion)
        if not any(link.wish is not None for link in ends):
            raise _Stuck
        for link in ends:
            self._raise(link, _NOBODY)
        return self._settle(fusion)

    # -- wishes ----------------------------------------------------------------------------

    def _agreed_wish(self, unit: Unit, output: int) -> Record | None:
        """Inside a fusion all readers must want the same."""
        wishes = _distinct(link.wish for link in unit.outputs[output])
        if len(wishes) > 1:
            raise _Stuck
        return wishes[0] if wishes else None

    def _chosen_wish(self, unit: Unit, output: int) -> Record | None:
        """Of several wishes and the present record, the one that fits the observed range best."""
        links = unit.outputs[output]
        wishes = _distinct(link.wish for link in links)
        if not wishes:
            return None
        current = _distinct(link.upper for link in links)
        if len(wishes) == 1 and len(current) == 1:
            return wishes[0]
        candidates = _distinct((*current, *wishes))
        widest = max(_bits(record) for record in candidates)
        candidates = [record for record in candidates if _bits(record) == widest]
        seen = self._seen_output(unit, output)

        def misfit(record: Record) -> tuple[float, float]:
            able = record.representable
            distance = abs(seen.minimum - able.minimum) + abs(seen.maximum - able.maximum)
            return distance, record.params.first_scale

        return min(candidates, key=misfit)

    def _seen_output(self, unit: Unit, output: int) -> Range:
        if unit.is_fusion:
            link = unit.exits[output].inputs[0]
            unit, output = link.producer, link.output
        assert unit.item is not None
        seen = self.surroundings.known(unit.item, output)
        if seen is None:
            assert unit.accepted is not None
            return unit.accepted.outputs[output].nominal
        return seen


def _value(link: Link) -> Record:
    record = link.value
    assert record is not None, f"{link} is not known"
    return record


def _is_entry(unit: Unit) -> bool:
    return unit.holder is not None and unit in unit.holder.entries


def _is_exit(unit: Unit) -> bool:
    return unit.holder is not None and unit in unit.holder.exits


def _with_outer(fusion: Unit) -> Iterator[tuple[Unit, Link]]:
    return zip(fusion.entries, fusion.inputs, strict=True)


def _distinct(records: Iterator[Record | None] | Sequence[Record | None]) -> list[Record]:
    """Records that are not equal, each where it is met first."""
    results: list[Record] = []
    for record in records:
        if record is not None and not any(record.equals(other) for other in results):
            results.append(record)
    return results


_TYPE_BITS = {"int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32}


def _bits(record: Record) -> int:
    return min(record.params.bits, 8) if record.dtype == "int8" else _TYPE_BITS[record.dtype]


def _disagreement(fusion: Unit) -> QuantizationError:
    return QuantizationError(
        "its inner nodes cannot agree on their records",
        where=f"node {fusion.path}",
        hint="open the model again and quantize it without this fusion",
    )


@contextmanager
def _deep_stack(units: int) -> Iterator[None]:
    """Room for a chain through all units: a repair calls itself from node to node."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 1000 + _FRAMES_PER_UNIT * units))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
