"""What every layer and every kernel has to keep to, one function a property. Each raises CheckError.

A check takes a case and a variant, so the same checks hold for array bodies and for the kernels of an engine.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from caffelite.errors import NetError
from caffelite.testing.case import LayerCase, Run, Variant
from caffelite.testing.compare import TOLERANCES, CheckError, all_close, close
from caffelite.types import Shape

EXACT = 1e-6  # for the same arithmetic on the same numbers


def check_forward(case: LayerCase, variant: Variant) -> None:
    """Forward leaves its bottoms alone and writes all of its tops."""
    run = Run(case, variant)
    before = [x.copy() for x in run.x]
    run.forward()
    for i, (x, old) in enumerate(zip(run.x, before, strict=True)):
        if not np.array_equal(x, old):
            raise CheckError(f"forward changes bottom {i}\n{run.context}")
    for i, y in enumerate(run.y):
        if np.isnan(y).any():
            raise CheckError(
                f"forward leaves {int(np.isnan(y).sum())} of {y.size} elements of top {i}\n{run.context}"
            )


def check_reads(case: LayerCase, variant: Variant) -> None:
    """Backward needs no value but those it declares, and overwrites dx."""
    clean = Run(case, variant).forward().backward()
    run = Run(case, variant).forward()
    run.poison_unread()
    run.backward()
    _same_gradients(run, clean, EXACT, "after overwriting what backward does not declare to read, ")


def check_accumulation(case: LayerCase, variant: Variant) -> None:
    """Backward adds to the gradients of parameters, and overwrites those of bottoms."""
    once = Run(case, variant).forward().backward()
    twice = Run(case, variant).forward().backward().backward()
    for name, grad in once.learned.items():
        close(twice.learned[name], 2 * grad, 10 * EXACT, f"d{name} after two backward passes", once.context)
    all_close(twice.dx, once.dx, EXACT, "dx after two backward passes", once.context)


def check_unwanted(case: LayerCase, variant: Variant) -> None:
    """Backward does without the gradients that nobody asks for."""
    full = Run(case, variant).forward().backward()
    params = Run(case, variant, propagate=False).forward().backward()
    for name, grad in full.learned.items():
        close(params.learned[name], grad, EXACT, f"d{name} without dx", full.context)
    if any(dx is not None for dx in full.dx):
        bottoms = Run(case, variant, learn=False).forward().backward()
        all_close(bottoms.dx, full.dx, EXACT, "dx without gradients of parameters", full.context)


def check_inplace(case: LayerCase, variant: Variant) -> None:
    """In place computes what out of place does, y over x and dx over dy."""
    apart = Run(case, variant).forward()
    if not apart.kernel.inplace or not apart.x or apart.x[0].shape != apart.y[0].shape:
        return
    run = Run(case, variant)
    run.y[0] = run.x[0]
    close(run.forward().y[0], apart.y[0], EXACT, "y in place", run.context)
    if not apart.has_backward or apart.dx[0] is None:
        return
    apart.backward()
    run = Run(case, variant).forward()
    run.dx[0] = run.dy[0]
    run.backward()
    _same_gradients(run, apart, EXACT, "in place, ")


def check_sizes(case: LayerCase, variant: Variant) -> None:
    """Batches of 0 and 1 and images one larger work, or are refused: with a NetError, or by the kernel."""
    for shapes in _other_sizes(case.shapes):
        other = case.reshaped(shapes)
        try:
            site = Run(other, replace(variant, kernel=None)).kernel.site
        except NetError:
            continue
        if variant.kernel is not None and variant.kernel.refuses(site):
            continue
        run = Run(other, variant)
        run.forward()
        if run.has_backward:
            run.backward()
        for i, y in enumerate(run.y):
            if np.isnan(y).any():
                raise CheckError(f"top {i} has NaN\n{run.context}")


def check_same(case: LayerCase, variant: Variant, reference: Variant, what: str) -> None:
    """Two variants compute the same: tops, gradients, and statistics that forward updates."""
    tolerance = max(TOLERANCES[variant.precision], TOLERANCES[reference.precision])
    want, got = Run(case, reference).forward(), Run(case, variant).forward()
    all_close(got.y, want.y, tolerance, f"{what}: y", got.context)
    for name, param in want.params.items():
        close(got.params[name].data, param.data, tolerance, f"{what}: {name} after forward", got.context)
    if want.has_backward:
        _same_gradients(got.backward(), want.backward(), tolerance, f"{what}: ")


def _same_gradients(got: Run, want: Run, tolerance: float, what: str) -> None:
    all_close(got.dx, want.dx, tolerance, f"{what}dx", got.context)
    for name, grad in want.learned.items():
        close(got.learned[name], grad, tolerance, f"{what}d{name}", got.context)


def _other_sizes(shapes: tuple[Shape, ...]) -> list[list[Shape]]:
    if not shapes or not shapes[0]:
        return []
    batch = shapes[0][0]

    def with_batch(items: int) -> list[Shape]:
        return [(items, *shape[1:]) if shape[:1] == (batch,) else shape for shape in shapes]

    larger = [(*shape[:2], *(size + 1 for size in shape[2:])) for shape in shapes]
    return [with_batch(0), with_batch(1), larger]
