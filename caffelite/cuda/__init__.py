"""The CUDA engine: every layer on an NVIDIA GPU through CuPy. Nothing here imports CuPy before a device is opened."""
