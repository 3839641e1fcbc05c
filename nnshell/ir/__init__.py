"""The graph: nodes, tensor types, quantization records, the operator contract, text, verifier."""
