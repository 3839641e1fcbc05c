"""TFLite models: the file (``file``), its nodes in ONNX spelling (``nodes``), its ranges."""
