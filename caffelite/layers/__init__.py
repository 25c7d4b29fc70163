"""Layers: one file a layer type. See base.py for what a layer declares and registry.py for how it is found."""
