"""The integer graph as exact floating point ONNX: one file for each family of operators."""
