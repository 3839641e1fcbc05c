"""Where a quantized graph loses more than rounding: found in its records, integers and ranges."""

from nnshell.quantization.losses.finding import find_losses
from nnshell.quantization.losses.loss import KINDS, Lever, Loss, LossKind, loss_lines

__all__ = ["KINDS", "Lever", "Loss", "LossKind", "find_losses", "loss_lines"]
