"""From a classifier to one guarded ONNX graph: forward export, differentiation, passes, validation."""
