"""Choosing integers by what layers make of calibration samples, without labels."""
