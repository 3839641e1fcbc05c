"""Evaluation and sweeps over many machines."""
