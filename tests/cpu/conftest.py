"""Kernels of the CPU engine against the array bodies of their layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from caffelite.cpu.onednn_library import available
from caffelite.engine import get_engine
from caffelite.plan.kernel import CHANNELS_LAST, PLAIN, Kernel
from caffelite.testing import checks
from caffelite.testing.case import LayerCase, Run, Variant


def _candidates(case: LayerCase, precision: str) -> Iterator[tuple[Variant, str]]:
    """Each kernel in each layout, with its objection."""
    engine = get_engine("cpu", precision)
    for layout in (PLAIN, CHANNELS_LAST):
        for kernel in engine.kernels(case.type):
            site = Run(case, Variant(None, layout, engine.dtype, engine)).kernel.site
            yield Variant(kernel, layout, engine.dtype, engine), kernel.refuses(site)


def _check(case: LayerCase, variant: Variant) -> None:
    checks.check_forward(case, variant)
    checks.check_sizes(case, variant)
    checks.check_inplace(case, variant)
    checks.check_reads(case, variant)
    checks.check_accumulation(case, variant)
    checks.check_unwanted(case, variant)
    checks.check_same(case, variant, Variant(), "against the array body")


@pytest.fixture
def agrees() -> Callable[..., None]:
    """``agrees(type, fields, *shapes)``: the kernel takes both layouts and does what the array body does."""
    if available() is not None:
        pytest.skip(str(available()))

    def agrees(
        type_: str, text: str, *shapes, precision: str = "float32", layouts=(PLAIN, CHANNELS_LAST), **more
    ):
        case = LayerCase(type_, text, shapes, **more)
        checked = set()
        for variant, objection in _candidates(case, precision):
            if variant.layout in layouts and not objection.startswith("the layer "):  # for another form of it
                if objection.startswith("oneDNN has"):
                    pytest.skip(objection)  # depends on the CPU
                assert objection == ""
                _check(case, variant)
                checked.add(variant.layout)
        assert checked == set(layouts)

    return agrees


@pytest.fixture
def objections() -> Callable[..., set[str]]:
    """``objections(type, fields, *shapes)``: what the kernels say against a layer."""
    if available() is not None:
        pytest.skip(str(available()))

    def objections(type_: str, text: str, *shapes, **more) -> set[str]:
        return {objection for _, objection in _candidates(LayerCase(type_, text, shapes, **more), "float32")}

    return objections


@pytest.fixture
def run_kernel() -> Callable[..., Run]:
    """``run_kernel(type, fields, *shapes)``: a run of the first kernel, in channels-last arrays."""
    if available() is not None:
        pytest.skip(str(available()))

    def run_kernel(type_: str, text: str, *shapes, layout: str = CHANNELS_LAST, **more) -> Run:
        engine = get_engine("cpu")
        kernel: type[Kernel] = engine.kernels(type_)[0]
        return Run(LayerCase(type_, text, shapes, **more), Variant(kernel, layout, engine.dtype, engine))

    return run_kernel
