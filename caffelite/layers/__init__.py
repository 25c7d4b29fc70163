"""Layers: one file a type. base.py says what a layer declares, registry.py how it is found.

The package is pycaffe's pseudo-module too: ``from caffe import layers as L`` and ``L.Convolution(...)`` write nets.
"""

from __future__ import annotations

import typing


def __getattr__(name: str) -> typing.Any:
    """Types begin with a capital letter, modules of this package with a small one."""
    if not name[:1].isupper():
        raise AttributeError(f"module 'caffelite.layers' has no attribute '{name}'")
    from caffelite import net_spec

    return getattr(net_spec.layers, name)
