"""Where updates happen: on the host, or on the device that the parameters live on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from caffelite.graph.graph import ParamUse
from caffelite.params import Param
from caffelite.plan.kernel import Engine
from caffelite.solver.rules.base import Rule
from caffelite.solver.updater import Updater


def make_updater(rule: Rule, p: Any, learnables: Sequence[tuple[ParamUse, Param]], engine: Engine) -> Updater:
    """The Updater for an engine. ``p`` is the SolverParameter."""
    if not engine.remote:
        return Updater(rule, p, learnables, engine)
    from caffelite.cuda.engine import CudaEngine
    from caffelite.solver.device_updater import DeviceUpdater

    return DeviceUpdater(rule, p, learnables, cast(CudaEngine, engine))
