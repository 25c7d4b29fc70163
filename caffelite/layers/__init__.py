"""Layers: one file a type. base.py says what a layer declares, registry.py how it is found."""
