"""The CPU engine: oneDNN where it is installed, NumPy for the rest."""
