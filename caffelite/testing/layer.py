"""All checks of a layer in one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from caffelite.engine import get_engine
from caffelite.plan.kernel import CHANNELS_LAST, PLAIN, Engine
from caffelite.testing import checks
from caffelite.testing.case import LayerCase, Run, Variant
from caffelite.testing.golden import check_golden
from caffelite.testing.gradient import check_gradient
from caffelite.types import Phase, Shape

LAYOUTS = (PLAIN, CHANNELS_LAST)
ENGINES: list[Engine | str] = ["cpu"]  # what ``check_layer`` checks besides the array body on NumPy


def check_layer(
    type_: str,
    text: str = "",
    shapes: Sequence[Shape] = ((2, 3, 5, 4),),
    *,
    tops: int = 1,
    phase: Phase = Phase.TRAIN,
    labels: Mapping[int, int] | None = None,
    values: Mapping[int, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    low: float = -1.0,
    high: float = 1.0,
    seed: int = 0,
    engines: Sequence[Engine | str] | None = None,
    golden: str | Path | None = None,
) -> None:
    """Checks a layer's array body, and each kernel that the engines have for it, on small random arrays.

    ``text`` is what stands in the layer besides name, type, bottoms and tops; ``shapes`` are those of the
    bottoms. Bottoms are uniform between ``low`` and ``high``; ``labels={1: 10}`` puts class numbers 0 to 9
    into bottom 1; ``values`` and ``params`` give whole bottoms (by position) and parameters (by name).
    ``golden`` is a recorded case to replay as well. Takes some milliseconds a shape element; keep shapes
    small, odd and unequal.

    ``engines``: those whose kernels are checked, by default ``ENGINES`` of this module. Raises CheckError at the first failure, and what the layer raises.
    """
    engines = ENGINES if engines is None else engines
    case = LayerCase(
        type_, text, tuple(shapes), tops, phase, labels or {}, values or {}, params or {}, low, high, seed
    )
    array = Variant()
    for layout in LAYOUTS:
        _check_variant(case, Variant(layout=layout))
    checks.check_same(case, Variant(layout=CHANNELS_LAST), array, "channels-last arrays")
    check_gradient(case)
    for variant in kernel_variants(case, engines):
        _check_variant(case, variant)
        checks.check_same(case, variant, array, "against the array body")
    if golden is not None:
        check_golden(golden, engines)


def kernel_variants(case: LayerCase, engines: Sequence[Engine | str]) -> Iterator[Variant]:
    """Every kernel of the engines that does not refuse the case, in each layout; array bodies too where arrays are a device's."""
    for name in engines:
        engine = get_engine(name) if isinstance(name, str) else name
        if engine.remote:
            yield from (Variant(None, layout, engine.dtype, engine) for layout in LAYOUTS)
        for kernel in engine.kernels(case.type):
            for layout in LAYOUTS:
                if not kernel.refuses(Run(case, Variant(None, layout, engine.dtype, engine)).kernel.site):
                    yield Variant(kernel, layout, engine.dtype, engine)


def _check_variant(case: LayerCase, variant: Variant) -> None:
    checks.check_forward(case, variant)
    checks.check_sizes(case, variant)
    checks.check_inplace(case, variant)
    if Run(case, variant).has_backward:
        checks.check_reads(case, variant)
        checks.check_accumulation(case, variant)
        checks.check_unwanted(case, variant)
