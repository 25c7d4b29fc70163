"""Checks that any layer should pass, yours included.

    from caffelite.testing import check_layer

    check_layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", shapes=[(2, 3, 7, 5)])

One call builds the layer, runs it on random numbers and raises ``CheckError`` (an ``AssertionError``) at the
first thing that is wrong, saying which layer, engine, kernel, shapes and seed, and both numbers.
``check_golden`` replays a case whose numbers were recorded, by BVLC Caffe for instance; ``run_layer`` runs a
layer on numbers of yours. A layer of your own is registered first::

    register("Double", Double)          # from caffelite.layers.registry
    check_layer("Double", shapes=[(2, 3)])

What is checked: see ``caffelite.testing.checks`` and ``caffelite.testing.gradient``, one function a property.
"""

from caffelite.testing.case import LayerCase, Variant, make_layer
from caffelite.testing.compare import CheckError
from caffelite.testing.example import Example, run_layer
from caffelite.testing.golden import check_golden
from caffelite.testing.layer import check_layer

__all__ = [
    "CheckError",
    "Example",
    "LayerCase",
    "Variant",
    "check_golden",
    "check_layer",
    "make_layer",
    "run_layer",
]
