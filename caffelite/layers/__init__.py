"""Layers: one file a type. base.py says what a layer declares, registry.py how it is found."""

from __future__ import annotations

from typing import NoReturn


def __getattr__(name: str) -> NoReturn:
    """``from caffe import layers as L`` is how pycaffe's scripts write nets; they meet this package instead."""
    not_yet = "caffelite does not have pycaffe's 'layers' (NetSpec) yet"
    raise AttributeError(
        not_yet if name[:1].isupper() else f"module 'caffelite.layers' has no attribute '{name}'"
    )
