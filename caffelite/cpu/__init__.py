"""The CPU engine: oneDNN through its C API where it helps, NumPy for the rest and where oneDNN is absent."""
