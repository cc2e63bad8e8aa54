"""What runs inside Triton: copied into every model repository, so it needs NumPy and tokenizers alone."""
