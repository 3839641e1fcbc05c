"""Chips and kernels as data: every number is measured, derived or read, with its source."""
