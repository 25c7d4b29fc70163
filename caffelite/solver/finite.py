"""Whether weights are still numbers: a diverged run must not end as if it had learned something."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from caffelite.errors import NotFiniteError
from caffelite.graph.graph import ParamUse
from caffelite.params import Array, Param
from caffelite.types import shape_text


def not_finite(iteration: int, what: str) -> NotFiniteError:
    """The error that ends a diverged run."""
    return NotFiniteError(
        f"iteration {iteration}: {what}\n  Fix: lower base_lr, limit gradients with clip_gradients, "
        "or look at the data; debug_info: true shows each layer"
    )


def first_not_finite_param(params: Iterable[tuple[ParamUse, Param]]) -> str | None:
    """The first parameter that holds a NaN or an infinity, in words; None if there is none."""
    for use, param in params:
        wrong = _count_not_finite(param.data)
        if wrong:
            return (
                f"param {use.index} ('{use.spec.name}', {shape_text(param.shape)}) of layer '{use.layer}': "
                f"{wrong} of {param.data.size} values are not finite"
            )
    return None


def _count_not_finite(array: Array) -> int:
    # A sum of finite numbers may overflow, but one with a NaN or an infinity in it is never finite.
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum()):
            return 0
    return int(np.count_nonzero(~np.isfinite(array)))
