"""caffelite: Caffe that installs with one command and runs today.

``import caffelite as caffe`` gives pycaffe's names; :class:`Model` is the modern way to a net, :func:`load` the
short way to predictions. Importing loads none of OpenCV, HDF5, oneDNN or CuPy; each is loaded when it is needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

TRAIN, TEST = 0, 1

_HOMES = {
    "Net": "caffelite.net",
    "Model": "caffelite.model",
    "Predictor": "caffelite.predict",
    "load": "caffelite.predict",
    "set_mode_cpu": "caffelite.defaults",
    "set_mode_gpu": "caffelite.defaults",
    "set_random_seed": "caffelite.defaults",
    "get_solver": "caffelite.pycaffe",
    "SGDSolver": "caffelite.pycaffe",
    "NesterovSolver": "caffelite.pycaffe",
    "AdaGradSolver": "caffelite.pycaffe",
    "RMSPropSolver": "caffelite.pycaffe",
    "AdaDeltaSolver": "caffelite.pycaffe",
    "AdamSolver": "caffelite.pycaffe",
    "set_device": "caffelite.defaults",
    "layer_type_list": "caffelite.pycaffe",
    "init_log": "caffelite.logs.log",
    "log": "caffelite.pycaffe",
    "set_multiprocess": "caffelite.pycaffe",
    "set_solver_count": "caffelite.pycaffe",
    "set_solver_rank": "caffelite.pycaffe",
    "solver_count": "caffelite.pycaffe",
    "solver_rank": "caffelite.pycaffe",
    "has_nccl": "caffelite.pycaffe",
    "NCCL": "caffelite.pycaffe",
    "Timer": "caffelite.pycaffe",
    "Layer": "caffelite.python_layer",
    "Classifier": "caffelite.classifier",
    "Detector": "caffelite.detector",
    "NetSpec": "caffelite.net_spec",
    "to_proto": "caffelite.net_spec",
    "install_as_caffe": "caffelite.as_caffe",
    "register": "caffelite.layers.registry",
    "CaffeliteError": "caffelite.errors",
}

_MODULES = (  # reached without an import of their own, as in pycaffe
    "_caffe", "classifier", "coord_map", "detector", "draw", "export", "io", "layers", "net_spec", "params", "proto", "pycaffe",
)  # fmt: skip

__all__ = ["TEST", "TRAIN", "__version__", *_HOMES]

if TYPE_CHECKING:
    from caffelite.as_caffe import install_as_caffe
    from caffelite.classifier import Classifier
    from caffelite.defaults import set_device, set_mode_cpu, set_mode_gpu, set_random_seed
    from caffelite.detector import Detector
    from caffelite.errors import CaffeliteError
    from caffelite.layers.registry import register
    from caffelite.logs.log import init_log
    from caffelite.model import Model
    from caffelite.net import Net
    from caffelite.net_spec import NetSpec, to_proto
    from caffelite.predict import Predictor, load
    from caffelite.pycaffe import (
        NCCL,
        AdaDeltaSolver,
        AdaGradSolver,
        AdamSolver,
        NesterovSolver,
        RMSPropSolver,
        SGDSolver,
        Timer,
        get_solver,
        has_nccl,
        layer_type_list,
        log,
        set_multiprocess,
        set_solver_count,
        set_solver_rank,
        solver_count,
        solver_rank,
    )
    from caffelite.python_layer import Layer


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"caffelite.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'caffelite' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
