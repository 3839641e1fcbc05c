"""Training with fake quantization; modules that need torch are imported when it begins."""
