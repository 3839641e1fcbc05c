"""Functions of one number, by name: how ONNX spells them, what they are, where they are defined.

A table of 256 results is their integer form (``numeric.kernels.tables``), computed in float32 as
ONNX Runtime computes them: where a function jumps, one unit of the last place decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.facts import EVERYTHING
from nnshell.ir.requests import Range

Floats = NDArray[np.float32]
Parameters = Mapping[str, float]

_NONE: Parameters = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Form:
    """A function: ONNX's name, its values, its attributes with their defaults, where it is.

    Integers stand for the nearest argument in ``defined`` where they stand for none that is.
    """

    onnx: str
    apply: Callable[[Floats, Parameters], NDArray[np.floating]]
    attributes: Parameters = field(default_factory=lambda: _NONE)
    values: Range = EVERYTHING  # that results stay within
    defined: Range = EVERYTHING  # arguments that have a value
    tame: Range = EVERYTHING  # arguments to try it out with
    fixed: Mapping[str, str] = field(default_factory=dict)  # attributes that are words


def _plain(
    onnx: str,
    apply: Callable[[Floats], NDArray[np.floating]],
    values: Range = EVERYTHING,
    defined: Range = EVERYTHING,
    tame: Range | None = None,
) -> Form:
    return Form(onnx, lambda x, _: apply(x), values=values, defined=defined, tame=tame or defined)


_ERF = np.vectorize(math.erf, otypes=[np.float32])


def _sigmoid(x: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)), np.float32)


def _softplus(x: Floats) -> Floats:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), np.float32)


def _elu(x: Floats, at: Parameters) -> Floats:
    return np.where(x > 0, x, at["alpha"] * np.expm1(np.minimum(x, 0)))


def _selu(x: Floats, at: Parameters) -> Floats:
    return np.asarray(at["gamma"] * _elu(x, at), np.float32)


def _celu(x: Floats, at: Parameters) -> Floats:
    below = np.minimum(0, at["alpha"] * np.expm1(x / at["alpha"]))
    return np.asarray(np.maximum(x, 0) + below, np.float32)


def _gelu(x: Floats) -> Floats:
    return np.asarray(0.5 * x * (1 + _ERF(x / math.sqrt(2))), np.float32)


def _gelu_tanh(x: Floats) -> Floats:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return np.asarray(0.5 * x * (1 + np.tanh(inner)), np.float32)


def _shrink(x: Floats, at: Parameters) -> Floats:
    above = np.where(x > at["lambd"], x - at["bias"], 0)
    return np.where(x < -at["lambd"], x + at["bias"], above)


def _power(x: Floats, at: Parameters) -> Floats:
    return np.power(x, np.float32(at["exponent"]))


POSITIVE = Range(0.0, math.inf)
_UNIT = Range(-1.0, 1.0)
_ALPHA = {"alpha": 1.0}
_SELU = {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}  # ONNX's

FUNCTIONS: Mapping[str, Form] = {
    "neg": _plain("Neg", np.negative),
    "abs": _plain("Abs", np.abs, POSITIVE),
    "sign": _plain("Sign", np.sign, _UNIT),
    "floor": _plain("Floor", np.floor),
    "ceil": _plain("Ceil", np.ceil),
    "round": _plain("Round", np.rint),
    "sqrt": _plain("Sqrt", np.sqrt, POSITIVE, POSITIVE),
    "reciprocal": _plain("Reciprocal", np.reciprocal, tame=Range(0.1, math.inf)),
    "log": _plain("Log", np.log, defined=POSITIVE, tame=Range(0.01, math.inf)),
    "erf": _plain("Erf", _ERF, _UNIT),
    "sin": _plain("Sin", np.sin, _UNIT),
    "cos": _plain("Cos", np.cos, _UNIT),
    "tan": _plain("Tan", np.tan, tame=Range(-1.3, 1.3)),
    "asin": _plain("Asin", np.arcsin, Range(-1.6, 1.6), _UNIT),
    "acos": _plain("Acos", np.arccos, Range(0.0, 3.15), _UNIT),
    "atan": _plain("Atan", np.arctan, Range(-1.6, 1.6)),
    "sinh": _plain("Sinh", np.sinh),
    "cosh": _plain("Cosh", np.cosh, POSITIVE),
    "asinh": _plain("Asinh", np.arcsinh),
    "acosh": _plain("Acosh", np.arccosh, POSITIVE, Range(1.0, math.inf), Range(1.1, math.inf)),
    "atanh": _plain("Atanh", np.arctanh, defined=_UNIT, tame=Range(-0.95, 0.95)),
    "softplus": _plain("Softplus", _softplus, POSITIVE),
    "softsign": _plain("Softsign", lambda x: x / (1 + np.abs(x)), _UNIT),
    "mish": _plain("Mish", lambda x: x * np.tanh(_softplus(x))),
    "gelu": _plain("Gelu", _gelu),
    "gelu_tanh": Form("Gelu", lambda x, _: _gelu_tanh(x), fixed={"approximate": "tanh"}),
    "elu": Form("Elu", _elu, _ALPHA),
    "selu": Form("Selu", _selu, _SELU),
    "celu": Form("Celu", _celu, _ALPHA),
    "swish": Form("Swish", lambda x, at: x * _sigmoid(np.float32(at["alpha"]) * x), _ALPHA),
    "shrink": Form("Shrink", _shrink, {"lambd": 0.5, "bias": 0.0}),
    "inverse_root": Form(
        "",
        lambda x, at: 1 / np.sqrt(x + np.float32(at["epsilon"])),
        {"epsilon": 1e-5},
        POSITIVE,
        POSITIVE,
        POSITIVE,
    ),
    "pow": Form("Pow", _power, {"exponent": 2.0}),
}
