"""What a user can choose about quantization, by NNTool's names."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnshell.ir.qparams import FLOAT_BITS, INT8_BITS
from nnshell.ir.requests import POW2, SQ8, KernelOptions
from nnshell.numeric.weight_clipping import WEIGHT_CLIPS
from nnshell.support.errors import UsageError

MOMENT_CLIPS = ("std1", "std2", "std3", "std4", "std5", "laplace", "gaus", "mix")
HISTOGRAM_CLIPS = ("percentile", "entropy", "mse", "histogram", "kth", "whiskers")
CLIP_TYPES = ("none", *HISTOGRAM_CLIPS, *MOMENT_CLIPS)
BITS = (2, 3, 4, 5, 6, 7, INT8_BITS, FLOAT_BITS)  # the last leaves values as they are
WEIGHT_CLIP_TYPES = ("auto", *WEIGHT_CLIPS)
DIMENSIONS = ("channel", "tensor")
ACCEPTED: dict[str, tuple[Any, ...]] = {
    "quantized_dimension": DIMENSIONS,
    "clip_type": CLIP_TYPES,
    "sq_bits": (8,),
    "weight_bits": BITS,
    "act_bits": BITS,
    "weight_clip": WEIGHT_CLIP_TYPES,
    "allow_asymmetric_out": (True, False),
    "narrow_weights": (True, False),
    "softmax_out_8bits": (True, False),
    "bits": (8, 16),
    "pow2_biases": (0, 8, 16, 32),
    "force_rnn_1_minus_1_out": (True, False),
    "fit_scales": (True, False),
}

_SCHEME_NAMES = {"SQ8": SQ8, "SCALED": SQ8, "POW2": POW2, "SYMMETRIC": POW2}
_SCHEMES_REFUSED = {
    "FLOAT": "float16 needs kernels that GAP8 does not have",
}

# NNTool's options that nnshell does not act on: accepted at the value that changes nothing.
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "use_ne16": ((False,), "NE16 is an accelerator of GAP9"),
    "force_ne16": ((False,), "NE16 is an accelerator of GAP9"),
    "force_input_size": ((8,), "16-bit feature maps need NE16 of GAP9"),
    "force_output_size": ((8,), "16-bit feature maps need NE16 of GAP9"),
    "force_external_size": ((8,), "16-bit feature maps need NE16 of GAP9"),
    "hwc": ((False,), "the kernels for height x width x channels are not implemented"),
    "kernel_type": (("lut",), "it is for 16-bit recurrent kernels, which GAP8 does not have"),
    "narrow_state": ((False, True), "it is for 16-bit recurrent kernels"),
    "max_precision_limit": ((2,), "it is for 16-bit recurrent kernels"),
    "float_type": (("float32",), "the scheme FLOAT is not implemented"),
}


@dataclass(frozen=True, slots=True)
class QuantizationOptions:
    """How to quantize; ``nodes`` holds other values for single nodes.

    Keys of ``nodes`` are node names (``NODE``, ``FUSION`` or ``FUSION/NODE``; ``*`` and ``?``
    match any characters), values the options that differ there. Widths other than 8 bits are for
    simulation: the chip has no kernels for them.
    """

    scheme: str = SQ8
    quantized_dimension: str = "channel"
    clip_type: str = "none"
    allow_asymmetric_out: bool = True
    narrow_weights: bool = True
    softmax_out_8bits: bool = False
    sq_bits: int = 8
    weight_bits: int = INT8_BITS
    act_bits: int = INT8_BITS
    weight_clip: str = "auto"  # "none" at 8 bits, "mse" below
    bits: int = 16  # of weights and activations in the scheme POW2
    pow2_biases: int = 0  # bits of biases there; 0 for as many as the others have
    force_rnn_1_minus_1_out: bool = False  # an LSTM's output and state stand for -1 to 1
    fit_scales: bool = False  # raise weight scales that leave a multiplier too few bits
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_scheme(self.scheme)
        object.__setattr__(self, "scheme", _SCHEME_NAMES[self.scheme.upper()])
        for name, accepted in ACCEPTED.items():
            _check_choice(name, getattr(self, name), accepted)
        for selector, values in self.nodes.items():
            _checked(values, where=f"options of {selector}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> QuantizationOptions:
        """Options from NNTool's keys; UsageError names the key that does not exist or fit."""
        nodes = values.get("nodes", {})
        if not isinstance(nodes, Mapping) or not all(
            isinstance(entry, Mapping) for entry in nodes.values()
        ):
            raise UsageError("the options of single nodes are not a mapping from names to options")
        plain = {key: value for key, value in values.items() if key != "nodes"}
        return cls(**_checked(plain), nodes={str(key): dict(nodes[key]) for key in nodes})

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values that ``from_mapping`` reads."""
        return dataclasses.asdict(self)

    def for_node(self, path: str) -> QuantizationOptions:
        """The options of one node; later entries of ``nodes`` come before earlier ones."""
        results: dict[str, Any] = {}
        for _, values in self._entries(path):
            results.update(_checked(values))
        return dataclasses.replace(self, **results, nodes={}) if results else self

    def _entries(self, path: str) -> list[tuple[str, Mapping[str, Any]]]:
        names = {path, *path.split("/")}
        return [
            (selector, values)
            for selector, values in self.nodes.items()
            if any(fnmatch.fnmatchcase(name, selector) for name in names)
        ]

    def values_of(self, path: str) -> dict[str, Any]:
        """What ``nodes`` says of one node, later entries before earlier ones."""
        results: dict[str, Any] = {}
        for _, values in self._entries(path):
            results.update(values)
        return results

    def names_bits(self, path: str) -> bool:
        """Whether ``nodes`` gives the activations of just this node a width."""
        return any(key != "*" and "act_bits" in values for key, values in self._entries(path))

    @property
    def clip_types(self) -> frozenset[str]:
        """All clip types in use, for calibration to collect what they need."""
        chosen = [values.get("clip_type") for values in self.nodes.values()]
        return frozenset({self.clip_type, *(str(name) for name in chosen if name is not None)})

    def with_node(self, selector: str, values: Mapping[str, Any]) -> QuantizationOptions:
        """These options with other values for the nodes that ``selector`` matches (`qtune`)."""
        merged = {**self.nodes.get(selector, {}), **_checked(values)}
        others = {key: value for key, value in self.nodes.items() if key != selector}
        return dataclasses.replace(self, nodes={**others, selector: merged})

    @property
    def kernel(self) -> KernelOptions:
        """What an operator asks of them; weight_clip auto is decided here."""
        clip = self.weight_clip
        if clip == "auto":
            clip = "mse" if self.weight_bits < INT8_BITS else "none"
        return KernelOptions(
            self.quantized_dimension == "channel",
            self.narrow_weights,
            self.softmax_out_8bits,
            self.weight_bits,
            clip,
            self.bits,
            self.pow2_biases,
            self.force_rnn_1_minus_1_out,
            self.fit_scales,
        )


def option_names() -> tuple[str, ...]:
    """Keys that ``from_mapping`` acts on."""
    return tuple(f.name for f in dataclasses.fields(QuantizationOptions) if f.name != "nodes")


def _checked(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The options without those that change nothing; UsageError for unknown and refused ones."""
    known = option_names()
    kept = {}
    for key, value in values.items():
        if key in known:
            kept[key] = value
            continue
        if key not in _REFUSED:
            near = difflib.get_close_matches(str(key), (*known, *_REFUSED), n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(known)}"
            raise UsageError(
                f"there is no quantization option '{str(key)[:60]}'", where=where, hint=hint
            )
        accepted, why = _REFUSED[key]
        if not any(value == entry and type(value) is type(entry) for entry in accepted):
            raise UsageError(f"{key}={str(value)[:40]} is not possible: {why}", where=where)
    if "scheme" in kept:
        _check_scheme(kept["scheme"])
    return kept


def _check_scheme(scheme: object) -> None:
    name = str(scheme).upper()
    if name in _SCHEMES_REFUSED:
        raise UsageError(
            f"scheme {name} is not possible: {_SCHEMES_REFUSED[name]}",
            hint="use --scheme SQ8 or POW2",
        )
    if name not in _SCHEME_NAMES:
        hint = "schemes: SQ8, POW2"
        raise UsageError(f"there is no scheme '{str(scheme)[:40]}'", hint=hint)


def _check_choice(name: str, value: object, choices: tuple[Any, ...]) -> None:
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        accepted = ", ".join(str(choice) for choice in choices)
        raise UsageError(f"{name} does not take {str(value)[:40]!r}", hint=f"one of {accepted}")
