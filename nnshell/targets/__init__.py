"""Programs and files for devices, made from the quantized graph."""
