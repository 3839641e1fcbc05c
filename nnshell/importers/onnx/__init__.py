"""ONNX models: file, functions, constant folding, shapes, names and refusals."""
