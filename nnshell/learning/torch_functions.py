"""ONNX's functions of one number in torch, and the attributes that each form reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F

Tensor: TypeAlias = torch.Tensor


def _shrink(inputs: Sequence[Tensor], at: Mapping[str, Any]) -> Tensor:
    data, zero = inputs[0], torch.zeros_like(inputs[0])
    above = torch.where(data > at["lambd"], data - at["bias"], zero)
    return torch.where(data < -at["lambd"], data + at["bias"], above)


def _gelu(inputs: Sequence[Tensor], at: Mapping[str, Any]) -> Tensor:
    return F.gelu(inputs[0], approximate=str(at.get("approximate", "none")))


_PLAIN: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Floor": torch.floor,
    "Log": torch.log,
    "Mish": F.mish,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
}


def _of_one(function: Callable[[Tensor], Tensor]) -> Callable[[Sequence[Tensor], Any], Tensor]:
    return lambda inputs, at: function(inputs[0])


FUNCTIONS: dict[str, Callable[[Sequence[Tensor], Any], Tensor]] = {
    **{name: _of_one(function) for name, function in _PLAIN.items()},
    "Celu": lambda inputs, at: F.celu(inputs[0], alpha=at["alpha"]),
    "Elu": lambda inputs, at: F.elu(inputs[0], alpha=at["alpha"]),
    "Gelu": _gelu,
    "Pow": lambda inputs, at: torch.pow(inputs[0], inputs[1]),
    "Selu": lambda inputs, at: at["gamma"] * F.elu(inputs[0], alpha=at["alpha"]),
    "Shrink": _shrink,
}
FUNCTION_ATTRIBUTES = {
    "Celu": frozenset({"alpha"}),
    "Elu": frozenset({"alpha"}),
    "Gelu": frozenset({"approximate"}),
    "Selu": frozenset({"alpha", "gamma"}),
    "Shrink": frozenset({"lambd", "bias"}),
}
