"""Ranges of tensors: what calibration keeps, statistics, and how outliers are clipped."""
