"""The scheme POW2: fixed-point integers of 8 or 16 bits, whose scales are powers of two.

One file for each family of operators: how they decide about records, what they compute in
integers, and the same lowered. Importing the package registers all of it (``ir.arithmetic``).
"""

from nnshell.ops.pow2 import activations, filters, gates, moves, pools, sums, tensors

__all__ = ["activations", "filters", "gates", "moves", "pools", "sums", "tensors"]
