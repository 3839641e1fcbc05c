"""Engines: float through ONNX Runtime, integers bit for bit; comparison and validation."""

import os

# ONNX Runtime 1.31 keeps an identifier in the home directory and reports use over the network,
# and warns where it cannot; a shell for networks at hand does neither. Read when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
