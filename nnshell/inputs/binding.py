"""Images named but not yet read: patterns and options, bound to a graph when it needs them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from numpy.typing import NDArray

from nnshell.inputs.checks import InputChecker
from nnshell.inputs.input_set import Batch, InputSet, inputs_from_arrays, open_inputs
from nnshell.inputs.layout import InputSpec
from nnshell.inputs.options import InputOptions, MergedOptions, merge
from nnshell.inputs.reading import Caution, Standing
from nnshell.inputs.sources import Split
from nnshell.ir.basic_operators import Input
from nnshell.ir.graph import Graph, Node
from nnshell.ops.image_format import ImageFormat
from nnshell.support.settings import SETTINGS, Settings

_LOG = logging.getLogger(__name__)

_FALLBACKS = ("last aquant", "settings")


class InputContext(Protocol):
    """What images are bound to, as a project is: a graph and what is known of its inputs."""

    graph: Graph
    settings: Settings
    input_options: InputOptions | None  # of the last calibration
    told: set[str]  # notes that are news only once


@dataclass(frozen=True, slots=True)
class Images:
    """Patterns and input options; ``first`` and ``count`` take a part of the samples.

    ``split`` chooses the files of folders that hold a training and a test set. Instead of patterns
    there may be ``arrays``, a stack of samples for each graph input, and ``labels``.
    """

    patterns: tuple[str, ...]
    options: InputOptions = field(default_factory=InputOptions)
    split: Split | None = None
    first: int = 0
    count: int | None = None
    arrays: tuple[NDArray[Any], ...] = field(default=(), compare=False)
    labels: tuple[int, ...] | None = None

    def __getitem__(self, index: int | slice) -> Images:
        """One sample, or a slice with step 1 and no negative ends."""
        if isinstance(index, int):
            return replace(self, first=self.first + index, count=1)
        if index.step not in (None, 1) or (index.start or 0) < 0 or (index.stop or 0) < 0:
            raise IndexError("images are sliced forwards, from the start")
        start = index.start or 0
        stop = index.stop
        return replace(
            self, first=self.first + start, count=None if stop is None else max(0, stop - start)
        )

    def merged(self, context: InputContext) -> InputOptions:
        """The options with what they leave out filled in, as ``resolve_options`` says."""
        return resolve_options(context, self.options).options

    def open(self, context: InputContext) -> InputSet:
        """The samples as the graph takes them. Raises InputError when they do not fit it."""
        resolved = resolve_options(context, self.options)
        for layer in _FALLBACKS:
            if resolved.from_layer(layer):
                _LOG.info("input options from %s: %s", layer, resolved.describe(layer))
        specs = input_specs(context.graph)
        if self.arrays:
            inputs = inputs_from_arrays(self.arrays, specs, resolved.options, self.labels)
        else:
            inputs = open_inputs(self.patterns, specs, resolved.options, split=self.split)
        inputs = replace(inputs, told=context.told)
        if self.first == 0 and self.count is None:
            return inputs
        stop = None if self.count is None else self.first + self.count
        part = inputs[self.first : stop]
        if not len(part):
            raise IndexError(f"there are {len(inputs)} samples")
        return part


def noted(inputs: InputSet, size: int) -> Iterator[Batch]:
    """The batches of a set; what reading them gave reason to note goes to the log before them."""
    seen = 0
    for batch in inputs.batches(size):
        for note in inputs.notes[seen:]:
            if not isinstance(note, Standing):
                level = logging.WARNING if isinstance(note, Caution) else logging.INFO
                _LOG.log(level, "%s", note)
            elif note.about not in inputs.told:
                inputs.told.add(note.about)
                _LOG.info("%s", note)
        seen = len(inputs.notes)
        yield batch


def checked(inputs: InputSet, size: int) -> Iterator[Batch]:
    """As ``noted``, and what looks wrong with the samples goes to the log too."""
    return watched(noted(inputs, size), inputs.specs)


def watched(batches: Iterable[Batch], specs: Sequence[InputSpec]) -> Iterator[Batch]:
    """The batches; after the last, what looks wrong with the samples goes to the log."""
    checker = InputChecker(specs)
    for batch in batches:
        checker.update(batch)
        yield batch
    for warning in checker.warnings():
        _LOG.warning("%s", warning)


def bind(context: InputContext, images: Images | InputSet) -> InputSet:
    """An open set of inputs, whatever stands for it."""
    return images.open(context) if isinstance(images, Images) else images


def resolve_options(context: InputContext, given: InputOptions) -> MergedOptions:
    """Options of a command, then those of the last calibration of this graph, then settings.

    How many samples and which (``limit``, ``seed``) is never taken from an earlier command.
    """
    earlier = replace(context.input_options or InputOptions(), limit=None, seed=None)
    settings = options_of_settings(context.settings)
    if given.norm_func is not None:  # it takes the place of divisor and offset: say nothing of them
        earlier, settings = (replace(o, divisor=None, offset=None) for o in (earlier, settings))
    return merge(("command", given), ("last aquant", earlier), ("settings", settings))


def options_of_settings(settings: Settings) -> InputOptions:
    """Input options from the settings that differ from their defaults."""

    def changed(name: str) -> bool:
        return bool(settings[name] != SETTINGS[name].default)

    return InputOptions(
        divisor=settings.input_divisor if changed("input_divisor") else None,
        offset=settings.input_offset if changed("input_offset") else None,
        height=settings.image_height if changed("image_height") else None,
        width=settings.image_width if changed("image_width") else None,
        mode=settings.image_mode or None,
        transpose=settings.input_transpose or None,
        norm_func=settings.input_norm_func or None,
    )


def input_specs(graph: Graph) -> list[InputSpec]:
    """What each graph input takes; after an image formatter stand raw pixels."""
    return [_spec(graph, node) for node in graph.inputs]


def _spec(graph: Graph, node: Node) -> InputSpec:
    readers = [consumer.op for consumer, _ in graph.consumers(node.name)]
    formatters = [op for op in readers if isinstance(op, ImageFormat)]
    raw = bool(formatters)
    eight = raw and node.type.dtype == "uint8"
    pixel = (formatters[0].scale, formatters[0].offset) if eight else None
    foreign = node.origin.foreign_name
    aliases = (foreign,) if foreign and foreign != node.name else ()
    order = node.op.order if isinstance(node.op, Input) and not raw else ()
    optional = isinstance(node.op, Input) and node.op.optional
    return InputSpec(
        node.name, node.type.shape, node.type.layout, aliases, raw, order, optional, pixel
    )
