"""Token anomaly scores: the NumPy reference and the fused GPU kernels tested against it."""
