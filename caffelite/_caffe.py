"""The names of pycaffe's compiled module, for scripts that import them from there."""

from __future__ import annotations

from typing import Any

from caffelite.blob import LayerView, ParamBlob, ValueBlob
from caffelite.defaults import set_device, set_mode_cpu, set_mode_gpu, set_random_seed
from caffelite.logs.log import init_log
from caffelite.net import Net
from caffelite.prototxt.schema import message
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
from caffelite.pycaffe import PySolver as Solver
from caffelite.python_layer import Blob, BlobVec, Layer

RawBlobVec = BlobVec
IntVec = StringVec = DtypeVec = BoolVec = LayerVec = NetVec = list

__all__ = [
    "NCCL", "AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "BlobVec", "BoolVec", "DtypeVec", "IntVec", "Layer",
    "LayerVec", "LayerView", "NesterovSolver", "Net", "NetVec", "ParamBlob", "RMSPropSolver", "RawBlobVec",
    "SGDSolver", "Solver", "StringVec", "Timer", "ValueBlob", "get_solver", "has_nccl", "init_log",
    "layer_type_list", "log", "set_device", "set_mode_cpu", "set_mode_gpu", "set_multiprocess", "set_random_seed",
    "set_solver_count", "set_solver_rank", "solver_count", "solver_rank",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("LayerParameter", "SolverParameter"):
        return message(name)
    raise AttributeError(f"module 'caffelite._caffe' has no attribute '{name}'")
