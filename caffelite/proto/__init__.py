"""Where old scripts look for Caffe's messages: ``from caffe.proto import caffe_pb2``."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "caffe_pb2":
        return importlib.import_module("caffelite.proto.caffe_pb2")
    raise AttributeError(f"module 'caffelite.proto' has no attribute '{name}'")
