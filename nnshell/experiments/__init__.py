"""Experiments on a calibrated graph: what quantization costs, and where."""
