"""The reference engine: each layer's own array body on NumPy, in float32 or float64, in C order."""
